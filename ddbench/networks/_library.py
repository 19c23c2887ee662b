"""What families of a library's models share: fresh parameters, no dropout, one classifier on one embedding."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from ddbench.errors import BadInputError, UnknownNameError
from ddbench.network import InputShape

Options = Mapping[str, Any]


def fitting_options(
    spec: str,
    shape: InputShape,
    candidates: Iterable[Options],
    build: Callable[[Options], nn.Module],
    apart: Callable[[nn.Module, Tensor], Tensor],
) -> Options:
    """Return the options that fit a model to the images: the first of a few that it takes.

    Taking means that the model is built and that one image passes; nothing is trained.

    Args:
        spec: the network's name, for messages.
        shape: the input the network is for.
        candidates: options, best first.
        build: makes the model, without dropout, from options.
        apart: gives a model's logits (B, K) of images as those of its classifier on its embedding; may change it.

    Raises:
        BadInputError: the model takes none of the options, or is not one classifier on one embedding.
    """
    failure = ""
    for options in candidates:
        # A fork, so that the first call, which builds once more than later ones, draws the same parameters.
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.default_generator.manual_seed(0)
            image = torch.randn(1, shape.channels, shape.image_size, shape.image_size)
            try:
                model = build(options).eval()
                logits = model(image)
            except Exception as error:  # models refuse a size by whatever their layers happen to raise
                failure = failure or " ".join(f"{type(error).__name__}: {error}".split())[:200]
                continue
            _check_apart(spec, model, image, logits, apart)
        return options
    raise BadInputError(
        f"{spec} cannot take {shape.channels}x{shape.image_size}x{shape.image_size} images ({failure}); "
        "use larger images or another model"
    )


def _check_apart(
    spec: str, model: nn.Module, image: Tensor, logits: Tensor, apart: Callable[[nn.Module, Tensor], Tensor]
) -> None:
    """Raise BadInputError unless a model's logits are those of its classifier on its embedding."""
    try:
        expected = apart(model, image)
        consistent = expected.shape == logits.shape and torch.allclose(expected, logits, rtol=1e-3, atol=1e-4)
    except (AttributeError, IndexError, RuntimeError, TypeError):  # no classifier, several, or other input than (B, D)
        consistent = False
    if not consistent:
        raise BadInputError(f"{spec} is not one classifier on one embedding; choose another model")


def check_known(library: str, name: str, known: Sequence[str], listing: str) -> None:
    """Raise UnknownNameError, with close matches, unless a library has a model called `name`."""
    if name not in known:
        close = get_close_matches(name.split(".")[0], known, n=3, cutoff=0.5)
        matches = " or ".join(f"{library}/{match}" for match in close)
        hint = f"did you mean {matches}?" if close else f"see {listing}"
        raise UnknownNameError(f"{library} has no model {name!r} to start fresh; {hint}")


def switch_off_dropout(model: nn.Module) -> None:
    """Set every dropout and stochastic-depth rate to zero.

    They are training options, which belong to the protocol, and their draws would come from the global generator. The
    default in timm is zero for all but a few models.
    """
    for module in model.modules():
        names = (
            ("p", "drop_rate", "drop_prob")
            if isinstance(module, nn.Dropout | nn.Dropout2d | StochasticDepth)
            else ("drop_rate", "drop_prob")
        )
        for name in names:
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)


def stem_words(library: str, options: Options) -> str:
    """Return in words which options the first layers were made with."""
    return ", ".join(f"{key}={value}" for key, value in options.items()) or f"{library} default"
