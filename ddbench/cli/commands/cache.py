"""`ddbench cache`: what is kept from earlier runs, and its removal."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from ddbench.cli._app import app
from ddbench.cli._showing import console, plain_text, say
from ddbench.errors import BadInputError

if TYPE_CHECKING:
    from ddbench.host.cache_contents import CacheEntry

DAY = 24 * 3600.0
UNITS = {"h": DAY / 24, "d": DAY, "w": 7 * DAY}


@app.command()
def cache(
    unused: Annotated[
        str | None, typer.Option(metavar="TIME", help="Remove what has not been used for so long, such as 30d or 12h.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Remove everything.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove without asking.")] = False,
) -> int:
    """List what is kept from earlier runs, or remove it; all of it can be made again."""
    from ddbench.host.cache_contents import list_cache
    from ddbench.host.clock import seconds_since
    from ddbench.host.files import find_cache_dir
    from ddbench.tables.quantities import bytes_text

    if unused is not None and everything:
        raise BadInputError("--unused and --all exclude each other; give one of them")
    least = 0.0 if unused is None else _seconds_of(unused)
    entries = [entry for entry in list_cache() if seconds_since(entry.last_used) >= least]
    if not entries:
        say(f"nothing {'to remove' if unused or everything else 'is kept'} in {find_cache_dir()}")
        return 0
    _show(entries)
    if unused is None and not everything:
        return 0
    size = bytes_text(sum(entry.num_bytes for entry in entries))
    if not yes and not typer.confirm(f"Remove {_count(len(entries))}, {size}?"):
        say("nothing was removed")
        return 1
    return _remove(entries)


def _remove(entries: list[CacheEntry]) -> int:
    from ddbench.host.cache_contents import remove
    from ddbench.tables.quantities import bytes_text

    kept = [entry for entry in entries if not remove(entry)]
    removed = [entry for entry in entries if entry not in kept]
    say(f"removed {_count(len(removed))}, {bytes_text(sum(entry.num_bytes for entry in removed))}")
    for entry in kept:
        say(f"not removed, because a process is using it or it is not yours: {entry.path}")
    return 1 if kept else 0


def _show(entries: list[CacheEntry]) -> None:
    from rich.table import Table

    from ddbench.host.clock import seconds_since
    from ddbench.host.files import find_cache_dir
    from ddbench.tables.quantities import bytes_text

    table = Table(box=None, padding=(0, 2, 0, 0), title=plain_text(str(find_cache_dir())), title_justify="left")
    for column in ("kind", "what it is", "data set"):
        table.add_column(column)
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("last used", justify="right", no_wrap=True)
    for entry in entries:
        name = entry.name if entry.state == "kept" else f"{entry.name} ({entry.state})"
        age = _age(seconds_since(entry.last_used))
        table.add_row(*map(plain_text, (entry.kind, name, entry.dataset, bytes_text(entry.num_bytes), age)))
    table.add_section()
    table.add_row("", _count(len(entries)), "", bytes_text(sum(entry.num_bytes for entry in entries)), "")
    console().print(table)


def _seconds_of(text: str) -> float:
    found = re.fullmatch(r"([0-9]{1,6})([hdw])", text)
    if found is None:
        raise BadInputError(f"--unused must be a number of hours, days or weeks such as 12h, 30d or 2w, got {text!r}")
    return int(found[1]) * UNITS[found[2]]


def _age(seconds: float) -> str:
    if seconds < UNITS["h"]:
        return f"{max(0, int(seconds // 60))} min ago"
    return f"{seconds / UNITS['h']:.0f} h ago" if seconds < 2 * DAY else f"{seconds / DAY:.0f} days ago"


def _count(number: int) -> str:
    return f"{number} {'entry' if number == 1 else 'entries'}"
