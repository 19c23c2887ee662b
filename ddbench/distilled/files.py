"""Distilled sets on disk: one safetensors file for images and labels, one JSON sidecar with everything else.

`distilled.safetensors` holds `images` and `labels`; `distilled.json` holds the fields, the provenance, the SHA-256 of
the tensor file and a digest of all that. A set in space `zca` also has `whitening-<hash>.safetensors`, named by the
hash of its content: a hard link to the one copy in the cache folder where the file system allows that. Nothing is ever
unpickled.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ddbench.distilled.dataset import DistilledDataset
from ddbench.distilled.names import PICTURE, SIDECAR, TENSORS
from ddbench.errors import BadInputError, DataMismatchError
from ddbench.host.cached_work import WorkKey, cached_work
from ddbench.host.files import digest_of, make_folder, sha256_of, staged_file, staged_folder, write_text
from ddbench.images import Whitening
from ddbench.inputs.documents import read_json
from ddbench.inputs.paths import as_path
from ddbench.inputs.problems import explain
from ddbench.records import Phase, Space

CACHE_VERSION = 1  # of the kept copies of whitenings, whose names follow from their content
WHITENING = re.compile(r"whitening-[0-9a-f]{16}\.safetensors")


class Provenance(BaseModel):
    """The types of what is read of a set's provenance; a set may say more of itself, and from elsewhere less."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)
    method: str = ""
    config: dict[str, Any] = {}
    dataset: str = ""
    dataset_fingerprint: str = ""
    class_names: list[str] | None = None
    distill_seed: int = 0
    share_prepare: bool = False
    foundation: str = ""
    engine: dict[str, Any] = {}
    phases: Annotated[list[Phase], Field(strict=False)] = []
    diverged: str = ""


class Sidecar(BaseModel):
    """Content of `distilled.json`; sets written before there were digests and whitenings lack them."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="constants")
    format: Literal["ddbench-distilled-1"] = "ddbench-distilled-1"
    sha256: str
    num_classes: Annotated[int, Field(strict=True)]
    ipc: Annotated[int, Field(strict=True)] | None
    space: Space
    student_lr: Annotated[float, Field(strict=True)] | None
    whitening: str | None = Field(default=None, pattern="^[0-9a-f]{16}$")
    uneven: Annotated[bool, Field(strict=True)] = False
    decode_factor: Annotated[int, Field(strict=True)] = 1
    provenance: dict[str, Any]
    digest: str = ""  # of all other fields as JSON has them


def save_distilled(distilled: DistilledDataset, folder: Path | str) -> Path:
    """Write a distilled set into `folder`, whole or not at all, and return the folder.

    Raises:
        BadInputError: the folder holds something else than a distilled set, or cannot be written; a streamed set.
    """
    target = Path(folder)
    check_target(target)
    with staged_folder(target) as staging:
        write_distilled(distilled, staging)
    return target


def write_distilled(distilled: DistilledDataset, folder: Path) -> None:
    """Write the files of a set into a folder that is there, a staging one; raises BadInputError for a streamed set."""
    if distilled.is_streamed:
        raise BadInputError("this set is the real training split itself, too large to hold; evaluate it with `run`")
    tensors = {"images": distilled.images.cpu().contiguous(), "labels": distilled.labels.cpu().contiguous()}
    save_file(tensors, folder / TENSORS)
    if distilled.whitening is not None:
        save_whitening(distilled.whitening, folder)
    sidecar = Sidecar(
        sha256=sha256_of(folder / TENSORS),
        num_classes=distilled.num_classes,
        ipc=distilled.ipc,
        space=distilled.space,
        student_lr=distilled.student_lr,
        whitening=distilled.whitening.hash if distilled.whitening is not None else None,
        uneven=distilled.uneven,
        decode_factor=distilled.decode_factor,
        provenance=dict(distilled.provenance),
    )
    digest = _digest_of(json.loads(sidecar.model_dump_json()))
    write_text(folder / SIDECAR, sidecar.model_copy(update={"digest": digest}).model_dump_json(indent=1) + "\n")


def load_distilled(folder: Path | str) -> DistilledDataset:
    """Return the distilled set kept in `folder`, every byte checked.

    Raises:
        BadInputError: no distilled set there, or one with impossible content.
        DataMismatchError: a file is truncated or altered, or the whitening is missing.
    """
    source = as_path(folder, "distilled set")
    tensors_path, sidecar_path = source / TENSORS, source / SIDECAR
    for path in (tensors_path, sidecar_path):
        if not path.is_file():
            raise BadInputError(f"{source} is not a distilled set: it has no {path.name}; name the folder that has one")
    sidecar = _read_sidecar(sidecar_path)
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
        whitening=None if sidecar.whitening is None else load_whitening(source, sidecar.whitening),
        provenance=sidecar.provenance,
        uneven=sidecar.uneven,
        decode_factor=sidecar.decode_factor,
    )


def _read_sidecar(path: Path) -> Sidecar:
    try:
        content = read_json(path, "sidecar")
        sidecar = Sidecar.model_validate(content)
        Provenance.model_validate(sidecar.provenance)
    except ValidationError as error:
        part = "provenance." if error.title == Provenance.__name__ else ""
        problem = explain(error, Sidecar.model_fields)
        raise DataMismatchError(f"{path} is damaged: {part}{problem}; copy the set again") from error
    except BadInputError as error:
        raise DataMismatchError(f"{path} is damaged: {str(error).partition(';')[0]}; copy the set again") from error
    if sidecar.digest and sidecar.digest != _digest_of(content):
        raise DataMismatchError(f"{path} was altered: its digest differs; copy the set again, or distil again")
    return sidecar


def _digest_of(content: dict[str, Any]) -> str:
    return digest_of({name: value for name, value in content.items() if name != "digest"})


def content_digest(distilled: DistilledDataset) -> str:
    """Return 16 hexadecimal digits of all that students learn from: images, labels, space, rate and decoding."""
    digest = hashlib.sha256()
    for tensor in (distilled.images, distilled.labels):
        digest.update(tensor.detach().cpu().contiguous().numpy().data)
    facts = (distilled.space, distilled.student_lr, distilled.decode_factor, distilled.ipc)
    whitening = distilled.whitening.hash if distilled.whitening is not None else ""
    return digest_of({"tensors": digest.hexdigest(), "facts": facts, "whitening": whitening})


def check_target(folder: Path) -> None:
    """Raise BadInputError where a distilled set cannot be written to `folder`: before hours of work, not after."""
    if folder.exists():
        names = {path.name for path in folder.iterdir()} if folder.is_dir() else {folder.name}
        strangers = {name for name in names - {TENSORS, SIDECAR, PICTURE} if not WHITENING.fullmatch(name)}
        if not folder.is_dir() or strangers or (names and not names & {TENSORS, SIDECAR}):
            raise BadInputError(f"{folder} exists and is not a distilled set; choose a new folder")
    make_folder(folder.parent)


def _whitening_name(content_hash: str) -> str:
    return f"whitening-{content_hash}.safetensors"


def load_whitening(folder: Path, content_hash: str) -> Whitening:
    """Return the whitening of that hash kept in `folder`; raises DataMismatchError where it is missing or damaged."""
    return _read_whitening(folder / _whitening_name(content_hash), content_hash)


def save_whitening(whitening: Whitening, folder: Path) -> None:
    """Put a whitening into the folder of a set: a link to the cached copy, or a file of its own where that fails."""
    path = folder / _whitening_name(whitening.hash)
    with staged_file(path) as temporary:
        try:
            os.link(_keep_whitening(whitening), temporary)
        except (OSError, BadInputError, SafetensorError):  # another file system, or a cache that cannot be written
            _write_whitening(whitening, temporary)


def _keep_whitening(whitening: Whitening) -> Path:
    """Return the cached copy of a whitening, written anew where it is missing or has another content."""
    # A damaged copy is never written over: other sets are linked to it.
    with cached_work(WorkKey("whitening", whitening.hash, "", CACHE_VERSION, {})) as work:
        path = work.folder / _whitening_name(whitening.hash)
        if work.account is None:
            _write_whitening(whitening, path)
            work.keep()
    return path


def _write_whitening(whitening: Whitening, path: Path) -> None:
    save_file({name: getattr(whitening, name).cpu().contiguous() for name in ("mean", "matrix")}, path)


def _read_whitening(path: Path, content_hash: str) -> Whitening:
    """Return the whitening in a file; raises DataMismatchError where it is missing or has another hash."""
    if not path.is_file():
        raise DataMismatchError(f"{path} is missing and the set cannot be used without it; copy the whole set again")
    try:
        tensors = load_file(path)
        whitening = Whitening(tensors["mean"], tensors["matrix"])
    except (SafetensorError, KeyError, BadInputError) as error:
        raise DataMismatchError(f"{path} is truncated or altered: {_first_line(error)}; copy the set again") from error
    if whitening.hash != content_hash:
        raise DataMismatchError(f"{path} is truncated or altered: its checksum differs; copy the set again")
    return whitening


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
