"""Experts on disk: one safetensors file each, which says what it is of, read epoch by epoch; and their whitening."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from ddbench.distilled.files import load_whitening
from ddbench.errors import DataMismatchError
from ddbench.host.kept_files import is_kept_whole, save_kept
from ddbench.images import Whitening

TRAJECTORY = "trajectory"
ADVICE = "remove it to train that expert again"


class Expert:
    """A trained expert on disk, memory-mapped: only the epochs asked for are read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def parameters(self, epoch: int) -> Tensor:
        """Return the (P,) float32 parameters after `epoch` epochs, 0 for those at the start."""
        with safe_open(self._path, framework="pt") as file:
            row: Tensor = file.get_slice(TRAJECTORY)[epoch : epoch + 1]
        return row[0].float()


def expert_path(folder: Path, index: int) -> Path:
    """Return the file of one expert."""
    return folder / f"expert-{index:03d}.safetensors"


def find_whitening(folder: Path) -> Whitening | None:
    """Return the whitening kept in a folder of experts, None where there is none."""
    found = next(folder.glob("whitening-*.safetensors"), None)
    return None if found is None else load_whitening(folder, found.stem.removeprefix("whitening-"))


def save_expert(trajectory: Tensor, folder: Path, index: int, identity: dict[str, str]) -> None:
    """Write an expert's (epochs + 1, P) parameters, whole or not at all, with what they are of and a digest."""
    save_kept({TRAJECTORY: trajectory}, expert_path(folder, index), identity)


def keeps_expert(path: Path, identity: dict[str, str]) -> bool:
    """Return whether an earlier attempt left an expert to go on with; a damaged or another's goes, with a warning."""
    return is_kept_whole(path, identity) and has_expert(path, identity)


def has_expert(path: Path, identity: dict[str, str]) -> bool:
    """Return whether an expert is there; raises DataMismatchError where it is truncated or another's.

    Its numbers are not read: those of finished work have been verified as a whole (`ddbench.host.cached_work`).
    """
    if not path.exists():
        return False
    try:
        with safe_open(path, framework="pt") as file:
            found, shape = file.metadata() or {}, file.get_slice(TRAJECTORY).get_shape()
    except (SafetensorError, OSError) as error:
        raise DataMismatchError(
            f"expert file {path} is truncated or altered ({' '.join(str(error).split())[:120]}); {ADVICE}"
        ) from error
    for key, wanted in identity.items():
        if found.get(key) != wanted:
            raise DataMismatchError(
                f"expert file {path} is of another {key}: expected {wanted}, found {found.get(key, 'nothing')}; "
                "remove its folder to train the experts again"
            )
    wanted_shape = [int(identity["epochs"]) + 1, int(identity["parameter count"])]
    if list(shape) != wanted_shape:
        raise DataMismatchError(f"expert file {path} should hold {wanted_shape} numbers, found {list(shape)}; {ADVICE}")
    return True
