"""Tests of `dc`: start from noise, resuming; whole runs are compared in tests/golden/test_gradient_matching.py."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from ddbench.engine.native import find_compiler
from ddbench.method import RunContext, make_method
from ddbench.methods._gradient_matching import iteration
from ddbench.methods.dc import DatasetCondensation
from tests._keeper import Keeper, KilledError

SMALL: dict[str, Any] = {"network": "convnet-d1-w8", "real_batch_size": 5, "network_batch_size": 4}


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(ipc):
    generator = seeded(21)
    return torch.randn(3 * ipc, 3, 8, 8, generator=generator), generator


def test_images_start_from_noise(toy, context):
    method = make_method("dc", {**SMALL, "steps": 1, "image_lr": 1e-12, "outer_loops": 1})
    distilled = method.distill(toy, 50, replace(context, generator=seeded(21)))
    start, _ = noise(50)
    torch.testing.assert_close(distilled.images, start)
    assert distilled.labels.tolist() == [0] * 50 + [1] * 50 + [2] * 50
    assert abs(distilled.images.mean()) < 0.05
    assert abs(distilled.images.std() - 1) < 0.05


def test_noise_needs_no_real_images_to_start_from(toy):
    assert make_method("dc", SMALL).unsupported(toy, 1000) is None


def test_nothing_is_augmented(toy, context, monkeypatch):
    for name in ("draw_dsa", "apply_dsa", "dsa_augment"):
        monkeypatch.setattr(iteration, name, None)
    make_method("dc", {**SMALL, "steps": 1, "outer_loops": 2}).distill(toy, 1, context)


@pytest.mark.parametrize("done", [1, 3])
@pytest.mark.parametrize("name", ["dc", "dsa"])
def test_a_killed_run_goes_on_with_the_same_numbers(name, done, toy, context):
    method = make_method(name, {**SMALL, "steps": 4, "outer_loops": 2, "inner_epochs": 2})

    def run(**options) -> torch.Tensor:
        return method.distill(toy, 2, replace(context, generator=seeded(3), **options)).images

    whole = run()
    keeper = Keeper(done)
    with pytest.raises(KilledError):
        run(track=keeper)
    assert set(keeper.kept) == {"generator", "tensor.0", "momentum.0"}
    assert torch.equal(run(track=keeper), whole)


def test_small_classes_cut_the_real_batch(toy, context):
    method = make_method("dc", {**SMALL, "steps": 2, "real_batch_size": 1000})
    assert method.distill(toy, 1, context).images.isfinite().all()


def test_the_loss_decreases_on_digits(digits, context: RunContext):
    losses = []

    class Logged(DatasetCondensation):
        def _iterate(self, work):
            losses.append(super()._iterate(work).item())
            return torch.tensor(losses[-1])

    config = DatasetCondensation.Config(network="convnet-d1-w8", steps=30, real_batch_size=16, image_lr=1.0)
    distilled = Logged(config).distill(digits, 1, context)
    assert len(losses) == 30
    assert sum(losses[-10:]) < 0.5 * sum(losses[:10])
    assert distilled.provenance["engine"] == {"gradients": "native" if find_compiler() else "eager"}
