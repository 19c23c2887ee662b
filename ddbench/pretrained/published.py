"""Weights that torchvision and timm publish, by name: `torchvision/resnet18`, `timm/resnet18.a1_in1k`.

A name ends in a tag, torchvision's name of an entry of its weights or timm's tag. Without one it is the entry that the
papers' code takes: torchvision's first (`pretrained=True`, as SRe2L and RDED have it), timm's default. Nothing is ever
fetched.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import PurePosixPath
from typing import Any

from ddbench.errors import UnknownNameError
from ddbench.registry import suggest

FAMILIES = ("torchvision", "timm")
# torchvision's models of these names turn images normalised as ImageNet's into ones around 0.5 first.
AROUND_A_HALF = ("googlenet", "inception_v3")
HALF = (0.5, 0.5, 0.5)
READABLE = (".pth", ".safetensors", ".bin", ".pt")


@dataclass(frozen=True)
class Published:
    """What a library says of weights.

    Attributes:
        name: with the tag, `torchvision/resnet18.IMAGENET1K_V1`.
        network: the model's name as a network of ours, `torchvision/resnet18`.
        mean, std: per channel, of pixels in [0, 1]: what its images are normalised with.
        num_classes: outputs.
        file_name: what the library calls the file, `resnet18-f37072fd.pth`; empty where it has none.
        address: where it is published.
        hub_id: its repository on the Hugging Face hub; empty where it has none.
    """

    name: str
    network: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    num_classes: int
    file_name: str
    address: str
    hub_id: str = ""


def is_published_name(name: str) -> bool:
    """Return whether a text is meant as the name of published weights, whether there are such or not."""
    return name.partition("/")[0] in FAMILIES and "/" in name


@cache
def find_published(name: str) -> Published:
    """Return what is known of weights by their name, with or without a tag.

    Raises:
        UnknownNameError: no such model, tag, or no weights of that model.
    """
    family, _, rest = name.partition("/")
    if family not in FAMILIES:
        raise UnknownNameError(f"published weights are named torchvision/NAME or timm/NAME, got {name!r}")
    model, _, tag = rest.partition(".")
    return _of_torchvision(model, tag) if family == "torchvision" else _of_timm(model, tag)


def _of_torchvision(model: str, tag: str) -> Published:
    from torchvision import models

    known = models.list_models(module=models)
    if model not in known:
        raise UnknownNameError(f"torchvision has no model {model!r}; {suggest(model, known)}")
    entries: dict[str, Any] = {entry.name: entry for entry in models.get_model_weights(model)}
    entry = entries[_tag_of(f"torchvision/{model}", tag, list(entries))]
    normalised = entry.transforms()
    halves = model in AROUND_A_HALF
    return Published(
        name=f"torchvision/{model}.{entry.name}",
        network=f"torchvision/{model}",
        mean=HALF if halves else tuple(normalised.mean),
        std=HALF if halves else tuple(normalised.std),
        num_classes=len(entry.meta["categories"]),
        file_name=PurePosixPath(entry.url).name,
        address=entry.url,
    )


def _of_timm(model: str, tag: str) -> Published:
    import timm
    from timm.models import get_arch_pretrained_cfgs

    known = timm.list_models()
    if model not in known:
        raise UnknownNameError(f"timm has no model {model!r}; {suggest(model, known)}")
    entries = {
        name.partition(".")[2]: entry
        for name, entry in get_arch_pretrained_cfgs(model).items()
        if entry.has_weights and "." in name
    }
    usual = timm.get_pretrained_cfg(model)
    first = [usual.tag] if usual is not None and usual.tag in entries else []
    found = _tag_of(f"timm/{model}", tag, [*first, *(name for name in entries if name not in first)])
    entry = entries[found]
    address = entry.url if isinstance(entry.url, str) else ""
    name = PurePosixPath(address).name
    return Published(
        name=f"timm/{model}.{found}",
        network=f"timm/{model}",
        mean=tuple(entry.mean),
        std=tuple(entry.std),
        num_classes=entry.num_classes,
        file_name=name if name.endswith(READABLE) else "",
        address=f"{entry.hf_hub_id} of the Hugging Face hub" if entry.hf_hub_id else address,
        hub_id=entry.hf_hub_id or "",
    )


def _tag_of(model: str, tag: str, tags: list[str]) -> str:
    """Return the tag, the first one where none is given; raises UnknownNameError."""
    if not tags:
        raise UnknownNameError(f"no weights of {model} are published; name another model or a file")
    if tag and tag not in tags:
        raise UnknownNameError(f"{model} has no weights {tag!r}; it has {', '.join(tags)}")
    return tag or tags[0]
