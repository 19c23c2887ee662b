"""The original DiT checkpoint, converted key by key into diffusers' class.

Checked against: facebookresearch/DiT, models.py, for the names and layouts of its state dict, and train.py for what its
training checkpoints wrap it in.
"""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import init_empty_weights
from torch import Tensor

from ddbench.diffusion.denoiser import Denoiser, DenoiserShape, make_denoiser
from ddbench.errors import BadInputError, DataMismatchError, DataMissingError
from ddbench.inputs.pickled import read_pickled

HEADS = {1152: 16, 1024: 16, 768: 12, 384: 6}  # by width: DiT-XL, L, B, S; a state dict does not hold the number
POSITIONS = "pos_embed"
# Between a computed position embedding and one rounded to half precision; another grid's is off by more than 0.5.
POSITION_TOLERANCE = 0.01
WRAPPINGS = ("ema", "model")  # of a training checkpoint, in order of preference

OUTER = {
    "x_embedder.proj": "transformer.pos_embed.proj",
    "t_embedder.mlp.0": "embedder.timestep_embedder.linear_1",
    "t_embedder.mlp.2": "embedder.timestep_embedder.linear_2",
    "final_layer.adaLN_modulation.1": "transformer.proj_out_1",
    "final_layer.linear": "transformer.proj_out_2",
}
INNER = {
    "attn.proj": "attn1.to_out.0",
    "mlp.fc1": "ff.net.0.proj",
    "mlp.fc2": "ff.net.2",
    "adaLN_modulation.1": "norm1.linear",
}
CLASSES = ("y_embedder.embedding_table.weight", "embedder.class_embedder.embedding_table.weight")


def load_original(path: Path, *, heads: int | None = None) -> Denoiser:
    """Return the denoiser of an original checkpoint, float32; nothing in the file is executed.

    Args:
        path: a state dict, or a training checkpoint, of which the averaged weights are taken.
        heads: attention heads, where the width is none of the published sizes'.

    Raises:
        DataMissingError: no such file.
        DataMismatchError: damaged, or not a DiT.
    """
    state = _read(path)
    with _named(path):
        shape = _shape_of(state, heads)
        with init_empty_weights():
            denoiser = make_denoiser(shape)
        _check_positions(state.pop(POSITIONS), denoiser)
        converted = dict(_convert(state, shape.depth))
        _check_shapes(converted, denoiser)
    denoiser.load_state_dict(converted, assign=True)
    return denoiser


def read_shape(path: Path, *, heads: int | None = None) -> DenoiserShape:
    """Return the size of an original checkpoint without reading its weights; arguments and errors as above."""
    state = _read(path)
    with _named(path):
        return _shape_of(state, heads)


class _NotADiTError(Exception):
    """What is wrong with a state dict."""


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Turn what is wrong with a state dict into an error that names its file."""
    try:
        yield
    except _NotADiTError as error:
        raise DataMismatchError(
            f"{path} is not an original DiT checkpoint: {error}; put DiT-XL-2-256x256.pt there"
        ) from None


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise DataMissingError(f"no weight file {path}; put the original DiT-XL-2-256x256.pt there")
    try:
        content = read_pickled(path, "weight file", [argparse.Namespace])  # the settings in a training checkpoint
    except BadInputError as error:
        raise DataMismatchError(str(error)) from error
    if isinstance(content, dict):
        content = next((content[key] for key in WRAPPINGS if isinstance(content.get(key), dict)), content)
    if not isinstance(content, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()
    ):
        raise DataMismatchError(f"{path} holds no state dict of tensors; put DiT-XL-2-256x256.pt there")
    return dict(content)


def _shape_of(state: dict[str, Tensor], heads: int | None) -> DenoiserShape:
    """Return the size that the tensors of a complete state dict have."""
    numbers = {int(found[1]) for found in (re.match(r"blocks\.(\d+)\.", key) for key in state) if found}
    depth = max(numbers, default=0) + 1
    if depth > max(1, len(state)):  # every block has tensors; a stray number must not be counted up to
        raise _NotADiTError(f"it has {len(state)} tensors and a block numbered {depth - 1}")
    expected = set(_original_names(depth))
    _check_none("it lacks", expected - state.keys())
    _check_none("nothing is known of", state.keys() - expected)
    ranks = {"x_embedder.proj.weight": 4, POSITIONS: 3, CLASSES[0]: 2, "final_layer.linear.weight": 2}
    for key, rank in ranks.items():
        if state[key].ndim != rank:
            raise _NotADiTError(f"{key} should have {rank} dimensions, found {tuple(state[key].shape)}")
    width, channels, patch, _ = state["x_embedder.proj.weight"].shape
    heads = heads or HEADS.get(width)
    if heads is None or width % heads or width % 4:
        raise _NotADiTError(f"its width should be one of {', '.join(map(str, HEADS))}, found {width}")
    return DenoiserShape(
        image_size=math.isqrt(state[POSITIONS].shape[1]) * patch,
        channels=channels,
        num_classes=len(state[CLASSES[0]]) - 1,  # the last is the null class
        patch_size=patch,
        width=width,
        depth=depth,
        heads=heads,
        learns_variance=len(state["final_layer.linear.weight"]) == 2 * channels * patch**2,
    )


def _original_names(depth: int) -> Iterator[str]:
    yield from (POSITIONS, CLASSES[0])
    modules = [*OUTER, *(f"blocks.{block}.{name}" for block in range(depth) for name in ("attn.qkv", *INNER))]
    for name in modules:
        yield from (f"{name}.weight", f"{name}.bias")


def _convert(state: dict[str, Tensor], depth: int) -> Iterator[tuple[str, Tensor]]:
    """Yield our name and a float32 copy of every tensor; that of queries, keys and values is cut in three."""
    yield CLASSES[1], _copy(state[CLASSES[0]])
    for kind in ("weight", "bias"):
        for name, ours in OUTER.items():
            yield f"{ours}.{kind}", _copy(state[f"{name}.{kind}"])
        for block in range(depth):
            prefix = f"transformer.transformer_blocks.{block}"
            for name, ours in INNER.items():
                yield f"{prefix}.{ours}.{kind}", _copy(state[f"blocks.{block}.{name}.{kind}"])
            parts = state[f"blocks.{block}.attn.qkv.{kind}"].chunk(3)
            for ours, part in zip(("to_q", "to_k", "to_v"), parts, strict=False):
                yield f"{prefix}.attn1.{ours}.{kind}", _copy(part)


def _copy(tensor: Tensor) -> Tensor:
    """Return a tensor that no longer lies in the file."""
    return tensor.to(torch.float32, copy=True).contiguous()


def _check_none(complaint: str, keys: set[str]) -> None:
    if keys:
        raise _NotADiTError(f"{complaint} {len(keys)} tensors, {min(keys)} for one")


def _check_positions(found: Tensor, denoiser: Denoiser) -> None:
    """Check the position embedding, which diffusers' class computes and does not store."""
    expected = cast(Any, denoiser.transformer).pos_embed.pos_embed
    if found.shape != expected.shape or not torch.allclose(found.float(), expected, rtol=0, atol=POSITION_TOLERANCE):
        raise _NotADiTError(f"{POSITIONS} is not the sine and cosine of a square grid")


def _check_shapes(converted: dict[str, Tensor], denoiser: Denoiser) -> None:
    for name, expected in denoiser.state_dict().items():
        found = converted.get(name)
        if found is None or found.shape != expected.shape:
            size = None if found is None else tuple(found.shape)
            raise _NotADiTError(f"{name} should be {tuple(expected.shape)}, found {size}")
