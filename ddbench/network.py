"""The network interface: an embedding and a linear classifier on it; networks are named by family and variant."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ddbench.errors import BadInputError, UnknownNameError
from ddbench.host.source_code import digest_of_owner
from ddbench.images import DatasetInfo
from ddbench.inputs.network_names import split_spec
from ddbench.inputs.values import as_count, as_kind, shown
from ddbench.registry import NETWORKS
from ddbench.seeding import draw_seed


@dataclass(frozen=True)
class InputShape:
    """What a network is built for: channels, side length in pixels, number of classes; raises BadInputError below 1."""

    channels: int
    image_size: int
    num_classes: int

    def __post_init__(self) -> None:
        for name in ("channels", "image_size", "num_classes"):
            object.__setattr__(self, name, as_count(getattr(self, name), name))

    @classmethod
    def of(cls, info: DatasetInfo) -> InputShape:
        """Return the shape that networks for a data set have."""
        return cls(info.channels, info.image_size, info.num_classes)


class Network(nn.Module, ABC):
    """A classifier made of an embedding and one linear layer on top of it."""

    @abstractmethod
    def embed(self, images: Tensor) -> Tensor:
        """Return the (B, D) input of the linear layer for (B, C, H, W) normalised float images."""

    @abstractmethod
    def classify(self, embeddings: Tensor) -> Tensor:
        """Return (B, K) logits for (B, D) embeddings."""

    def forward(self, images: Tensor) -> Tensor:
        """Return (B, K) logits for (B, C, H, W) normalised float images."""
        return self.classify(self.embed(images))

    def native(self) -> Network:
        """Return a network with the same parameters, maybe under other names, that is faster run eagerly on a CPU.

        The same numbers to float tolerance. Each forward pass has one backward pass by torch's autograd, which may be
        differentiated once more; nothing of `torch.func` but `functional_call`. The network itself where there is no
        such form.
        """
        return self


def named_parts(parameters: Tensor, shapes: Mapping[str, torch.Size]) -> dict[str, Tensor]:
    """Cut a (P,) vector into parameters of the given shapes, by name, in their order; parts share its memory."""
    parts = parameters.split([shape.numel() for shape in shapes.values()])
    return {name: part.view(shape) for part, (name, shape) in zip(parts, shapes.items(), strict=True)}


def has_batch_norm(network: nn.Module) -> bool:
    """Return whether statistics of the batch enter the network's output."""
    return any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules())


def make_network(spec: str, shape: InputShape, generator: torch.Generator) -> Network:
    """Build a freshly initialised network on the CPU, so that a seed gives the same parameters on every machine.

    Args:
        spec: family and variant, such as `convnet-d3`, `resnet18-bn` or `timm/resnet18`.
        shape: the input the network is for.
        generator: source of the initial parameters; the global generator is left as it was.

    Raises:
        UnknownNameError: no such family.
        BadInputError: no such variant, or images too small for it.
    """
    family, variant = split_spec(spec)
    as_kind(shape, InputShape, "shape", "InputShape.of(dataset.info) makes one")
    if not isinstance(generator, torch.Generator) or generator.device.type != "cpu":
        raise BadInputError(
            f"generator must be a torch.Generator on the CPU, got {shown(generator)}; make_generator makes one"
        )
    build = NETWORKS.get(family)
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        # Not torch.manual_seed: that would also reseed the generators of every GPU, which the fork does not restore.
        torch.default_generator.manual_seed(draw_seed(generator))
        return build(variant, shape)


def plugin_code(spec: str) -> str:
    """Return a digest of the code of a plug-in's network, empty for ddbench's own and for what names no network.

    What is trained and kept for later is kept with it: a network that was edited since is trained again.
    """
    try:
        family, _ = split_spec(spec)
    except UnknownNameError:
        return ""
    return digest_of_owner(NETWORKS.get(family))


def parse_variant(
    family: str, variant: str, numbers: dict[str, str], words: dict[str, dict[str, str]]
) -> dict[str, int | str]:
    """Turn a variant such as `d3-w64-bn` into options.

    Args:
        family: the family's name, for the message.
        variant: tokens joined by `-`; each is a key of `numbers` followed by a whole number, or a key of `words`.
        numbers: token prefix (may be empty) -> option name, for a whole number from 1 on.
        words: token -> options it stands for.

    Raises:
        BadInputError: a token the family does not know, or two tokens for one option.
    """
    options: dict[str, int | str] = {}
    for token in variant.split("-") if variant else ():
        prefix = token.rstrip("0123456789")
        if token in words:
            added: dict[str, int | str] = dict(words[token])
        elif prefix in numbers and re.fullmatch("[1-9][0-9]{0,5}", token[len(prefix) :]):
            added = {numbers[prefix]: int(token[len(prefix) :])}
        else:
            known = [*(f"{key}<number>" for key in numbers), *words]
            raise BadInputError(
                f"network {family} has no option {token!r}; known options: {', '.join(known) or 'none'}"
            )
        if twice := added.keys() & options.keys():
            raise BadInputError(f"network {family} got two values of {twice.pop()} in {variant!r}; give one")
        options |= added
    return options
