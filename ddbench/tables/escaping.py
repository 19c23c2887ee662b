r"""Text for each format, in one place: names may come from anywhere, and none of them acts where it is shown.

HTML is escaped by its templates, which pass every text through `visible` first.
"""

from __future__ import annotations

import json
import re
import unicodedata

LATEX = {
    "\\": r"\textbackslash{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "[": "{[}",  # which a line break before it would take for its argument
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "\N{PLUS-MINUS SIGN}": r"$\pm$",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "\N{EN DASH}": "--",
    "\N{ALMOST EQUAL TO}": r"$\approx$",
    "\N{DAGGER}": r"\textdagger{}",
    "\N{DOUBLE DAGGER}": r"\textdaggerdbl{}",
}
FORMULA = re.compile(r"[\s\0]*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n]")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)


def visible(text: str) -> str:
    r"""Return text in one line whose control and direction-changing characters are shown, `\x1b`, instead of acting."""
    return "".join(ascii(c)[1:-1] if unicodedata.category(c)[0] == "C" or c in "\u2028\u2029" else c for c in text)


def json_text(text: str) -> str:
    r"""Return JSON whose characters that act on a terminal are escaped, `\u202e`, which means the same to readers."""
    return "".join(json.dumps(c)[1:-1] if unicodedata.category(c)[0] == "C" and c != "\n" else c for c in text)


def markdown(text: str) -> str:
    """Return text that Markdown shows as it is, in a cell of a table or in a line of its own."""
    escaped = re.sub(r"([\\|*`~<>\[\]])", r"\\\1", visible(text))
    escaped = re.sub(r"\\\[(\d+)\\\](?![(:\[\\])", r"[\1]", escaped)  # the number of a source is no link
    escaped = re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", escaped)  # inside a word it means nothing
    escaped = re.sub(r"&(?=#?\w+;)", r"\\&", escaped)
    return re.sub(r"^(#|[-+](?= )|=+$)", r"\\\1", escaped)


def latex(text: str) -> str:
    """Return text that LaTeX sets as it is, with a minus sign before negative numbers."""
    escaped = "".join(LATEX.get(character, character) for character in visible(text))
    return re.sub(r"(?<![\w.)-])-(?=\d)", "$-$", escaped)


def csv_cell(value: object) -> object:
    """Return a value of a table for CSV: text that a spreadsheet would run as a formula begins with an apostrophe."""
    if not isinstance(value, str):
        return value
    return f"'{visible(value)}" if FORMULA.match(value) and not NUMBER.fullmatch(value) else visible(value)
