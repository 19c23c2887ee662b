"""Presets: settings of a method for one data set and IPC, from `baselines/presets`; listing them imports no torch."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ddbench.errors import BadInputError, UnknownNameError
from ddbench.host.files import baselines_dir
from ddbench.registry import suggest

SUFFIX = ".toml"


class Preset(BaseModel):
    """Settings for one method, data set and IPC.

    Attributes:
        source: one sentence: where the settings come from, and whether they were run.
        published: what a reader should know of the printed settings, such as an error in them.
        settings: the method's settings; those left out keep their defaults.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    method: str = Field(min_length=1)
    dataset: str = Field(min_length=1)
    ipc: int = Field(ge=1)
    source: str = Field(min_length=1)
    published: str = ""
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
    path = _find(str(name_or_path))
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadInputError(f"preset file {path} does not exist") from error
    except (OSError, ValueError) as error:  # ValueError: no TOML, no UTF-8, or a number too long to read
        raise BadInputError(f"preset {path} cannot be read: {' '.join(str(error).split())}") from error
    try:
        return Preset.model_validate(content)
    except ValidationError as error:
        raise BadInputError(f"preset {path}: {_explain(error)}") from error


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


def _folder() -> Path:
    return baselines_dir() / "presets"


def _find(name_or_path: str) -> Path:
    if name_or_path.endswith(SUFFIX):
        return Path(name_or_path)
    if name_or_path not in preset_names():
        raise UnknownNameError(f"unknown preset {name_or_path!r}; {suggest(name_or_path, preset_names())}")
    return _folder() / f"{name_or_path}{SUFFIX}"


def _explain(error: ValidationError) -> str:
    # A misspelt key is missing too; the misspelling is the one to name.
    first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"unknown key {key!r}; {suggest(key, Preset.model_fields)}"
    if first["type"] == "missing":
        return f"key {key!r} is missing"
    return f"{key}: {first['msg']}, got {first['input']!r}"
