"""Backbones by name: a diffusers folder or hub id, the original DiT checkpoint, and which class is which.

Files are read from disk and from the Hugging Face cache only; nothing is ever fetched.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

import torch
from diffusers import AutoencoderKL, DiTTransformer2DModel
from safetensors import SafetensorError
from torch import Tensor

from ddbench.diffusion.codec import Codec, PixelCodec, VaeCodec
from ddbench.diffusion.denoiser import Denoiser
from ddbench.diffusion.original_checkpoint import load_original
from ddbench.errors import BadInputError, DataMismatchError, DataMissingError
from ddbench.records import DatasetInfo

NO_VAE = "none"
IMAGENET_CLASSES = 1000
Model = TypeVar("Model")


def load_denoiser(source: str) -> Denoiser:
    """Return the denoiser called `source`: a diffusers folder, a cached hub id, or an original `.pt` checkpoint.

    Raises:
        DataMissingError: no such file or folder, nor in the cache.
        DataMismatchError: a weight file that is damaged or of another model.
    """
    if source.endswith(".pt"):
        return load_original(Path(source).expanduser())
    return Denoiser(_load(DiTTransformer2DModel, source, "transformer"))


def load_codec(source: str) -> Codec:
    """Return the codec called `source`: a VAE's diffusers folder or cached hub id, or `none` for pixels.

    Raises:
        DataMissingError, DataMismatchError: as `load_denoiser`.
    """
    return PixelCodec() if source == NO_VAE else VaeCodec(_load(AutoencoderKL, source, "vae"))


def check_fits(denoiser: Denoiser, codec: Codec, info: DatasetInfo) -> None:
    """Raise BadInputError where a data set's images are not what a denoiser and its codec work on."""
    shape = denoiser.shape
    side, channels = info.image_size // codec.downsampling, codec.channels_of(info.channels)
    if (shape.image_size, shape.channels) != (side, channels):
        raise BadInputError(
            f"the backbone works on {shape.channels} channels of {shape.image_size}x{shape.image_size}, and images of "
            f"{info.name} become {channels} of {side}x{side}; choose the data set's size or another backbone or vae"
        )


def class_ids_of(info: DatasetInfo, num_classes: int) -> Tensor:
    """Return the backbone's class id of each label, (K,) int64: by WordNet id for ImageNet's 1,000, else the labels.

    Raises:
        BadInputError: the backbone's classes are not the data set's.
    """
    if num_classes == IMAGENET_CLASSES and info.class_ids:
        from timm.data.imagenet_info import ImageNetInfo

        places = {name: index for index, name in enumerate(ImageNetInfo("imagenet-1k").label_names())}
        unknown = [name for name in info.class_ids if name not in places]
        if unknown:
            raise BadInputError(f"class {unknown[0]} of {info.name} is none of ImageNet's 1,000; use another backbone")
        return torch.tensor([places[name] for name in info.class_ids])
    if num_classes != info.num_classes:
        raise BadInputError(
            f"the backbone knows {num_classes} classes and {info.name} has {info.num_classes} without WordNet ids; "
            "train one on the data set with backbone=scratch"
        )
    return torch.arange(num_classes)


def find_config(source: str, subfolder: str) -> dict[str, Any] | None:
    """Return a diffusers model's settings without loading its weights, None where it is not on this machine."""
    place = _find_folder(source, subfolder)
    model: Any = DiTTransformer2DModel if subfolder == "transformer" else AutoencoderKL
    try:
        return dict(model.load_config(place, subfolder=subfolder if place == source else None, local_files_only=True))
    except (OSError, ValueError):
        return None


def missing_reason(source: str, subfolder: str) -> str | None:
    """Return what to put where when a model is not on this machine, else None."""
    if source.endswith(".pt"):
        return None if Path(source).expanduser().is_file() else _missing(source)
    return None if find_config(source, subfolder) else _missing(source)


def _load(model: type[Model], source: str, subfolder: str) -> Model:
    if find_config(source, subfolder) is None:
        raise DataMissingError(_missing(source))
    place = _find_folder(source, subfolder)
    options = {"subfolder": subfolder} if place == source else {}
    loader: Any = model
    try:
        loaded, report = loader.from_pretrained(place, local_files_only=True, output_loading_info=True, **options)
    except (OSError, RuntimeError, ValueError, KeyError, SafetensorError, json.JSONDecodeError) as error:
        reason = " ".join(str(error).split())[:160]
        raise DataMismatchError(
            f"the weights of {source} cannot be read: {reason}; copy or download them again"
        ) from error
    absent = [*report["missing_keys"], *report["mismatched_keys"]]
    if absent:
        raise DataMismatchError(
            f"the weights of {source} lack {len(absent)} tensors, {absent[0]} for one; copy or download them again"
        )
    return loaded  # type: ignore[no-any-return]


def _find_folder(source: str, subfolder: str) -> str:
    """Return the model's own folder where `source` is a folder on disk, else `source`, a hub id."""
    folder = Path(source).expanduser()
    if not folder.is_dir():
        return source
    return str(folder / subfolder if (folder / subfolder).is_dir() else folder)


def _missing(source: str) -> str:
    if source.endswith(".pt"):
        return f"no weight file {source}; put the original DiT-XL-2-256x256.pt there, or use backbone=scratch"
    return (
        f"no weights of {source!r}: neither a folder nor in the Hugging Face cache; fetch them with "
        f"`hf download {source}`, or train a small model on the data set with backbone=scratch and vae=none"
    )
