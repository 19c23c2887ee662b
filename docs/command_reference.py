"""MkDocs hook: fill the page on commands with the arguments and options that the program itself declares."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from ddbench.cli.main import app

MARKER = "<!-- commands -->"


def on_page_markdown(markdown: str, **_: object) -> str:
    """Return the page with the reference in place of the marker."""
    return markdown.replace(MARKER, "\n".join(reference())) if MARKER in markdown else markdown


def reference() -> Iterator[str]:
    """Yield the Markdown lines of all commands, sorted by name."""
    for name, command in sorted(typer.main.get_command(app).commands.items()):  # type: ignore[attr-defined]
        subcommands = getattr(command, "commands", {})
        for subname, subcommand in subcommands.items() or [("", command)]:
            yield from section(f"ddbench {name} {subname}".strip(), subcommand)


def section(title: str, command: Any) -> Iterator[str]:  # noqa: ANN401 - click's, or typer's copy of it
    """Yield the heading, the help and a table of the parameters of one command."""
    yield from ("", f"## {title}", "", command.help or "", "", "| | | |", "| --- | --- | --- |")
    for parameter in command.params:
        is_option = parameter.param_type_name == "option"
        names = ", ".join(f"`{name}`" for name in parameter.opts) if is_option else f"`{parameter.name.upper()}`"
        yield f"| {names} | {getattr(parameter, 'help', '') or ''} | {_default(parameter)} |".replace("\n", " ")


def _default(parameter: Any) -> str:  # noqa: ANN401
    if parameter.required:
        return "required"
    shown = parameter.show_default if isinstance(parameter.show_default, str) else parameter.default
    return f"default: {shown}" if shown not in (None, False, (), []) else ""
