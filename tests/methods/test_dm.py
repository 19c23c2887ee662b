"""Tests of distribution matching, against a loop over classes and images."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from ddbench.augment.dsa import Draw, apply_dsa, draw_dsa
from ddbench.augment.strategies import DSA_STRATEGY, DSA_STRATEGY_NO_FLIP
from ddbench.errors import BadInputError
from ddbench.images import DatasetInfo, LabeledImages
from ddbench.method import RunContext, config_of, make_method
from ddbench.methods import dm
from ddbench.methods.dm import (
    classes_at_once,
    gap_and_gradient,
    mean_embedding_gap,
    mean_real_embeddings,
    mean_synthetic_embeddings,
)
from ddbench.network import InputShape, Network, make_network
from ddbench.work import count_bytes

SMALL = {"network": "convnet-d1-w8", "steps": 1, "real_batch_size": 5}
COLOUR = InputShape(3, 8, 3)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def frozen_network(spec: str) -> Network:
    return make_network(spec, COLOUR, seeded(4)).double().requires_grad_(False)


def uneven_batches() -> list[Tensor]:
    draws = seeded(6)
    return [torch.randn(count, 3, 8, 8, dtype=torch.float64, generator=draws) for count in (5, 3, 7)]


def siamese_draws(count: int = 3) -> list[Draw]:
    generator = seeded(8)
    return [draw_dsa(generator, DSA_STRATEGY, 1, siamese=True) for _ in range(count)]


def test_the_gap_is_the_sum_over_classes_of_squared_distances():
    real, synthetic = torch.randn(2, 4, 6, dtype=torch.float64, generator=seeded(0))
    expected = sum((real[k, d].item() - synthetic[k, d].item()) ** 2 for k in range(4) for d in range(6))
    assert mean_embedding_gap(real, synthetic).item() == pytest.approx(expected, rel=1e-12)
    assert mean_embedding_gap(real, real).item() == 0


@pytest.mark.parametrize("size", [1, 2, 5, 100])
def test_real_means_do_not_depend_on_chunks(size, monkeypatch):
    network, batches, draws = frozen_network("convnet-d2-w4"), uneven_batches(), siamese_draws()
    monkeypatch.setattr(dm, "chunk_size", lambda device, precision: size)
    found = mean_real_embeddings(network, batches, draws)
    for row, images, draw in zip(found, batches, draws, strict=True):
        one_by_one = [network.embed(apply_dsa(image, draw))[0] for image in images.split(1)]
        torch.testing.assert_close(row, sum(one_by_one) / len(images), rtol=1e-10, atol=1e-12)


@pytest.mark.compiler
@pytest.mark.parametrize("spec", ["convnet-d2-w4", "convnet-d2-w20"])
def test_the_native_form_has_the_means_loss_and_gradient_of_the_network(spec):
    network, draws = frozen_network(spec), siamese_draws()
    synthetic = torch.randn(12, 3, 8, 8, dtype=torch.float64, generator=seeded(3))
    found = []
    for passed in (network, network.native()):
        means = mean_real_embeddings(passed, uneven_batches(), draws)
        found.append((means, *gap_and_gradient(passed, synthetic, draws, means)))
    assert network.native() is not network
    torch.testing.assert_close(*found, rtol=1e-9, atol=1e-9)


def test_batch_norm_sees_all_classes_at_once():
    network, draws = frozen_network("convnet-d1-w4-bn"), siamese_draws()
    batches = uneven_batches()
    calls = []
    network.features[0].register_forward_pre_hook(lambda module, inputs: calls.append(len(inputs[0])))
    found = mean_real_embeddings(network, batches, draws)
    synthetic = mean_synthetic_embeddings(network, torch.cat(batches)[:12], draws)
    assert calls == [15, 12]
    assert synthetic.shape == found.shape == (3, 64)
    augmented = torch.cat([apply_dsa(images, draw) for images, draw in zip(batches, draws, strict=True)])
    embeddings = network.embed(augmented)
    expected = torch.stack([embeddings[:5].mean(0), embeddings[5:8].mean(0), embeddings[8:].mean(0)])
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    apart = torch.stack([network.embed(part).mean(0) for part in augmented.split([5, 3, 7])])
    assert not torch.allclose(found, apart)


def test_synthetic_means_are_those_of_each_class():
    network, draws = frozen_network("convnet-d2-w4"), siamese_draws()
    synthetic = torch.randn(12, 3, 8, 8, dtype=torch.float64, generator=seeded(3))
    found = mean_synthetic_embeddings(network, synthetic, draws)
    for label, draw in enumerate(draws):
        images = [synthetic[label * 4 + i : label * 4 + i + 1] for i in range(4)]
        expected = sum(network.embed(apply_dsa(image, draw))[0] for image in images) / 4
        torch.testing.assert_close(found[label], expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("limit", [1, 8, 100])
@pytest.mark.parametrize("spec", ["convnet-d2-w4", "convnet-d1-w4-bn"])
def test_the_gradient_does_not_depend_on_how_many_classes_go_at_once(spec, limit, monkeypatch):
    network, draws = frozen_network(spec), siamese_draws()
    synthetic = torch.randn(12, 3, 8, 8, dtype=torch.float64, generator=seeded(3)).requires_grad_()
    real_means = mean_real_embeddings(network, uneven_batches(), draws)
    expected = mean_embedding_gap(real_means, mean_synthetic_embeddings(network, synthetic, draws))
    monkeypatch.setattr(dm, "chunk_size", lambda device, precision="fp32": limit)
    loss, gradient = gap_and_gradient(network, synthetic, draws, real_means)
    torch.testing.assert_close(loss, expected.detach(), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, synthetic)[0], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("num_classes", "ipc", "limit", "expected"),
    [(10, 10, 32, 2), (10, 1, 32, 10), (10, 50, 32, 1), (100, 1, 32, 25), (7, 4, 32, 7)],
)
def test_as_many_classes_go_at_once_as_leave_no_rest(num_classes, ipc, limit, expected):
    assert classes_at_once(num_classes, ipc, limit) == expected


def test_the_real_branch_in_bf16_is_close_and_float32():
    network = make_network("convnet-d2-w4", COLOUR, seeded(4))
    batches, draws = [images.float() for images in uneven_batches()], siamese_draws()
    expected = mean_real_embeddings(network, batches, draws)
    found = mean_real_embeddings(network, batches, draws, "bf16")
    assert found.dtype == torch.float32
    assert 0 < (found - expected).abs().max() < 0.05 * expected.abs().max()


def test_the_real_branch_keeps_no_gradient():
    network = make_network("convnet-d1-w4", COLOUR, seeded(4)).double()
    batches = [images.requires_grad_() for images in uneven_batches()]
    for spec in ("convnet-d1-w4", "convnet-d1-w4-bn"):
        network = make_network(spec, COLOUR, seeded(4)).double()
        means = mean_real_embeddings(network, batches, siamese_draws())
        assert not means.requires_grad


class WatchedContext:
    """Keeps what the method logged."""

    def __init__(self, context: RunContext, seed: int) -> None:
        self.logged: dict[str, object] = {}
        self.context = replace(context, generator=seeded(seed), log=self.logged.__setitem__)


def naive_dm(train: LabeledImages, ipc: int, steps: int, seed: int) -> tuple[Tensor, list[float]]:
    """DM class by class, with the draws in the order the method makes them; returns images and losses."""
    generator, classes = seeded(seed), range(train.num_classes)
    members = [[i for i in range(len(train)) if int(train.labels[i]) == label] for label in classes]

    def draw(label: int, count: int) -> Tensor:
        order = torch.randperm(len(members[label]), generator=generator)[:count].tolist()
        return train.normalised(torch.tensor([members[label][i] for i in order]))

    made = [draw(label, ipc) for label in classes]
    speeds = [torch.zeros_like(images) for images in made]
    shape = InputShape.of(train.info)
    make_network(SMALL["network"], shape, generator)  # the method builds one more for its structure alone
    losses = []
    for _ in range(steps):
        network = make_network(SMALL["network"], shape, generator)
        draws = [draw_dsa(generator, DSA_STRATEGY, 1, siamese=True) for _ in classes]
        real = [draw(label, SMALL["real_batch_size"]) for label in classes]
        total = 0.0
        for label in classes:
            images = made[label].clone().requires_grad_()
            real_mean = network.embed(apply_dsa(real[label], draws[label])).mean(0).detach()
            loss = ((real_mean - network.embed(apply_dsa(images, draws[label])).mean(0)) ** 2).sum()
            (gradient,) = torch.autograd.grad(loss, images)
            speeds[label] = 0.5 * speeds[label] + gradient
            made[label] = made[label] - speeds[label]
            total += loss.item()
        losses.append(total)
    return torch.cat(made), losses


@pytest.mark.parametrize("steps", [1, 3])
def test_whole_steps_equal_a_loop_over_classes(steps, toy, context):
    watched = WatchedContext(context, 21)
    distilled = make_method("dm", {**SMALL, "steps": steps}).distill(toy, 2, watched.context)
    expected, losses = naive_dm(toy, 2, steps, 21)
    torch.testing.assert_close(distilled.images, expected, rtol=1e-4, atol=1e-5)
    assert watched.logged["loss[0]"] == pytest.approx(losses[0], rel=1e-4)
    start, _ = naive_dm(toy, 2, 0, 21)
    assert (distilled.images - start).abs().max() > 1e-3


def test_the_first_steps_image_gradient_is_that_of_the_loss(toy, context):
    start, _ = naive_dm(toy, 2, 0, 21)
    lr = 1e-2
    once = make_method("dm", {**SMALL, "image_lr": lr}).distill(toy, 2, replace(context, generator=seeded(21)))
    after_one, _ = naive_dm(toy, 2, 1, 21)
    torch.testing.assert_close((start - once.images) / lr, start - after_one, rtol=1e-3, atol=1e-4)


def test_images_start_from_distinct_real_images_of_their_class(toy, context):
    method = make_method("dm", {**SMALL, "image_lr": 1e-12})
    distilled = method.distill(toy, 3, context)
    assert distilled.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    real = toy.normalised()
    found = [int((real - image).abs().flatten(1).amax(1).argmin()) for image in distilled.images]
    torch.testing.assert_close(distilled.images, real[found], rtol=0, atol=1e-6)
    assert toy.labels[found].tolist() == distilled.labels.tolist()
    assert len(set(found)) == 9


def test_real_batches_are_cut_to_small_classes_and_larger_ipc_is_refused(toy, context):
    method = make_method("dm", {**SMALL, "real_batch_size": 1000})
    assert method.distill(toy, 7, context).images.isfinite().all()
    assert "1..7" in str(method.unsupported(toy, 8))


def test_the_loss_decreases_on_digits(digits, context, monkeypatch):
    losses: list[float] = []
    plain = dm.gap_and_gradient

    def watched(*args):
        loss, gradient = plain(*args)
        losses.append(loss.item())
        return loss, gradient

    monkeypatch.setattr(dm, "gap_and_gradient", watched)
    settings = {"network": "convnet-d1-w8", "steps": 40, "real_batch_size": 32, "image_lr": 5.0}
    distilled = make_method("dm", settings).distill(digits, 1, context)
    assert len(losses) == 40
    assert sum(losses[-10:]) < 0.7 * sum(losses[:10])
    assert distilled.images.shape == (10, 1, 8, 8)


@pytest.mark.parametrize(("mirrored", "expected"), [(True, DSA_STRATEGY), (False, DSA_STRATEGY_NO_FLIP)])
def test_every_class_draws_one_siamese_set_of_the_data_sets_strategy(mirrored, expected, toy, context, monkeypatch):
    asked = []

    def watch(generator, strategy, num_images, *, siamese=False):
        asked.append((strategy, siamese))
        return draw_dsa(generator, strategy, num_images, siamese=siamese)

    monkeypatch.setattr(dm, "draw_dsa", watch)
    train = replace(toy, info=replace(toy.info, may_be_mirrored=mirrored))
    make_method("dm", {**SMALL, "steps": 2}).distill(train, 1, context)
    assert asked == [(expected, True)] * 6


def test_the_defaults_are_the_papers():
    assert config_of(make_method("dm")) == {
        "network": "convnet-d3",
        "steps": 20_000,
        "image_lr": 1.0,
        "image_momentum": 0.5,
        "real_batch_size": 256,
        "real_precision": "fp32",
    }


def test_a_network_that_does_not_fit_is_told_in_one_line(toy, context):
    with pytest.raises(BadInputError, match="depth 9") as caught:
        make_method("dm", {**SMALL, "network": "convnet-d9"}).distill(toy, 1, context)
    assert "\n" not in str(caught.value)


def test_real_batches_are_asked_for_one_after_another_and_let_go_of():
    network, draws, batches = frozen_network("convnet-d2-w4"), siamese_draws(), uneven_batches()
    references: list[weakref.ref[Tensor]] = []

    def one_by_one() -> Iterator[Tensor]:
        for batch in batches:
            made = batch.clone()
            assert sum(reference() is not None for reference in references) <= 1
            references.append(weakref.ref(made))
            yield made

    assert torch.equal(
        mean_real_embeddings(network, one_by_one(), draws), mean_real_embeddings(network, batches, draws)
    )
    assert len(references) == 3


@pytest.mark.parametrize("together", [1, 3])
def test_batch_norm_sees_groups_of_classes_where_all_are_too_many(together):
    network, draws, batches = frozen_network("convnet-d1-w4-bn"), siamese_draws(), uneven_batches()
    synthetic = torch.randn(12, 3, 8, 8, dtype=torch.float64, generator=seeded(3))
    means = mean_real_embeddings(network, batches, draws, together=together)
    loss, gradient = gap_and_gradient(network, synthetic, draws, means, together)
    groups = [range(first, first + together) for first in range(0, 3, together)]
    total, gradients = 0.0, []
    for group in groups:
        augmented = [apply_dsa(batches[k], draws[k]) for k in group]
        embeddings = network.embed(torch.cat(augmented)).split([len(part) for part in augmented])
        images = synthetic[4 * group[0] : 4 * group[-1] + 4].clone().requires_grad_()
        made = network.embed(torch.cat([apply_dsa(images[4 * i : 4 * i + 4], draws[k]) for i, k in enumerate(group)]))
        gaps = [real.mean(0) - made[4 * i : 4 * i + 4].mean(0) for i, real in enumerate(embeddings)]
        gap = sum((one**2).sum() for one in gaps)
        gradients.append(torch.autograd.grad(gap, images)[0])
        total += gap.item()
    assert loss.item() == pytest.approx(total, rel=1e-10)
    torch.testing.assert_close(gradient, torch.cat(gradients), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("images", [15, 14])
def test_whether_batch_norm_sees_all_classes_follows_from_the_bytes_of_their_images(images, toy, context, monkeypatch):
    monkeypatch.setattr(dm, "WHOLE_BYTES", images * 3 * 8 * 8 * 4)
    settings = {**SMALL, "network": "convnet-d1-w8-bn"}
    found = make_method("dm", settings).distill(toy, 2, replace(context, generator=seeded(1)))
    monkeypatch.undo()
    whole = make_method("dm", settings).distill(toy, 2, replace(context, generator=seeded(1)))
    assert torch.equal(found.images, whole.images) == (images == 15)
    engines = [made.provenance["engine"].get("batch_norm_sees") for made in (found, whole)]
    assert engines == [None if images == 15 else "1 classes at once", None]


class Unread:
    """1,000 classes of 1,300 images at 224 px, none of which is ever looked at."""

    shape = torch.Size((1_300_000, 3, 224, 224))

    def __getitem__(self, indices: Tensor) -> Tensor:
        raise AssertionError(f"{len(indices)} images were read")


@pytest.mark.parametrize(("network", "most"), [("convnet-d3", 30), ("convnet-d5", 30)])
def test_memory_forecast_for_a_thousand_classes_is_that_of_a_few(network, most):
    info = DatasetInfo("many", tuple(map(str, range(1000))), 3, 224, (0.5,) * 3, (0.25,) * 3, "many")
    train = LabeledImages(Unread(), torch.arange(1000).repeat(1300), info)
    work = make_method("dm", {"network": network}).work(train, 1)
    real, synthetic = work.distill.passes
    assert (real.images, synthetic.images) == (20_000 * 256_000, 20_000 * 1000)
    assert work.distill.held_bytes == (2 * 256 + 4 * 1000) * 3 * 224 * 224 * 4
    assert count_bytes(work.distill, InputShape.of(info)) < most * 2**30
