"""Claims files by name: those that ddbench ships in `baselines/claims`."""

from __future__ import annotations

from pathlib import Path

from ddbench.errors import UnknownNameError
from ddbench.host.files import baselines_dir
from ddbench.inputs.documents import read_toml
from ddbench.inputs.paths import as_path
from ddbench.registry import suggest


def claims_names() -> tuple[str, ...]:
    """Every shipped claims file, sorted."""
    return tuple(sorted(path.stem for path in _folder().glob("*.toml")))


def find_claims(name_or_path: str) -> Path:
    """Return a claims file: the one given, or the shipped one of that name where there is none.

    Raises:
        BadInputError: it is no path.
        UnknownNameError: a name, and neither a file's nor that of a shipped one.
    """
    path = as_path(name_or_path, "claims file")
    if name_or_path in claims_names() and not path.exists():
        return _folder() / f"{name_or_path}.toml"
    if path.name == name_or_path and not path.suffix and not path.exists():
        raise UnknownNameError(
            f"no claims file {name_or_path!r} and ddbench ships none of that name; {suggest(path.name, claims_names())}"
        )
    return path


def family_of(name: str) -> str:
    """Return what the claims of a shipped file are about, in a few words."""
    return str(read_toml(_folder() / f"{name}.toml", "claims file").get("family", ""))


def _folder() -> Path:
    return baselines_dir() / "claims"
