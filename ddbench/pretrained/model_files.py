"""Where published weights lie on this machine: the model folder, torch hub's, or the Hugging Face cache."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ddbench.dataset import find_data_dir
from ddbench.errors import DataMismatchError, DataMissingError
from ddbench.host.files import sha256_of
from ddbench.inputs.paths import as_path
from ddbench.pretrained.published import Published

MODEL_DIR_VARIABLE = "DDBENCH_MODEL_DIR"
HUB_FILES = ("model.safetensors", "pytorch_model.bin")


def find_model_dir() -> Path:
    """Return the folder of published weights: $DDBENCH_MODEL_DIR, else `models` beside the data folder."""
    chosen = os.environ.get(MODEL_DIR_VARIABLE)
    return as_path(chosen, MODEL_DIR_VARIABLE) if chosen else find_data_dir().parent / "models"


def find_weights(published: Published) -> tuple[Path, str]:
    """Return the file with published weights, and its SHA-256; nothing is fetched.

    In the model folder it has the library's own name or that of the weights, `resnet18.IMAGENET1K_V1.safetensors`, in a
    folder `torchvision` or `timm`.

    Raises:
        DataMissingError: it is nowhere; the message says what to put where.
        DataMismatchError: the library's name holds the digest of the file, and that has another.
    """
    path = next((path for path in _places(published) if path.is_file()), None)
    if path is None:
        own = _own_names(published)
        raise DataMissingError(
            f"no weights {published.name} on this machine: put {own[0]} ({published.address}) into "
            f"{_own_folder(published)}; nothing is fetched"
        )
    digest = sha256_of(path)
    expected = re.search(r"-([0-9a-f]{8,})\.\w+$", published.file_name)
    if path.name == published.file_name and expected and not digest.startswith(expected[1]):
        raise DataMismatchError(
            f"weights {path} are damaged: their SHA-256 begins with {digest[:8]}, not as the name says; copy them again"
        )
    return path, digest


def _own_folder(published: Published) -> Path:
    return find_model_dir() / published.name.partition("/")[0]


def _own_names(published: Published) -> list[str]:
    """Return what the file may be called in the model folder, the usual one first."""
    name = published.name.partition("/")[2]
    own = [f"{name}.safetensors", f"{name}.pth"]
    usual = [published.file_name] if published.file_name else []
    return [*own, *usual] if published.hub_id else [*usual, *own]


def _places(published: Published) -> list[Path]:
    import torch

    places = [_own_folder(published) / name for name in _own_names(published)]
    if published.file_name:
        places.append(Path(torch.hub.get_dir()) / "checkpoints" / published.file_name)
    return [*places, *_cached(published.hub_id)]


def _cached(hub_id: str) -> list[Path]:
    """Return the files of a repository that are in the Hugging Face cache."""
    if not hub_id:
        return []
    from huggingface_hub import try_to_load_from_cache

    name, _, revision = hub_id.partition("@")
    found = [try_to_load_from_cache(name, file, revision=revision or None) for file in HUB_FILES]
    return [Path(path) for path in found if isinstance(path, str)]
