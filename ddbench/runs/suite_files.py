"""Suite files by name: those that ddbench ships in `baselines/suites`; listing them imports no torch."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from ddbench.errors import BadInputError, UnknownNameError
from ddbench.host.files import baselines_dir
from ddbench.inputs.paths import as_path
from ddbench.registry import suggest


def suite_names() -> tuple[str, ...]:
    """Every shipped suite, sorted."""
    return tuple(sorted(path.stem for path in _folder().glob("*.yaml")))


def find_suite(name_or_path: str) -> Path:
    """Return the file of a suite: the one given, or that of a shipped suite's name where there is none of the name.

    Raises:
        BadInputError: it is no path, or one of a file that does not exist.
        UnknownNameError: a name, and neither a file's nor a shipped suite's.
    """
    path = as_path(name_or_path, "suite")
    if name_or_path in suite_names() and not path.exists():
        return _folder() / f"{name_or_path}.yaml"
    if path.name == name_or_path and not path.suffix and not path.exists():
        raise UnknownNameError(
            f"no suite file {name_or_path!r} and ddbench ships none of that name; {suggest(path.name, suite_names())}"
        )
    if not path.exists():
        close = get_close_matches(path.stem, suite_names(), n=1)
        named = f"did you mean {close[0]}?" if close else "check the path, or take one of `ddbench list suites`"
        raise BadInputError(f"suite {path} does not exist; {named}")
    return path


def first_sentence(suite: Path) -> str:
    """Return what a suite's file says of itself first: the first sentence of the comment that it begins with."""
    words: list[str] = []
    for line in suite.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        words += line.removeprefix("#").split()
    sentence, stop, _ = " ".join(words).partition(". ")
    return sentence + stop.strip()


def _folder() -> Path:
    return baselines_dir() / "suites"
