"""JSON, JSON lines and TOML: bounded, UTF-8, and every fault one line with file and line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddbench.errors import BadInputError
from ddbench.inputs import documents
from ddbench.inputs.documents import (
    DEEPEST,
    parse_json,
    read_bytes,
    read_json,
    read_json_lines,
    read_text,
    read_toml,
)

# Text that UTF-8 can hold, integers of 64 bits, not too deep: what JSON files of ours hold.
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(PLAIN)
def test_plain_content_comes_back(content):
    assert parse_json(json.dumps(content), "x") == content


WRONG_JSON = {
    "nothing": ("", r"is not JSON: .* in line 1, column 1; fix or replace it"),
    "half of it": ('{"a": 1,\n"b"', r"is not JSON: .* in line 2, column 4"),
    "deep": ("[" * 100_000, f"is nested more than {DEEPEST} deep"),
    "deep, but not too deep for Python": ("[" * 70 + "]" * 70, f"is nested more than {DEEPEST} deep"),
    "half a character": ('{"a": "\\ud800"}', "holds text that is not Unicode"),
    "half a character in a key": ('{"\\udcff": 1}', "holds text that is not Unicode"),
    "an integer of many digits": ("9" * 5000, "holds a number that is too long to read"),
    "an integer beyond 64 bits": (f"[{2**63}]", "holds a number beyond 64 bits"),
    "a key given twice": ('{"a": {"b": 1, "c": 2, "b": 3}}', "gives key 'b' twice"),
}


@pytest.mark.parametrize(("text", "words"), WRONG_JSON.values(), ids=WRONG_JSON)
def test_wrong_json_is_one_line_that_names_the_file(tmp_path, text, words):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(BadInputError, match=rf"^result [^\n]*a\.json {words}") as caught:
        read_json(path, "result")
    assert len(str(caught.value)) <= 300


def test_deepest_content_is_read():
    assert parse_json("[" * DEEPEST + "]" * DEEPEST, "x")


def test_lines_are_numbered_and_blank_ones_left_out(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes('{"a": "x\u2028y"}\n\n \r\n[1]\n'.encode())
    assert list(read_json_lines(path, "results")) == [(1, {"a": "x\u2028y"}), (4, [1])]


@pytest.mark.parametrize(
    ("line", "words"),
    [(b"{", "line 2, is not JSON"), (b'"\xe9"', "line 2, must be text in UTF-8"), (b"[" * 5000, "line 2, is nested")],
)
def test_a_wrong_line_is_named(tmp_path, line, words):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"{}\n" + line)
    with pytest.raises(BadInputError, match=words):
        list(read_json_lines(path, "results"))


def test_a_line_too_long_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(documents.LARGEST, "JSON", 10)
    path = tmp_path / "a.jsonl"
    path.write_text("[1]\n[1, 2, 3, 4, 5]\n")
    with pytest.raises(BadInputError, match="line 2, is longer than 10 bytes"):
        list(read_json_lines(path, "results"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a = \n", "is not TOML: .*line 1.*; fix it"),
        ("a = 1\na = 2", "is not TOML"),
        (f"a = {'9' * 5000}", "is not TOML"),
        (f"a = {2**70}", "holds a number beyond 64 bits"),
        (f"a = {'[' * 3000}{']' * 3000}", f"is nested more than {DEEPEST} deep"),
        ("a = 2020-99-99", "is not TOML"),
    ],
)
def test_wrong_toml_is_one_line_that_names_the_file(tmp_path, text, words):
    path = tmp_path / "a.toml"
    path.write_text(text)
    with pytest.raises(BadInputError, match=rf"^preset [^\n]*a\.toml {words}"):
        read_toml(path, "preset")


def test_a_byte_order_mark_is_left_out_and_another_encoding_named(tmp_path):
    path = tmp_path / "a.toml"
    path.write_bytes(b"\xef\xbb\xbfa = 1")
    assert read_toml(path, "preset") == {"a": 1}
    path.write_bytes("a = 1".encode("utf-16"))
    with pytest.raises(BadInputError, match=r"a\.toml must be text in UTF-8, but line 1 is not; save it as UTF-8"):
        read_toml(path, "preset")
    path.write_bytes(b"# one\n# tw\xe9\n")
    with pytest.raises(BadInputError, match="but line 2 is not"):
        read_text(path, "preset")


@pytest.mark.parametrize("largest", [9, 10, 11, 30])
def test_no_more_is_read_than_allowed(tmp_path, largest):
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    if largest < 10:
        with pytest.raises(BadInputError, match="has over 9 bytes, the most that are read; is it the right file"):
            read_bytes(path, "file", largest)
    else:
        assert read_bytes(path, "file", largest) == b"0123456789"


@pytest.mark.skipif(not Path("/proc/cpuinfo").is_file(), reason="needs Linux")
def test_files_that_say_they_are_empty_are_bounded_too():
    assert read_bytes(Path("/proc/version"), "file", 10_000) == Path("/proc/version").read_bytes()
    with pytest.raises(BadInputError, match="has over 20 bytes"):
        read_bytes(Path("/proc/cpuinfo"), "file", 20)


def test_a_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for read in (read_json, read_toml, lambda path, what: list(read_json_lines(path, what))):
        with pytest.raises(BadInputError, match="but is a named pipe"):
            read(tmp_path / "pipe", "file")
