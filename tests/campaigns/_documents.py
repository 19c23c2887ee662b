"""Documents of a user's gone wrong: a good one in JSON, YAML or TOML with one part replaced, dropped, added or doubled.

Parts are replaced by raw text, so that a value may be one that no writer would write.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass

from hypothesis import strategies as st

from tests.campaigns._wrong_values import DEEP, KEYS, RAW


@dataclass(frozen=True)
class Raw:
    """Text that stands in the document as it is."""

    text: str


@dataclass(frozen=True)
class Twice:
    """A table with one of its keys given twice."""

    table: dict
    key: str


def render(value, form):
    """The text of a document; tables of TOML's first level are lines, all others stand in braces."""
    if form == "toml" and isinstance(value, dict):
        return "\n".join(f"{_key(key)} = {_inline(entry, form)}" for key, entry in value.items()) + "\n"
    return _inline(value, form)


def _inline(value, form):
    if isinstance(value, Raw):
        return value.text
    if isinstance(value, Twice):
        inner = _inline(value.table, form)
        sign = " = " if form == "toml" else ": "
        return f"{inner[:-1]}, {_key(value.key)}{sign}{_inline(value.table[value.key], form)}{inner[-1]}"
    if isinstance(value, dict):
        sign = " = " if form == "toml" else ": "
        return "{" + ", ".join(f"{_key(key)}{sign}{_inline(entry, form)}" for key, entry in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_inline(entry, form) for entry in value) + "]"
    return json.dumps(value)


def _key(key):
    return key if key.isidentifier() and key.isascii() else json.dumps(key)


def places(value, path=()):
    """The paths of all parts of a document."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in inner:
        yield from places(entry, (*path, key))


@st.composite
def broken(draw, good, form):
    """Bytes of a document that was good and no longer is, mostly."""
    tree = copy.deepcopy(good)
    paths = [path for path in places(tree) if path]
    path = draw(st.sampled_from(paths))
    holder = tree
    for key in path[:-1]:
        holder = holder[key]
    deed = draw(st.sampled_from(["replace"] * 6 + ["drop", "add", "double"]))
    if deed == "replace":
        holder[path[-1]] = Raw(draw(st.sampled_from(RAW[form])))
    elif deed == "drop":
        del holder[path[-1]]
    elif deed == "add" and isinstance(holder, dict):
        holder[draw(st.sampled_from(KEYS))] = Raw(draw(st.sampled_from(RAW[form])))
    elif isinstance(holder, dict) and len(path) > 1:
        tree = _doubled(tree, path)
    return spoilt(draw, render(tree, form))


def _doubled(tree, path):
    holder = tree
    for key in path[:-2]:
        holder = holder[key]
    holder[path[-2]] = Twice(holder[path[-2]], path[-1])
    return tree


def spoilt(draw, text):
    """The bytes of a text, now and then cut off, altered or in another encoding."""
    content = text.encode("utf-8", "surrogatepass")
    deed = draw(st.sampled_from(["none"] * 6 + ["cut", "byte", "latin", "utf-16", "bom"]))
    place = draw(st.integers(0, max(0, len(content) - 1)))
    if deed == "cut":
        return content[:place]
    if deed == "byte":
        return content[:place] + draw(st.binary(min_size=1, max_size=3)) + content[place + 1 :]
    if deed == "latin":
        return content[:place] + b"\xe9" + content[place:]
    if deed == "utf-16":
        return text.encode("utf-16", "surrogatepass")
    return b"\xef\xbb\xbf" + content if deed == "bom" else content


def bomb(levels=12, wide=10):
    """YAML that grows tenfold a level, in a key of its own."""
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * wide)}]" for level in range(1, levels)]
    return "\n".join(lines) + "\n"


def cubed_merge(levels=12):
    """YAML whose merges grow tenfold a level."""
    lines = ["a0: &a0 {k: 1}"]
    lines += [f"a{level}: &a{level} {{<<: [{', '.join([f'*a{level - 1}'] * 10)}]}}" for level in range(1, levels)]
    return "\n".join(lines) + "\n"


JUNK = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.sampled_from(
        [b"", b"\0", b"\0" * 4096, b"{" * 5000, DEEP.encode(), b"null", b"[]", b"{}", b"- a\n- b", b"x: [", b"'"]
    ),
)
