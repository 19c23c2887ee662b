"""Backbones by name: a diffusers folder or hub id, the original DiT checkpoint, and which class is which.

Files are read from disk and from the Hugging Face cache only; nothing is ever fetched.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from diffusers import AutoencoderKL, DiTTransformer2DModel
from diffusers.utils import logging
from huggingface_hub import try_to_load_from_cache
from huggingface_hub.errors import HFValidationError
from torch import Tensor

from ddbench.diffusion.codec import Codec, PixelCodec, VaeCodec
from ddbench.diffusion.denoiser import Denoiser
from ddbench.diffusion.original_checkpoint import load_original, read_shape
from ddbench.errors import BadInputError, DataMismatchError, DataMissingError
from ddbench.images import DatasetInfo
from ddbench.inputs.documents import read_json
from ddbench.pretrained.imagenet import IMAGENET_CLASSES, imagenet_places

NO_VAE = "none"
CONFIG_FILE, WEIGHTS_FILE = "config.json", "diffusion_pytorch_model"
MODELS: dict[str, Any] = {"transformer": DiTTransformer2DModel, "vae": AutoencoderKL}  # by their folder in a pipeline
# Of a model's settings: what is looked at before diffusers has looked at them all.
COUNTS = {
    "transformer": ("num_embeds_ada_norm", "in_channels", "sample_size", "patch_size", "num_layers"),
    "vae": ("in_channels", "latent_channels"),
}
LARGEST_COUNT = 1_000_000
WAY_OUT = "copy or download the folder again"
# Settings of old folders: the class a DiT had before it got one of its own, and what told it from others.
OLD_CLASS, OLD_MARK = "Transformer2DModel", ("norm_type", "ada_norm_zero")


def load_denoiser(source: str) -> Denoiser:
    """Return the denoiser called `source`: a diffusers folder, a cached hub id, or an original `.pt` checkpoint.

    Raises:
        DataMissingError: no such file or folder, nor in the cache.
        DataMismatchError: a weight file that is damaged or of another model.
    """
    if source.endswith(".pt"):
        return load_original(Path(source).expanduser())
    transformer = _load(source, "transformer")
    _check_one_embedder(source, transformer)
    return Denoiser(transformer)


def load_codec(source: str) -> Codec:
    """Return the codec called `source`: a VAE's diffusers folder or cached hub id, or `none` for pixels.

    Raises:
        DataMissingError, DataMismatchError: as `load_denoiser`.
    """
    return PixelCodec() if source == NO_VAE else VaeCodec(_load(source, "vae"))


def check_fits(denoiser: Denoiser, vae: str, info: DatasetInfo) -> None:
    """Raise BadInputError where a data set's images are not what a denoiser and a `vae` work on."""
    shape = denoiser.shape
    _check_input((shape.channels, shape.image_size), input_of(vae, info), info)


def check_backbone(source: str, vae: str, info: DatasetInfo) -> None:
    """Check without loading weights that a backbone on this machine fits a data set.

    Raises:
        BadInputError: its classes, channels or side are others.
        DataMismatchError: it is an original checkpoint, and damaged.
    """
    if source.endswith(".pt"):
        shape = read_shape(Path(source).expanduser())
        classes, expected = shape.num_classes, (shape.channels, shape.image_size)
    else:
        settings = find_config(source, "transformer") or {}
        classes, expected = settings["num_embeds_ada_norm"], (settings["in_channels"], settings["sample_size"])
    class_ids_of(info, classes)
    _check_input(expected, input_of(vae, info), info)


def input_of(vae: str, info: DatasetInfo) -> tuple[int, int]:
    """Return channels and side of what a data set's images become, from the settings of a `vae` alone.

    Raises:
        BadInputError: the VAE does not take such images.
    """
    if vae == NO_VAE:
        return info.channels, info.image_size
    settings = find_config(vae, "vae") or {}
    takes, factor = settings["in_channels"], VaeCodec.downsampling_of(settings)
    if info.channels != takes or info.image_size % factor:
        raise BadInputError(
            f"the vae works on {takes} channels and sides that are multiples of {factor}, and images of {info.name} "
            f"have {info.channels} of {info.image_size}x{info.image_size}; choose another size or vae=none"
        )
    return settings["latent_channels"], info.image_size // factor


def class_ids_of(info: DatasetInfo, num_classes: int) -> Tensor:
    """Return the backbone's class id of each label, (K,) int64: by WordNet id for ImageNet's 1,000, else the labels.

    Raises:
        BadInputError: the backbone's classes are not the data set's.
    """
    if num_classes == IMAGENET_CLASSES and info.class_ids:
        return imagenet_places(info, "use another backbone")
    if num_classes != info.num_classes:
        raise BadInputError(
            f"the backbone knows {num_classes} classes and {info.name} has {info.num_classes}, not ImageNet's by "
            "WordNet id; train one on the data set with backbone=scratch"
        )
    return torch.arange(num_classes)


def find_config(source: str, subfolder: str) -> dict[str, Any] | None:
    """Return a diffusers model's settings without loading its weights, None where it is not on this machine."""
    try:
        return _find(source, subfolder)[1]
    except (DataMissingError, DataMismatchError):
        return None


def missing_reason(source: str, subfolder: str) -> str | None:
    """Return what to put where when a model is not on this machine, else None."""
    if source.endswith(".pt"):
        return None if Path(source).expanduser().is_file() else _missing(source, subfolder)
    try:
        _find(source, subfolder)
    except (DataMissingError, DataMismatchError) as error:
        return str(error)
    return None


def _check_input(expected: tuple[int, int], found: tuple[int, int], info: DatasetInfo) -> None:
    """Raise BadInputError where the channels and side that a backbone expects are not what images become."""
    if expected != found:
        (wanted, wanted_side), (channels, side) = expected, found
        raise BadInputError(
            f"the backbone works on {wanted} channels of {wanted_side}x{wanted_side}, and images of {info.name} become "
            f"{channels} of {side}x{side}; choose the data set's size or another backbone or vae"
        )


def _load(source: str, subfolder: str) -> Any:  # noqa: ANN401 - diffusers has no types
    folder, _ = _find(source, subfolder)
    try:
        with _without_chatter():
            loaded, report = MODELS[subfolder].from_pretrained(folder, local_files_only=True, output_loading_info=True)
    except Exception as error:  # a damaged file shows itself in errors of json, safetensors, pickle, torch and others
        reason = " ".join(str(error).split())
        detail = "" if str(folder) in reason else f" ({reason[:100]})"
        raise DataMismatchError(
            f"the weights in {folder} are damaged or not those of its {CONFIG_FILE}{detail}; {_again(source)}"
        ) from error
    absent = [*report["missing_keys"], *report["mismatched_keys"]]
    if absent:
        raise DataMismatchError(
            f"the weights in {folder} lack {len(absent)} tensors, {absent[0]} for one; {_again(source)}"
        )
    return loaded


def _find(source: str, subfolder: str) -> tuple[Path, dict[str, Any]]:
    """Return a model's folder and settings; raises DataMissingError or DataMismatchError."""
    folder = _find_folder(source, subfolder)
    if folder is None:
        raise DataMissingError(_missing(source, subfolder))
    return folder, _read_config(folder, subfolder)


def _read_config(folder: Path, subfolder: str) -> dict[str, Any]:
    """Return the settings in a model's folder, filled up with the defaults; raises DataMismatchError."""
    path, model = folder / CONFIG_FILE, MODELS[subfolder]
    try:
        found = read_json(path, "settings")
    except BadInputError as error:
        raise DataMismatchError(f"{path} is damaged; {WAY_OUT} ({error})") from error
    name = found.get("_class_name", "nothing known") if isinstance(found, dict) else "nothing known"
    was_dit = name == OLD_CLASS and found.get(OLD_MARK[0]) == OLD_MARK[1] and model is DiTTransformer2DModel
    if name != model.__name__ and not was_dit:
        raise DataMismatchError(f"{path} should describe a {model.__name__}, found {name}; give the folder of one")
    parameters = inspect.signature(model.__init__).parameters.values()
    defaults = {entry.name: entry.default for entry in parameters if entry.default is not entry.empty}
    settings = {**defaults, **found}
    for key in COUNTS[subfolder]:
        value = settings.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= LARGEST_COUNT:
            raise DataMismatchError(f"{path} should give a whole number above 0 as {key}, found {value!r}; {WAY_OUT}")
    if subfolder == "vae" and not isinstance(settings["block_out_channels"], list | tuple):
        raise DataMismatchError(f"{path} should give a list as block_out_channels; {WAY_OUT}")
    return settings


def _check_one_embedder(source: str, transformer: DiTTransformer2DModel) -> None:
    """Check that all blocks' embedders of timestep and label are copies, of which a denoiser keeps one."""
    first, *others = [block.norm1.emb.state_dict() for block in cast("list[Any]", transformer.transformer_blocks)]
    for number, other in enumerate(others, 1):
        if not all(torch.equal(tensor, other[name]) for name, tensor in first.items()):
            raise DataMismatchError(
                f"block {number} of {source} embeds timesteps and labels otherwise than block 0, which the original "
                "DiT cannot; use weights that were not trained with diffusers' own class"
            )


@contextmanager
def _without_chatter() -> Iterator[None]:
    """Keep diffusers from logging and showing bars: what is wrong with a folder is said by our errors."""
    level, had_bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if had_bar:
            logging.enable_progress_bar()


def _find_folder(source: str, subfolder: str) -> Path | None:
    """Return the folder with a model's settings and weights: that of a pipeline or its own, on disk or in the cache."""
    given = Path(source).expanduser()
    for folder in (given / subfolder, given) if given.is_dir() else _cached_folders(source, subfolder):
        weights = list(folder.glob(f"{WEIGHTS_FILE}*"))
        if (folder / CONFIG_FILE).is_file() and weights and all(path.is_file() for path in weights):
            return folder
    return None


def _cached_folders(source: str, subfolder: str) -> list[Path]:
    try:
        files = [try_to_load_from_cache(source, name) for name in (f"{subfolder}/{CONFIG_FILE}", CONFIG_FILE)]
    except HFValidationError:  # a path, not an id
        return []
    return [Path(file).parent for file in files if isinstance(file, str)]


def _missing(source: str, subfolder: str) -> str:
    if source.endswith(".pt"):
        return f"no weight file {source}; put the original DiT-XL-2-256x256.pt there, or use backbone=scratch"
    way_out = "train a small model on the data set with backbone=scratch and vae=none"
    if Path(source).expanduser().is_dir():
        return (
            f"no {CONFIG_FILE} with {WEIGHTS_FILE}.safetensors in {source!r} nor in its folder {subfolder}; "
            f"put a diffusers {MODELS[subfolder].__name__} there, or {way_out}"
        )
    return (
        f"no weights of {source!r}: neither a folder nor in the Hugging Face cache; fetch them with "
        f"`hf download {source}`, or {way_out}"
    )


def _again(source: str) -> str:
    return "copy the folder again" if Path(source).expanduser().is_dir() else f"`hf download {source}` again"
