"""Presets: settings of a method for one data set and IPC, from `baselines/presets`; listing them imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ddbench.errors import BadInputError, UnknownNameError
from ddbench.host.files import baselines_dir
from ddbench.inputs.documents import read_toml
from ddbench.inputs.paths import as_path
from ddbench.inputs.problems import explain
from ddbench.registry import suggest
from ddbench.runs.known_settings import default_settings

SUFFIX = ".toml"


class Preset(BaseModel):
    """Settings for one method, data set and IPC.

    Attributes:
        source: one sentence: where the settings come from, and whether they were run.
        published_for: IPCs whose published numbers were measured with these settings, as far as is known; a run with
            other settings stands beside none of them.
        published: what a reader should know of the printed settings, such as an error in them.
        settings: the method's settings; those left out keep their defaults.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    method: str = Field(min_length=1)
    dataset: str = Field(min_length=1)
    ipc: int = Field(ge=1)
    source: str = Field(min_length=1)
    published: str = ""
    published_for: list[int] = []
    settings: dict[str, Any] = {}


def preset_names() -> tuple[str, ...]:
    """Every shipped preset, sorted."""
    return tuple(sorted(path.stem for path in _folder().glob(f"*{SUFFIX}")))


def load_preset(name_or_path: str | Path) -> Preset:
    """Return a shipped preset, or the one in a file whose name ends in `.toml`.

    Raises:
        UnknownNameError: no shipped preset of this name (with close matches).
        BadInputError: no such file, not TOML, an unknown, missing or duplicate key, or a value of the wrong type.
    """
    path = _find(name_or_path)
    try:
        return Preset.model_validate(read_toml(path, "preset"))
    except ValidationError as error:
        raise BadInputError(f"preset {path}: {explain(error, tuple(Preset.model_fields))}; fix it") from error


def preset_settings(name_or_path: str | Path, method: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a preset's settings for `method`, those in `given` in place of the preset's.

    Raises:
        UnknownNameError, BadInputError: as `load_preset`; or the preset is for another method, or holds a setting that
            the method does not take.
    """
    from ddbench.method import make_method  # torch comes with it, and listing presets needs none

    preset = load_preset(name_or_path)
    if preset.method != method:
        raise BadInputError(
            f"preset {name_or_path} is for method {preset.method}, not {method}; name that method or another preset"
        )
    try:
        make_method(method, preset.settings)
    except BadInputError as error:
        raise BadInputError(f"preset {name_or_path}: {error}") from error
    return {**preset.settings, **given}


def published_settings(method: str, dataset: str, ipc: int | None) -> dict[str, Any] | None:
    """Return the settings behind a method's published numbers, every one; None where no preset says what they were."""
    first = f"{method}_{dataset.split(',')[0]}_ipc"  # a preset is named after its content
    for preset in (load_preset(name) for name in preset_names() if name.startswith(first)):
        if ipc in preset.published_for:
            return {**(default_settings(method) or {}), **preset.settings}
    return None


def _folder() -> Path:
    return baselines_dir() / "presets"


def _find(name_or_path: str | Path) -> Path:
    if str(name_or_path).endswith(SUFFIX):
        return as_path(name_or_path, "preset")
    if name_or_path not in preset_names():
        raise UnknownNameError(f"unknown preset {str(name_or_path)!r}; {suggest(str(name_or_path), preset_names())}")
    return _folder() / f"{name_or_path}{SUFFIX}"
