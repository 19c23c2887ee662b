"""Wrong values by kind, for the campaign of misuse: each draws from a `random.Random`, so that seeds differ."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import torch

Wrong = Callable[[Random], object]
NAN, INFINITY = float("nan"), float("inf")


def same(value: object) -> Wrong:
    return lambda random: value


def sizes(random: Random, axes: int) -> tuple[int, ...]:
    return tuple(random.randint(1, 5) for _ in range(axes))


class Strange:
    """An object of a class that nothing knows, with a long name for itself."""

    def __repr__(self) -> str:
        return "strange\x1b[31m\n" * 500


NOTHING: list[Wrong] = [
    same(NAN),
    same([]),
    same({}),
    same(b"1"),
    lambda random: Strange(),
    lambda random: object(),
    lambda random: print,
    lambda random: torch.rand(sizes(random, random.randint(0, 5))),
    lambda random: np.zeros(sizes(random, 2)),
    lambda random: Path("x" * random.randint(1, 400)),
    lambda random: [random.randint(0, 9)],
    lambda random: {"a": random.random()},
    lambda random: random.uniform(-9, -0.1),
    lambda random: complex(1, random.random()),
]
COUNTS: list[Wrong] = [
    *NOTHING,
    lambda random: -random.randint(1, 10**6),
    lambda random: random.randint(1, 50) + random.choice([0.0, 0.5]),
    lambda random: str(random.randint(1, 50)),
    lambda random: np.float64(random.randint(1, 50)),
    lambda random: torch.tensor(random.randint(1, 50)),
    lambda random: 10 ** random.randint(20, 5000),
    same(True),
    same(np.True_),
    same("x"),
    same(INFINITY),
]
SEEDS: list[Wrong] = [*COUNTS, same(None), same(2**63), lambda random: 2**63 + random.randint(1, 2**63)]
TEXTS: list[Wrong] = [
    *NOTHING,
    same(None),
    same(True),
    lambda random: random.randint(-5, 50),
    lambda random: "".join(random.choices("xyz \n\x1b\u202e", k=random.randint(5, 5000))),
    same("\ud800"),
    same("nonsense"),
    same("a\0b"),
]
NUMBERS: list[Wrong] = [*NOTHING, same(True), same("0.1"), same(INFINITY), same(-INFINITY)]
FLAGS: list[Wrong] = [*NOTHING, same(None), same(0), same(1), same("yes"), same("")]
DEVICES: list[Wrong] = [
    *NOTHING,
    *map(
        same, ("gpu", "", "cuda:99", "meta", "mps", "cpu,cuda", True, 0, torch.device("meta"), torch.device("cuda:77"))
    ),
    lambda random: random.randint(-5, 500),
]
TEXT_LISTS: list[Wrong] = [
    *NOTHING[3:],
    same(None),
    lambda random: "abc"[: random.randint(1, 3)],
    lambda random: (random.randint(0, 9), "a"),
    same(("a", "a")),
    same(("a", None)),
    same(("a", "")),
    same({"a", "b"}),
]
IMAGES: list[Wrong] = [
    *[kind for number, kind in enumerate(NOTHING) if number != 7],
    same(None),
    same("images"),
    lambda random: torch.zeros(6, 3, 8, 8, device="meta"),
    lambda random: torch.zeros(6, 3, 8, 8).to_sparse(),
    lambda random: torch.zeros(6, 192).to_sparse_csr(),
    lambda random: torch.quantize_per_tensor(torch.zeros(6, 3, 8, 8), 0.1, 0, torch.quint8),
    lambda random: torch.nested.nested_tensor([torch.zeros(3, 8, 8), torch.zeros(3, 7, 8)]),
    lambda random: torch.zeros(6, 3, 8, 8, dtype=random.choice([torch.complex64, torch.float16, torch.float64])),
    lambda random: torch.zeros(6, 3, 8, 8, dtype=random.choice([torch.int8, torch.int64, torch.bool, torch.int32])),
    lambda random: torch.zeros(random.choice([0, 1, 5, 7]), 3, 8, 8),
    lambda random: torch.zeros(6, *sizes(random, random.choice([0, 1, 2, 4]))),
    lambda random: np.zeros((6, 3, 8, 8), dtype=np.uint8),
]


def spoilt(random: Random, tensor: torch.Tensor, value: float) -> torch.Tensor:
    """Return a copy in which one entry, drawn, is `value`."""
    copy = tensor.clone()
    copy.view(-1)[random.randrange(copy.numel())] = value
    return copy
