"""The templates of pages: of the report and of a table alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"


def page_templates() -> Environment:
    """Return the environment of the templates: text is escaped, lines of statements alone leave no line."""
    from jinja2 import Environment, FileSystemLoader

    loader = FileSystemLoader(TEMPLATES, encoding="utf-8")
    return Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, loader=loader)
