"""The templates of pages: of the report, of a site and of a table alone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from ddbench.tables.escaping import visible

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"
ARXIV = re.compile(r"arXiv[: ]\s?([0-9]{4}\.[0-9]{4,5})", re.IGNORECASE)


def page_templates() -> Environment:
    """Return the environment of the templates: text is escaped, lines of statements alone leave no line.

    Characters that act, such as those that change the direction of text, are shown; lines of a text stay lines. The
    filter `linked` makes arXiv identifiers of a text links.
    """
    from jinja2 import Environment, FileSystemLoader

    loader = FileSystemLoader(TEMPLATES, encoding="utf-8")
    made = Environment(autoescape=True, finalize=_visible, trim_blocks=True, lstrip_blocks=True, loader=loader)
    made.filters["linked"] = _linked
    return made


def joined(*names: str) -> str:
    """Return style sheets or scripts of the templates' folder as one text."""
    return "".join((TEMPLATES / name).read_text(encoding="utf-8") for name in names)


def _visible(value: object) -> object:
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    return "\n".join(map(visible, value.split("\n")))


def _linked(text: str) -> Markup:
    from markupsafe import Markup, escape

    return Markup(ARXIV.sub(r'<a href="https://arxiv.org/abs/\1">\g<0></a>', str(escape(_visible(text)))))
