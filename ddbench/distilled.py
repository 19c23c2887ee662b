"""Distilled sets on disk: one safetensors file for images and labels, one JSON sidecar with everything else.

`distilled.safetensors` holds `images` and `labels`; `distilled.json` holds the fields, the provenance and the SHA-256
of the tensor file. Nothing is ever unpickled.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ddbench.errors import BadInputError, DataMismatchError
from ddbench.files import make_folder, sha256_of, staged_folder, write_text
from ddbench.records import DistilledDataset, Space

TENSORS = "distilled.safetensors"
SIDECAR = "distilled.json"
PICTURE = "images.png"  # made for people from the two files, not part of the set


class Sidecar(BaseModel):
    """Content of `distilled.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="constants")
    format: Literal["ddbench-distilled-1"] = "ddbench-distilled-1"
    sha256: str
    num_classes: int
    ipc: int | None
    space: Space
    student_lr: float | None
    provenance: dict[str, Any]


def save_distilled(distilled: DistilledDataset, folder: Path | str) -> Path:
    """Write a distilled set into `folder`, whole or not at all, and return the folder.

    Raises:
        BadInputError: the folder holds something else than a distilled set, or cannot be written.
    """
    target = Path(folder)
    check_target(target)
    with staged_folder(target) as staging:
        tensors = {"images": distilled.images.cpu().contiguous(), "labels": distilled.labels.cpu().contiguous()}
        save_file(tensors, staging / TENSORS)
        sidecar = Sidecar(
            sha256=sha256_of(staging / TENSORS),
            num_classes=distilled.num_classes,
            ipc=distilled.ipc,
            space=distilled.space,
            student_lr=distilled.student_lr,
            provenance=dict(distilled.provenance),
        )
        write_text(staging / SIDECAR, sidecar.model_dump_json(indent=1) + "\n")
    return target


def load_distilled(folder: Path | str) -> DistilledDataset:
    """Return the distilled set kept in `folder`, every byte checked.

    Raises:
        BadInputError: no distilled set there, or one with impossible content.
        DataMismatchError: a file is truncated or altered.
    """
    source = Path(folder)
    tensors_path, sidecar_path = source / TENSORS, source / SIDECAR
    for path in (tensors_path, sidecar_path):
        if not path.is_file():
            raise BadInputError(f"{source} is not a distilled set: it has no {path.name}; name the folder that has one")
    try:
        sidecar = Sidecar.model_validate(json.loads(sidecar_path.read_text(encoding="utf-8")))
    except (ValueError, ValidationError) as error:
        raise DataMismatchError(f"{sidecar_path} is damaged: {_first_line(error)}; copy the set again") from error
    if sha256_of(tensors_path) != sidecar.sha256:
        raise DataMismatchError(f"{tensors_path} is truncated or altered: its checksum differs; copy the set again")
    try:
        tensors = load_file(tensors_path)
        images, labels = tensors["images"], tensors["labels"]
    except (SafetensorError, KeyError) as error:
        raise DataMismatchError(f"{tensors_path} does not hold images and labels: {_first_line(error)}") from error
    return DistilledDataset(
        images=images,
        labels=labels,
        num_classes=sidecar.num_classes,
        ipc=sidecar.ipc,
        space=sidecar.space,
        student_lr=sidecar.student_lr,
        provenance=sidecar.provenance,
    )


def check_target(folder: Path) -> None:
    """Raise BadInputError where a distilled set cannot be written to `folder`: before hours of work, not after."""
    if folder.exists():
        names = {path.name for path in folder.iterdir()} if folder.is_dir() else None
        if names is None or not names <= {TENSORS, SIDECAR, PICTURE} or names == {PICTURE}:
            raise BadInputError(f"{folder} exists and is not a distilled set; choose a new folder")
    make_folder(folder.parent)


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
