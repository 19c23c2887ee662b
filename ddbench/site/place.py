"""Where a site may be written: a new or empty folder, or one that holds an earlier site and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from ddbench.errors import BadInputError
from ddbench.host.files import write_text
from ddbench.inputs.documents import read_json

MARKER, FORMAT = "ddbench-site.json", "ddbench-site-1"


def check_site_target(out: Path) -> None:
    """Raise BadInputError where a site cannot take the place of what lies at `out`."""
    if not out.name:
        raise BadInputError(f"{out} cannot hold a site; name a new folder")
    if not (out.exists() or out.is_symlink()):
        return
    if out.is_symlink() or not out.is_dir():
        raise BadInputError(f"{out} exists and is not a folder; name a new folder for the site")
    found = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_symlink() or not path.is_dir()}
    if not found:
        return
    if MARKER not in found:
        raise BadInputError(f"{out} exists and is not a ddbench site; name a new folder, or remove it")
    if strangers := sorted(found - _listed(out) - {MARKER}):
        raise BadInputError(
            f"{out} holds {strangers[0]}, which ddbench site has not written and would be lost; move it, or name a new "
            "folder"
        )


def write_marker(folder: Path, files: Iterable[str]) -> None:
    """Write what makes a folder known as a site, with the files that are its own."""
    write_text(folder / MARKER, json.dumps({"format": FORMAT, "files": sorted(files)}, indent=1) + "\n")


def _listed(out: Path) -> set[str]:
    content = read_json(out / MARKER, "marker of a site")
    files = content.get("files") if isinstance(content, dict) and content.get("format") == FORMAT else None
    if not isinstance(files, list):
        raise BadInputError(f"{out / MARKER} is not one that ddbench site wrote; name a new folder, or remove this one")
    return {str(name) for name in files}
