"""Tests of a denoiser's training: its draws, its loss, its updates, and how it is resumed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_pre_hook

from ddbench.diffusion import fine_tuning
from ddbench.diffusion.codec import PixelCodec
from ddbench.diffusion.criteria import ClassMemory, diversity, representativeness
from ddbench.diffusion.criteria_space import INPUTS, CentredSpace
from ddbench.diffusion.denoiser import DenoiserShape, make_denoiser
from ddbench.diffusion.fine_tuning import FineTuning, TuningPlan, load_trained, scaled_ema_decay
from ddbench.diffusion.inputs import PixelInputs
from ddbench.diffusion.noising import NoiseSchedule, diffusion_loss, split_output, variational_bound
from ddbench.errors import DenoiserDivergedError
from ddbench.images import DatasetInfo, LabeledImages
from ddbench.method import RunContext
from tests.diffusion._small_models import random_denoiser

SHAPE = DenoiserShape(8, 3, 3, patch_size=4, width=16, depth=2, heads=2)
PLAN = TuningPlan(steps=4, batch_size=6, lr=1e-3, ema_decay=0.9, trainable="difffit", flips=True)
CRITERIA = {"representativeness_weight": 0.5, "diversity_weight": 0.25, "memory_size": 3}
NULL = 3
trainables = pytest.mark.parametrize("trainable", ["difffit", "full"])


class Inputs(PixelInputs):
    """Random images of three classes, which keep what was taken of them."""

    def __init__(self, classes: list[int]) -> None:
        draws = torch.Generator().manual_seed(11)
        labels = torch.tensor([0] * 9 + [1] * 7 + [2] * 11)[torch.randperm(27, generator=draws)]
        images = torch.randint(256, (27, 3, 8, 8), dtype=torch.uint8, generator=draws)
        info = DatasetInfo("toy", ("a", "b", "c"), 3, 8, (0.4, 0.5, 0.6), (0.2, 0.3, 0.25), "toy")
        super().__init__(LabeledImages(images, labels, info), classes, PixelCodec())
        self.taken: list[Tensor] = []
        self.flips: list[Tensor] = []

    def take(self, indices: Tensor, flips: Tensor, noise: Tensor | None) -> Tensor:
        self.taken.append(indices)
        self.flips.append(flips)
        return super().take(indices, flips, noise)


class Training(FineTuning):
    """A training that keeps the parts of batches that went through its loss, and the class ids the denoiser saw."""

    def __init__(self, classes=(0, 1, 2), ids=(0, 1, 2), seed=5, shape=SHAPE, space=INPUTS, **changes) -> None:
        super().__init__(
            random_denoiser(shape), Inputs(list(classes)), torch.tensor(ids), replace(PLAN, **changes), seed, space
        )
        self.ids: list[Tensor] = []
        self.denoiser.embedder.register_forward_pre_hook(lambda module, args: self.ids.append(args[1]))

    def finish(self) -> list[float]:
        return [self.run(step).item() for step in range(self.plan.steps)]

    def weights(self) -> dict[str, Tensor]:
        return {name: parameter.detach().clone() for name, parameter in self.denoiser.named_parameters()}


@pytest.fixture
def parts(monkeypatch) -> list[tuple[Tensor, ...]]:
    """The output, clean, x_t, noise and timesteps of every part of a batch in a run, in order."""
    seen: list[tuple[Tensor, ...]] = []

    def watch(*args):
        seen.append(tuple(arg.detach() for arg in args[:5]))
        return diffusion_loss(*args)

    monkeypatch.setattr(fine_tuning, "diffusion_loss", watch)
    return seen


@pytest.fixture
def gradients() -> Iterator[list[list[Tensor]]]:
    """The gradient of every update, tensor by tensor."""
    seen: list[list[Tensor]] = []
    hook = register_optimizer_step_pre_hook(
        lambda optimiser, args, kwargs: seen.append([p.grad.clone() for p in optimiser.param_groups[0]["params"]])
    )
    yield seen
    hook.remove()


def drawn(training: Training, parts: list[tuple[Tensor, ...]]) -> list[Tensor]:
    """All draws of the last step."""
    return [training.inputs.taken[-1], training.inputs.flips[-1], training.ids[-1], *parts[-1][1:]]


def test_the_draws_of_a_step_follow_from_the_seed_and_its_number(parts):
    whole, late, other = Training(), Training(), Training(seed=6)
    whole.finish()
    expected = drawn(whole, parts)
    late.run(3)
    assert all(torch.equal(a, b) for a, b in zip(drawn(late, parts), expected, strict=True))
    other.run(3)
    same = [torch.equal(a, b) for a, b in zip(drawn(other, parts), expected, strict=True)]
    assert not any(same[place] for place in (0, 3, 4, 5, 6))  # images, clean, x_t, noise, timesteps
    late.run(2)
    assert not any(torch.equal(a, b) for a, b in zip(drawn(late, parts)[3:], expected[3:], strict=True))


@pytest.mark.parametrize("batch_size", [6, 27, 40])
def test_every_image_is_seen_once_in_each_pass(batch_size):
    training = Training(batch_size=batch_size, steps=math.ceil(81 / batch_size))
    training.finish()
    assert {len(indices) for indices in training.inputs.taken} == {batch_size}
    order = torch.cat(training.inputs.taken).tolist()
    passes = [order[first : first + 27] for first in (0, 27, 54)]
    assert [sorted(one) for one in passes] == [list(range(27))] * 3
    assert passes[0] != passes[1] != passes[2] != list(range(27))


def test_noise_times_and_flips_are_as_often_as_they_should_be(parts):
    Training(batch_size=900, steps=1).finish()
    ((_, clean, noisy, noise, timesteps),) = parts
    assert (noise.mean().item(), noise.std().item()) == pytest.approx((0, 1), abs=0.01)
    assert (timesteps.min() >= 0) & (timesteps.max() <= 999)
    assert timesteps.float().mean().item() == pytest.approx(499.5, abs=40)
    torch.testing.assert_close(noisy, NoiseSchedule.linear().add_noise(clean, noise, timesteps))


@pytest.mark.parametrize("flips", [True, False])
def test_images_are_mirrored_half_of_the_time_or_never(flips, parts):
    training = Training(batch_size=900, steps=1, flips=flips)
    training.finish()
    plain, found = Inputs([0, 1, 2]), parts[0][1]
    original = plain.take(training.inputs.taken[0], torch.zeros(900, dtype=torch.bool), None)
    mirrored = training.inputs.flips[0]
    assert torch.equal(found, torch.where(mirrored.view(-1, 1, 1, 1), original.flip(3), original))
    assert mirrored.float().mean().item() == pytest.approx(0.5 if flips else 0, abs=0.07)


@pytest.mark.parametrize("label_dropout", [0.1, 0.0, 1.0])
def test_labels_are_dropped_once_per_sample(label_dropout):
    training = Training(batch_size=2000, steps=1, ids=(2, 0, 1), label_dropout=label_dropout)
    training.finish()
    (ids,), labels = training.ids, training.inputs.labels[training.inputs.taken[0]]
    dropped = ids == NULL
    assert dropped.float().mean().item() == pytest.approx(label_dropout, abs=0.03)
    assert torch.equal(ids[~dropped], torch.tensor([2, 0, 1])[labels[~dropped]])


def test_a_phase_trains_its_classes_alone(parts):
    training = Training(classes=(2, 0), ids=(1, 0, 2), steps=8, label_dropout=0.0, **CRITERIA)
    training.finish()
    assert set(torch.cat(training.ids).tolist()) == {1, 2}  # of labels 0 and 2
    assert sorted(torch.cat(training.inputs.taken)[:20].tolist()) == list(range(20))
    assert training.real.seen.sum() == training.generated.seen.sum() == 48
    assert len(training.real.seen) == 2


@pytest.mark.parametrize("parts_of_a_batch", [2, 3, 6, 5])
def test_gradients_of_a_batch_in_parts_are_those_of_the_whole(parts_of_a_batch, gradients):
    losses = [Training(batch_size=7, parts=count).run(0).item() for count in (1, parts_of_a_batch)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    scale = max(gradient.abs().max() for gradient in gradients[0]).item()
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-4, atol=1e-6 * scale)


def test_memories_are_filled_alike_by_a_batch_in_parts():
    whole, cut = Training(label_dropout=0.0, **CRITERIA), Training(label_dropout=0.0, parts=3, **CRITERIA)
    for training in (whole, cut):
        training.run(0)
    assert torch.equal(cut.real.entries[:-1], whole.real.entries[:-1])
    torch.testing.assert_close(cut.generated.entries[:-1], whole.generated.entries[:-1], rtol=1e-4, atol=1e-5)


def test_without_criteria_the_loss_is_the_plain_one_bit_for_bit(parts):
    training = Training()
    found = [training.run(step) for step in range(3)]
    schedule = NoiseSchedule.linear()
    for loss, part in zip(found, parts, strict=True):
        assert torch.equal(loss, diffusion_loss(*part, schedule))
    assert not training.real.seen.any()
    assert not training.generated.seen.any()


@pytest.mark.parametrize("off", [None, "representativeness_weight", "diversity_weight"])
def test_criteria_see_the_real_and_the_predicted_images_of_earlier_steps(off, parts):
    settings = {**CRITERIA, **({off: 0.0} if off else {})}
    training = Training(**settings)
    real, generated = (ClassMemory(3, 3, 192) for _ in range(2))
    schedule = NoiseSchedule.linear()
    for step in range(4):
        loss = training.run(step)
        output, clean, noisy, _, timesteps = parts[-1]
        labels = training.inputs.labels[training.inputs.taken[-1]]
        predicted = schedule.predict_clean(noisy, output, timesteps).flatten(1)
        expected = diffusion_loss(*parts[-1], schedule)
        expected += settings["representativeness_weight"] * representativeness(predicted, labels, real)
        expected += settings["diversity_weight"] * diversity(predicted, labels, generated)
        torch.testing.assert_close(loss, expected)
        assert (loss != diffusion_loss(*parts[-1], schedule)) == (step > 0)
        real.add(clean.flatten(1), labels)
        generated.add(predicted, labels)


def test_criteria_compare_in_the_space_they_are_given(parts):
    space = CentredSpace(Inputs([0, 1, 2]), torch.device("cpu"))
    training = Training(space=space, **CRITERIA)
    real, generated = (ClassMemory(3, 3, 192) for _ in range(2))
    for step in range(3):
        loss = training.run(step)
        output, clean, noisy, _, timesteps = parts[-1]
        labels = training.inputs.labels[training.inputs.taken[-1]]
        predicted = space.project(NoiseSchedule.linear().predict_clean(noisy, output, timesteps))
        terms = 0.5 * representativeness(predicted, labels, real) + 0.25 * diversity(predicted, labels, generated)
        torch.testing.assert_close(loss, diffusion_loss(*parts[-1], NoiseSchedule.linear()) + terms / space.unit)
        real.add(space.project(clean), labels)
        generated.add(predicted, labels)


def test_criteria_pull_the_denoiser(gradients):
    for changes in ({}, CRITERIA):
        training = Training(**changes)
        training.plan = replace(training.plan, lr=0.0)
        for step in range(2):
            training.run(step)
    plain, with_criteria = (torch.cat([g.flatten() for g in gradients[place]]) for place in (1, 3))
    assert torch.equal(*(torch.cat([g.flatten() for g in gradients[place]]) for place in (0, 2)))  # memories are empty
    assert not torch.allclose(plain, with_criteria, rtol=1e-2)


def test_learned_variance_adds_the_bound_and_is_trained(parts, gradients):
    training = Training(shape=replace(SHAPE, learns_variance=True))
    loss = training.run(0)
    output, clean, noisy, noise, timesteps = parts[0]
    predicted, interpolation = split_output(output, 3)
    bound = variational_bound(predicted, interpolation, clean, noisy, timesteps, NoiseSchedule.linear())
    torch.testing.assert_close(loss, (predicted - noise).square().mean() + bound.mean())
    assert bound.mean() > 1e-3
    names = list(training.parameters)
    bias = gradients[0][names.index("transformer.proj_out_2.bias")].view(4, 4, 6)
    assert (bias[..., :3] != 0).all()  # of every pixel of a patch: noise, then variance
    assert (bias[..., 3:] != 0).all()


@trainables
@pytest.mark.parametrize("rate", ["constant", "cosine"])
def test_updates_are_adam_without_decay_and_their_average_a_plain_one(trainable, rate, gradients):
    training = Training(trainable=trainable, rate=rate, ema_decay=0.7)
    weights = {name: parameter.detach().double() for name, parameter in training.parameters.items()}
    average = dict(weights)
    first, second = ({name: torch.zeros_like(weight) for name, weight in weights.items()} for _ in range(2))
    training.finish()
    for step, found in enumerate(gradients):
        for name, gradient in zip(weights, found, strict=True):
            g = gradient.double()
            first[name] = 0.9 * first[name] + 0.1 * g
            second[name] = 0.999 * second[name] + 0.001 * g * g
            speed = first[name] / (1 - 0.9 ** (step + 1))
            size = (second[name] / (1 - 0.999 ** (step + 1))).sqrt() + 1e-8
            weights[name] = weights[name] - training.plan.lr_at(step) * speed / size
            average[name] = 0.7 * average[name] + 0.3 * weights[name]
    for name, parameter in training.parameters.items():
        torch.testing.assert_close(parameter.detach().double(), weights[name], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(training.average[name].double(), average[name], rtol=1e-5, atol=1e-6)


@trainables
def test_what_is_to_be_trained_moves_and_nothing_else(trainable):
    training = Training(trainable=trainable)
    before = training.weights()
    training.finish()
    moved = {name for name, weight in training.weights().items() if not torch.equal(weight, before[name])}
    assert moved == set(training.parameters) == set(training.average)
    assert (len(moved) == len(before)) == (trainable == "full")


@pytest.mark.parametrize("steps", [1, 100, 1000, 12_000, 50_000])
def test_the_start_weighs_as_much_after_any_number_of_steps(steps):
    assert scaled_ema_decay(steps) ** steps == pytest.approx(0.9999**12_000, rel=1e-6)
    assert 0 < scaled_ema_decay(steps) < 1


def test_the_decay_of_the_references_run_is_the_references():
    assert scaled_ema_decay(12_000) == pytest.approx(0.9999, abs=1e-12)
    assert 0 <= scaled_ema_decay(0) < 1


def test_a_constant_rate_stays_and_a_cosine_rises_shortly_and_falls_to_zero():
    assert {PLAN.lr_at(step) for step in range(4)} == {1e-3}
    plan = replace(PLAN, steps=500, lr=2.0, rate="cosine")
    rates = [plan.lr_at(step) for step in range(500)]
    assert rates[:10] == pytest.approx([0.2 * (step + 1) for step in range(10)], rel=1e-2)
    assert rates[10:] == pytest.approx([1 + math.cos(math.pi * step / 500) for step in range(10, 500)])
    assert max(rates) <= 2.0
    assert 0 < rates[-1] < 1e-4
    assert replace(plan, steps=1).lr_at(0) == pytest.approx(2.0)


@trainables
@pytest.mark.parametrize("done", [1, 3])
def test_training_goes_on_from_any_step_bit_for_bit(trainable, done):
    whole, stopped, resumed = (Training(trainable=trainable, **CRITERIA) for _ in range(3))
    losses = whole.finish()
    for step in range(done):
        stopped.run(step)
    resumed.load_state(load(save({name: tensor.contiguous() for name, tensor in stopped.save_state().items()})))
    assert [resumed.run(step).item() for step in range(done, 4)] == losses[done:]
    found, expected = resumed.save_state(), whole.save_state()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    assert all(torch.equal(weight, whole.weights()[name]) for name, weight in resumed.weights().items())


def context(log=lambda name, value: None) -> RunContext:
    return RunContext(torch.device("cpu"), torch.Generator(), Path("unused"), log=log)


def test_a_loss_that_is_not_finite_ends_the_run_in_one_line():
    training = Training(lr=1e25, steps=20, trainable="full")
    with pytest.raises(DenoiserDivergedError, match=r"^fine-tuning: loss (nan|inf) at step \d+; lower lr$") as caught:
        training.run_all(context(), "fine-tuning")
    assert "\n" not in str(caught.value)


def test_about_a_hundred_losses_go_to_the_log_the_last_among_them():
    logged: dict[str, object] = {}
    training = Training(steps=250, batch_size=1)
    training.run_all(context(logged.__setitem__), "fine-tuning")
    losses = {name: value for name, value in logged.items() if "loss" in name}
    assert 100 <= len(losses) <= 130
    assert {"fine-tuning: loss[0]", "fine-tuning: loss[249]"} <= set(losses)
    assert all(isinstance(value, float) and value > 0 for value in losses.values())


def test_bf16_trains_near_to_fp32_with_weights_of_full_precision(gradients, parts):
    full, half = Training(), Training(precision="bf16")
    expected, found = full.run(0), half.run(0)
    assert found.item() == pytest.approx(expected.item(), rel=0.03)
    assert found.dtype == parts[1][0].dtype == torch.float32  # the loss of an output of bf16 is not worked out in it
    assert not torch.equal(parts[0][0], parts[1][0])
    first, second = (torch.cat([g.flatten() for g in one]) for one in gradients)
    assert torch.cosine_similarity(first, second, dim=0) > 0.99
    assert {tensor.dtype for tensor in half.save_state().values()} == {torch.float32, torch.int64}


def test_training_from_scratch_lowers_the_loss():
    denoiser = make_denoiser(SHAPE)
    denoiser.initialise(torch.Generator().manual_seed(0))
    plan = replace(PLAN, steps=150, batch_size=16, lr=3e-3, rate="cosine", trainable="full")
    training = FineTuning(denoiser, Inputs([0, 1, 2]), torch.arange(3), plan, 0)
    losses = [training.run(step).item() for step in range(plan.steps)]
    assert sum(losses[:3]) / 3 == pytest.approx(1, abs=0.1)  # it says zero at first
    assert sum(losses[-30:]) / 30 < 0.85  # of random pixels there is little to learn


def test_trained_tensors_are_put_in_their_places():
    training, denoiser = Training(), random_denoiser(SHAPE, seed=3)
    name = "embedder.class_embedder.embedding_table.weight"
    before = {key: value.clone() for key, value in denoiser.state_dict().items()}
    load_trained(denoiser, {name: training.average[name] + 1})
    after = denoiser.state_dict()
    assert torch.equal(after.pop(name), training.average[name] + 1)
    assert all(torch.equal(value, before[key]) for key, value in after.items())
