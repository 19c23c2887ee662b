"""DM against the authors' own: three iterations of the whole method, with instance norm and with batch norm."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import Any

import pytest
import torch
from torch import Tensor

from ddbench.images import DatasetInfo
from ddbench.method import RunContext, make_method
from ddbench.methods import dm
from ddbench.network import InputShape, Network, make_network
from ddbench.networks import convnet
from tests.golden._agreement import difference, golden
from tests.golden._double import DoubleImages
from tests.golden._hashed import digest, draw, fill, images

GOLDEN = golden("distribution_matching")["runs"]
WITHIN = 1e-12
STEPS, CLASSES, IPC, BATCH = 3, 10, 2, 4
SHAPE = (3, 32, 32)
INFO = DatasetInfo("hashed", tuple("abcdefghij"), *SHAPE[:2], (0.5,) * 3, (0.25,) * 3, "hashed")


def real_images() -> DoubleImages:
    """What the synthetic images start from, then the real batches of each class, iteration by iteration."""
    starts = images(CLASSES * IPC, SHAPE, 71)
    batches = [images(BATCH, SHAPE, 20_000 + 100 * step + label) for step in range(STEPS) for label in range(CLASSES)]
    labels = [
        torch.arange(CLASSES).repeat_interleave(IPC),
        torch.arange(CLASSES).repeat_interleave(BATCH).repeat(STEPS),
    ]
    return DoubleImages.of(torch.cat([starts, *batches]), torch.cat(labels), INFO)


class Watched:
    """Gives a run of `dm` its golden draws, and takes down the losses, gradients and images of its steps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.found: list[dict[str, Tensor]] = []
        self._networks, self._draws, self._batches = count(-1), count(), count()  # one network more is for its layers
        self._plain = dm.gap_and_gradient
        for name in ("make_network", "draw_dsa", "draw_distinct", "draw_real", "gap_and_gradient"):
            monkeypatch.setattr(dm, name, getattr(self, name))

    def make_network(self, spec: str, shape: InputShape, generator: torch.Generator) -> Network:
        network = make_network(spec, shape, generator)
        fill(network, 40_000 + 100 * next(self._networks))
        return network

    def draw_dsa(self, generator: torch.Generator, strategy: str, num_images: int, *, siamese: bool) -> dm.Draw:
        step, label = divmod(next(self._draws), CLASSES)
        assert siamese
        return draw(num_images, 6000 + 100 * step + label)

    def draw_distinct(self, indices: Tensor, size: int, generator: torch.Generator) -> Tensor:
        assert size == BATCH
        return CLASSES * IPC + BATCH * next(self._batches) + torch.arange(BATCH)

    def draw_real(self, train: DoubleImages, ipc: int, generator: torch.Generator) -> list[Tensor]:
        return list(torch.arange(CLASSES * ipc).split(ipc))

    def gap_and_gradient(self, *arguments: Any) -> tuple[Tensor, Tensor]:
        loss, gradient = self._plain(*arguments)
        self.found.append({"loss": loss, "gradient": gradient})
        return loss, gradient

    def track(self, steps: range, description: str, learner: Any) -> Any:
        for step in steps:
            yield step
            self.found[step]["images"] = learner.tensors[0].detach().clone()


def distil(monkeypatch: pytest.MonkeyPatch, context: RunContext, network: str) -> list[dict[str, Tensor]]:
    watched = Watched(monkeypatch)
    settings = {"network": network, "steps": STEPS, "real_batch_size": BATCH}
    distilled = make_method("dm", settings).distill(real_images(), IPC, replace(context, track=watched.track))
    assert torch.equal(distilled.images, watched.found[-1]["images"])
    return watched.found


def missed(found: list[dict[str, Tensor]], case: dict[str, Any]) -> dict[str, float]:
    return {
        f"{name} {step}": difference(digest(value) if value.ndim else value, expected[name])
        for step, (values, expected) in enumerate(zip(found, case["iterations"], strict=True))
        for name, value in values.items()
    }


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case["network"])
@pytest.mark.usefixtures("in_double")
def test_three_iterations_are_those_of_the_authors(case, monkeypatch, context, agreement):
    monkeypatch.setattr(convnet, "with_native_blocks", lambda network: network)
    agreement(missed(distil(monkeypatch, context, case["network"]), case), WITHIN)


@pytest.mark.compiler
@pytest.mark.usefixtures("in_double")
def test_three_native_iterations_are_those_of_the_authors(monkeypatch, context, agreement):
    case = GOLDEN[0]
    agreement(missed(distil(monkeypatch, context, case["network"]), case), WITHIN)
