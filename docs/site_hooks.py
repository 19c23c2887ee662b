"""MkDocs hooks: the page on commands is filled from the program itself; labels of source blocks are set apart."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import typer

from ddbench.cli.main import app

MARKER = "<!-- commands -->"
LABELS = re.compile(
    r"\s*\b(Papers?|Checked against|Differs from it):"
)  # of the docstring that a method's file begins with


def on_page_markdown(markdown: str, **_: object) -> str:
    """Return the page with the reference in place of the marker."""
    return markdown.replace(MARKER, "\n".join(reference())) if MARKER in markdown else markdown


def on_page_content(html: str, page: Any, **_: object) -> str:  # noqa: ANN401 - a page of MkDocs
    """Return the page with every label of a source block in bold and on a line of its own."""
    return LABELS.sub(r"<br><strong>\1:</strong>", html).replace("<p><br>", "<p>") if "fidelity" in page.url else html


def reference() -> Iterator[str]:
    """Yield the Markdown lines of all commands, sorted by name."""
    for name, command in sorted(typer.main.get_command(app).commands.items()):  # type: ignore[attr-defined]
        subcommands = getattr(command, "commands", {})
        for subname, subcommand in subcommands.items() or [("", command)]:
            yield from section(f"ddbench {name} {subname}".strip(), subcommand)


def section(title: str, command: Any) -> Iterator[str]:  # noqa: ANN401 - click's, or typer's copy of it
    """Yield the heading, the help and a table of the parameters of one command."""
    yield from ("", f"## {title}", "", command.help or "", "", "| option | what | |", "| --- | --- | --- |")
    for parameter in command.params:
        is_option = parameter.param_type_name == "option"
        names = ", ".join(f"`{name}`" for name in parameter.opts) if is_option else f"`{parameter.name.upper()}`"
        what = " ".join((getattr(parameter, "help", "") or "").replace("<", "&lt;").split())
        yield f"| {names} | {what} | {_default(parameter)} |"


def _default(parameter: Any) -> str:  # noqa: ANN401
    if parameter.required:
        return "required"
    shown = parameter.show_default if isinstance(parameter.show_default, str) else parameter.default
    return "" if shown is None or shown is False or shown in ((), []) else f"default: {shown}"
