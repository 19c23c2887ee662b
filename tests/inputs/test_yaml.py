"""YAML: numbers, texts, lists and tables; nothing that grows, calls or loops, and no key twice."""

from __future__ import annotations

from contextlib import suppress

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ddbench.errors import BadInputError
from ddbench.inputs.documents import LARGEST
from ddbench.inputs.yaml import MOST_PARTS, parse_yaml, read_yaml

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.text(st.characters(codec="utf-8"), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=3),
    max_leaves=10,
)


@given(PLAIN)
def test_what_pyyaml_writes_comes_back(content):
    assert parse_yaml(yaml.safe_dump(content, allow_unicode=True), "x") == content


def test_values_are_those_of_yaml_and_dates_are_text():
    text = "{a: 1, b: 0.5, c: yes, d: ~, e: 2020-01-02, f: 2020-99-99, g: 0x10, h: .inf, i: '1:30'}"
    expected = {"a": 1, "b": 0.5, "c": True, "d": None, "e": "2020-01-02", "f": "2020-99-99", "g": 16}
    assert parse_yaml(text, "x") == {**expected, "h": float("inf"), "i": "1:30"}
    assert parse_yaml("", "x") is None


def test_aliases_and_merges_work():
    assert parse_yaml("[&a {k: 1, m: 2}, *a, {<<: *a, k: 3}]", "x") == [{"k": 1, "m": 2}] * 2 + [{"k": 3, "m": 2}]


def grown(line, levels=12):
    """Ten aliases to the level below, at every level."""
    lines = ["a0: &a0 {k: 1}"]
    return "\n".join(lines + [line(n, ", ".join([f"*a{n - 1}"] * 10)) for n in range(1, levels)])


WRONG = {
    "unclosed": ("[1", "is not YAML: .* in line 1, column 3; fix it"),
    "a key twice": ("{a: 1, b: 2,\n a: 3}", "is not YAML: key 'a' is given twice in line 2, column 2"),
    "a key twice, further in": ("- a:\n    b: 1\n    b: 2", "key 'b' is given twice in line 3"),
    "a list as key": ("{[a]: 1}", "is not YAML: .*unhashable key"),
    "an int that is none": ("!!int abc", "a value cannot be read as int in line 1"),
    "a bool that is none": ("a: !!bool maybe", "a value cannot be read as bool"),
    "a float that is none": ("!!float x", "a value cannot be read as float"),
    "a map that is none": ("!!map x", "is not YAML"),
    "a date": ("!!timestamp 99", "a value of type 'timestamp' is not allowed here"),
    "a set": ("!!set {a}", "a value of type 'set' is not allowed here"),
    "bytes": ("!!binary xyz", "a value of type 'binary' is not allowed here"),
    "a call": ("!!python/object/apply:os.getcwd []", "is not allowed here"),
    "a tag of one's own": ("!x 1", "is not allowed here"),
    "many digits": ("9" * 5000, "a value cannot be read as int"),
    "a number by eights": ("ipc: [010]", "'010' is not a plain number: .* in line 1, column 7"),
    "a number by sixties": ("a: 1:30", "'1:30' is not a plain number: .* write it out, or quote it"),
    "a float by sixties": ("a: -1:30.5", "'-1:30.5' is not a plain number"),
    "beyond 64 bits": ("0x" + "f" * 40, "holds a number beyond 64 bits"),
    "deep": ("[" * 3000 + "]" * 3000, "is nested more than 60 deep"),
    "deep, but not too deep for Python": ("[" * 70 + "]" * 70, "is nested more than 60 deep"),
    "many open braces": ("{" * 200_000, "is nested more than 60 deep"),
    "deep lines": ("".join(f"{' ' * n}a:\n" for n in range(500)), "is nested more than 60 deep"),
    "itself": ("&a [*a]", "holds an alias to what it stands in"),
    "no such alias": ("*a", "is not YAML: found undefined alias"),
    "growing lists": (grown(lambda n, inner: f"a{n}: &a{n} [{inner}]"), f"grows to more than {MOST_PARTS:,} parts"),
    "growing merges": (grown(lambda n, inner: f"a{n}: &a{n} {{<<: [{inner}]}}"), "grows to more than"),
    "two documents": ("a: 1\n---\nb: 2", "is not YAML: .*another document"),
    "half a character": ('"\\ud800"', "Unicode|YAML"),
    "a control character": ("a: \x07", "is not YAML"),
}


@pytest.mark.parametrize(("text", "words"), WRONG.values(), ids=WRONG)
def test_wrong_yaml_is_one_line_that_names_its_place(text, words):
    with pytest.raises(BadInputError, match=rf"^suite s\.yaml [^\n]*(?:{words})") as caught:
        parse_yaml(text, "suite s.yaml")
    assert len(str(caught.value)) <= 300


@given(st.text(max_size=60))
def test_any_text_is_content_or_a_refusal(text):
    with suppress(BadInputError):
        parse_yaml(text, "x")


def test_a_file_is_bounded(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("a: 1")
    assert read_yaml(path, "suite") == {"a": 1}
    path.write_bytes(b"#" * (LARGEST["YAML"] + 1))
    with pytest.raises(BadInputError, match=r"suite [^\n]*a\.yaml has over 262,144 bytes"):
        read_yaml(path, "suite")
