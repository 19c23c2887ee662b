"""Tests of the student trainer, against a plain loop in float64."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from ddbench.augment.cutmix import draw_cutmix, mix_images
from ddbench.augment.dsa import dsa_augment
from ddbench.augment.imagenet import imagenet_augment
from ddbench.augment.strategies import DSA_STRATEGY
from ddbench.augment.zca import fit_zca, whiten
from ddbench.distilled.dataset import DistilledDataset
from ddbench.images import LabeledImages
from ddbench.method import untracked
from ddbench.network import InputShape, Network, make_network
from ddbench.protocol import PROTOCOLS, Schedule
from ddbench.students.loop import (
    StudentDivergedError,
    TrainingPlan,
    TrainingSet,
    train_student,
)
from ddbench.students.soft_labels import SoftLabels
from tests._toy import INFO

DSA, IMAGENET_HARD = PROTOCOLS.get("dsa"), PROTOCOLS.get("imagenet-hard")
PLAN = TrainingPlan(schedule=Schedule(epochs=5, drop_at=3), lr=0.05, batch_size=4, augmentation="")
HARD = replace(PLAN, image_augmentation=IMAGENET_HARD.image_augmentation, cutmix=IMAGENET_HARD.cutmix)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def toy_set(count: int = 10, *, soft: bool = False) -> TrainingSet:
    generator = seeded(1)
    images = torch.randn(count, 3, 8, 8, dtype=torch.float64, generator=generator)
    labels = torch.randint(3, (count,), generator=generator)
    weights = torch.rand(count, 3, dtype=torch.float64, generator=generator)
    return TrainingSet(images, weights / weights.sum(1, keepdim=True) if soft else labels, INFO)


def toy_pixels(count: int) -> tuple[Tensor, Tensor]:
    generator = seeded(2)
    images = torch.randint(256, (count, 3, 8, 8), dtype=torch.uint8, generator=generator)
    return images, torch.randint(3, (count,), generator=generator)


def toy_split(count: int = 70) -> LabeledImages:
    images, labels = toy_pixels(count)
    return LabeledImages(images, labels, INFO)


def toy_network(spec: str = "convnet-d1-w4", seed: int = 3) -> Network:
    return make_network(spec, InputShape.of(INFO), seeded(seed))


def parameters_of(network: Network) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


def trained(data: TrainingSet, plan: TrainingPlan, spec: str = "convnet-d1-w4", seed: int = 9) -> Tensor:
    network = toy_network(spec).to(torch.float64 if data.images.dtype == torch.float64 else torch.float32)
    train_student(network, data, plan, seeded(seed))
    return parameters_of(network)


def naive_training(network: Network, data: TrainingSet, plan: TrainingPlan, generator: torch.Generator) -> None:
    """SGD written out: v = momentum * v + (gradient + decay * weight), weight -= lr * v; v is zero from the drop on."""
    weights = list(network.parameters())
    speeds = [torch.zeros_like(weight) for weight in weights]
    for epoch in range(plan.schedule.epochs):
        drops = (plan.schedule.drop_at, *plan.schedule.later_drops)
        lr = plan.lr * plan.lr_drop ** sum(drop <= epoch for drop in drops)
        if epoch in drops and plan.resets_momentum:
            speeds = [torch.zeros_like(weight) for weight in weights]
        order = torch.randperm(len(data.images), generator=generator).tolist()
        while order:
            chosen, order = order[: plan.batch_size], order[plan.batch_size :]
            images = data.images[chosen]
            if plan.augmentation:
                images = dsa_augment(images, generator, plan.augmentation)
            losses = []
            for logits, label in zip(network(images), data.labels[chosen], strict=True):
                log_probabilities = logits - logits.exp().sum().log()
                target = label if label.ndim else nn.functional.one_hot(label, 3)
                losses.append(-(target * log_probabilities).sum())
            gradients = torch.autograd.grad(sum(losses[1:], losses[0]) / len(losses), weights)
            for i, gradient in enumerate(gradients):
                speeds[i] = plan.momentum * speeds[i] + gradient + plan.weight_decay * weights[i].detach()
                weights[i].data = weights[i].data - lr * speeds[i]


@pytest.mark.parametrize(
    ("changes", "soft"),
    [
        ({}, False),
        ({}, True),
        ({"augmentation": DSA_STRATEGY}, False),
        ({"augmentation": "crop_scale_rotate", "batch_size": 3}, True),
        ({"schedule": Schedule(epochs=4, drop_at=1)}, False),
        ({"schedule": Schedule(epochs=4, drop_at=9)}, False),
        ({"momentum": 0.5, "weight_decay": 0.1, "lr_drop": 0.3}, False),
        ({"resets_momentum": False}, False),
        ({"schedule": Schedule(epochs=5, drop_at=2, later_drops=(4,))}, False),
        ({"schedule": Schedule(epochs=5, drop_at=2, later_drops=(3, 3)), "resets_momentum": False}, True),
        ({"batch_size": 100}, False),
        ({"batch_size": 1}, False),
    ],
)
def test_training_equals_a_plain_loop(changes, soft):
    plan, data = replace(PLAN, **changes), toy_set(soft=soft)
    expected = toy_network().double()
    naive_training(expected, data, plan, seeded(9))
    found = trained(data, plan)
    error = (found - parameters_of(expected)).norm() / parameters_of(expected).norm()
    assert error < 1e-9
    assert (found - parameters_of(toy_network().double())).norm() > 1e-3


@pytest.mark.parametrize(
    "changes",
    [
        {"schedule": Schedule(epochs=5, drop_at=2)},
        {"schedule": Schedule(epochs=5, drop_at=4)},
        {"resets_momentum": False},
        {"schedule": Schedule(epochs=5, drop_at=3, later_drops=(4,))},
        {"lr_drop": 0.2},
        {"weight_decay": 0.0},
        {"momentum": 0.8},
    ],
)
def test_what_the_plain_loop_is_compared_on_matters(changes):
    # A difference of one epoch in the drop, say, is far above the tolerance of the comparison.
    usual, changed = trained(toy_set(), PLAN), trained(toy_set(), replace(PLAN, **changes))
    assert (usual - changed).norm() / usual.norm() > 1e-6


def test_drops_without_a_new_momentum_are_those_of_multi_step_lr():
    plan = replace(PLAN, schedule=Schedule(epochs=6, drop_at=4, later_drops=(5,)), lr_drop=0.2, resets_momentum=False)
    data, network, generator = toy_set(), toy_network().double(), seeded(9)
    optimiser = torch.optim.SGD(network.parameters(), plan.lr, plan.momentum, weight_decay=plan.weight_decay)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimiser, [4, 5], gamma=0.2)
    for _ in range(6):
        for indices in torch.randperm(10, generator=generator).split(4):
            optimiser.zero_grad()
            nn.functional.cross_entropy(network(data.images[indices]), data.labels[indices]).backward()
            optimiser.step()
        scheduler.step()
    torch.testing.assert_close(trained(data, plan), parameters_of(network), rtol=1e-12, atol=1e-12)


def test_imagenet_batches_are_augmented_as_pixels_and_then_mixed():
    data, plan, seen = toy_set(), HARD, []
    network = toy_network().double()
    network.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].clone()))
    train_student(network, data, replace(plan, schedule=Schedule(epochs=1, drop_at=1)), seeded(9))
    generator, mean, std = seeded(9), *(torch.tensor(v).view(1, 3, 1, 1) for v in (INFO.mean, INFO.std))
    for indices, found in zip(torch.randperm(10, generator=generator).split(4), seen, strict=True):
        pixels = imagenet_augment(data.images[indices] * std + mean, generator, plan.image_augmentation)
        draw = draw_cutmix(generator, plan.cutmix, len(indices), 8)
        torch.testing.assert_close(found, mix_images((pixels - mean) / std, draw))


def test_students_learn_the_labels_of_a_mixed_batch():
    data, plan = toy_set(), replace(PLAN, cutmix=HARD.cutmix, schedule=Schedule(epochs=3, drop_at=2))
    network, generator = toy_network().double(), seeded(9)
    optimiser = torch.optim.SGD(network.parameters(), plan.lr, plan.momentum, weight_decay=plan.weight_decay)
    for epoch in range(3):
        if epoch == 2:
            optimiser = torch.optim.SGD(network.parameters(), plan.lr * 0.1, plan.momentum, weight_decay=5e-4)
        for indices in torch.randperm(10, generator=generator).split(4):
            images, labels = data.images[indices], data.labels[indices]
            draw = draw_cutmix(generator, plan.cutmix, len(indices), 8)
            logits = network(mix_images(images, draw))
            loss = nn.functional.cross_entropy(logits, labels) * draw.kept
            loss = loss + nn.functional.cross_entropy(logits, labels[draw.partners]) * (1 - draw.kept)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    # The labels of a mixed batch are float32, here in a loop of float64.
    torch.testing.assert_close(trained(data, plan), parameters_of(network), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("plan", ["PLAN", "HARD"])
def test_a_teacher_labels_the_very_images_the_student_sees_and_its_labels_alone_count(plan):
    plan, data = globals()[plan], toy_set()
    teacher = toy_network(seed=4).double()
    shown: dict[str, list[Tensor]] = {"student": [], "teacher": []}
    network = toy_network().double()
    for name, module in (("student", network), ("teacher", teacher)):
        module.register_forward_pre_hook(lambda _, inputs, name=name: shown[name].append(inputs[0].clone()))
    soft = SoftLabels.of(teacher, 20.0)
    train_student(network, data, plan, seeded(9), soft_labels=soft)
    assert all(torch.equal(*pair) for pair in zip(shown["student"], shown["teacher"], strict=True))
    other = toy_network().double()
    shuffled = replace(data, labels=data.labels.flip(0))
    train_student(other, shuffled, plan, seeded(9), soft_labels=soft)
    assert torch.equal(parameters_of(other), parameters_of(network))
    assert (trained(data, plan) - parameters_of(network)).norm() > 1e-3


def test_order_and_augmentation_follow_from_the_seed():
    plan = replace(PLAN, augmentation=DSA_STRATEGY)
    assert torch.equal(trained(toy_set(), plan), trained(toy_set(), plan))
    assert not torch.equal(trained(toy_set(), plan), trained(toy_set(), plan, seed=10))
    assert not torch.equal(trained(toy_set(), plan), trained(toy_set(), PLAN))


def test_the_global_generator_is_not_used():
    before = torch.get_rng_state()
    trained(toy_set(), replace(PLAN, augmentation=DSA_STRATEGY))
    assert torch.equal(torch.get_rng_state(), before)


def test_every_epoch_shows_every_image_once_in_another_order_and_ends_with_a_smaller_batch():
    seen: list[Tensor] = []
    network = toy_network("mlp-w4").double()
    network.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0][:, 0, 0, 0].clone()))
    data = toy_set(10)
    train_student(network, data, PLAN, seeded(0))
    assert [len(batch) for batch in seen] == [4, 4, 2] * PLAN.schedule.epochs
    epochs = torch.cat(seen).view(PLAN.schedule.epochs, 10)
    assert torch.equal(epochs.sort(1).values, data.images[:, 0, 0, 0].sort().values.expand(5, 10))
    assert len(epochs.unique(dim=0)) == PLAN.schedule.epochs


def test_pixels_are_normalised_as_the_data_set_says():
    images, labels = toy_pixels(7)
    batch, found = TrainingSet(images, labels, INFO).batch(torch.tensor([5, 0, 2]))
    assert batch.dtype == torch.float32
    assert torch.equal(batch, INFO.normalise(images[[5, 0, 2]]))
    assert torch.equal(found, labels[[5, 0, 2]])
    by_hand = (images[5, 1, 3, 4].double() / 255 - 0.5) / 0.3
    assert batch[0, 1, 3, 4].item() == pytest.approx(by_hand.item(), rel=1e-6)


def test_pixels_train_as_their_normalised_images_do():
    images, labels = toy_pixels(10)
    plan = replace(PLAN, augmentation=DSA_STRATEGY)
    as_pixels = trained(TrainingSet(images, labels, INFO), plan)
    as_floats = trained(TrainingSet(INFO.normalise(images), labels, INFO), plan)
    assert torch.equal(as_pixels, as_floats)


def test_a_distilled_set_in_any_space_reaches_the_students_normalised():
    images, labels = toy_pixels(6)[0], torch.arange(3).repeat(2)
    everything = torch.arange(6)
    spaces = {"normalised": INFO.normalise(images), "pixels": images.float() / 255}
    sets = [DistilledDataset(images, labels, 3, ipc=2, space="pixels")]
    sets += [DistilledDataset(values, labels, 3, ipc=2, space=space) for space, values in spaces.items()]
    for distilled in sets:
        data = TrainingSet.of(distilled, INFO, torch.device("cpu"))
        torch.testing.assert_close(data.batch(everything)[0], INFO.normalise(images))
    assert TrainingSet.of(sets[0], INFO, torch.device("cpu")).images.dtype == torch.uint8


def test_a_whitened_set_reaches_the_students_as_it_is():
    images, labels = toy_pixels(6)[0], torch.arange(3).repeat(2)
    whitening = fit_zca(toy_split())
    distilled = DistilledDataset(whiten(images, whitening), labels, 3, ipc=2, space="zca", whitening=whitening)
    data = TrainingSet.of(distilled, INFO, torch.device("cpu"))
    assert torch.equal(data.batch(torch.arange(6))[0], distilled.images)


def test_the_rate_drops_before_the_epochs_that_the_schedule_names_and_stays_in_between():
    schedule = Schedule(epochs=6, drop_at=2, later_drops=(4, 4))
    plan = replace(PLAN, schedule=schedule, lr=0.3, lr_drop=0.2)
    assert [lr for _, lr in plan.epochs(untracked, "")] == [None, None, 0.3 * 0.2, None, 0.3 * 0.2 * 0.2 * 0.2, None]


def test_the_plan_is_the_protocols():
    plan = TrainingPlan.of(DSA, INFO, 10)
    assert plan == TrainingPlan(Schedule(epochs=1001, drop_at=502), 0.01, 256, DSA_STRATEGY, 0.9, 5e-4, 0.1, True)
    assert "flip" not in TrainingPlan.of(DSA, replace(INFO, may_be_mirrored=False), 10).augmentation
    assert TrainingPlan.of(DSA, INFO, 10, student_lr=0.3) == replace(plan, lr=0.3)
    hard = TrainingPlan.of(IMAGENET_HARD, INFO, 50)
    assert hard.schedule == Schedule(epochs=1500, drop_at=1000, later_drops=(1250,))
    assert (hard.image_augmentation, hard.cutmix) == (IMAGENET_HARD.image_augmentation, IMAGENET_HARD.cutmix)
    assert (hard.lr, hard.batch_size, hard.lr_drop, hard.resets_momentum) == (0.01, 64, 0.2, False)
    many = replace(INFO, class_names=tuple(map(str, range(200))))
    assert TrainingPlan.of(IMAGENET_HARD, many, 50) == replace(hard, lr=0.1, weight_decay=1e-4, batch_size=128)
    assert TrainingPlan.of(DSA, INFO, None) == replace(plan, schedule=DSA.real_schedule)


def test_divergence_is_an_error_of_one_line():
    with pytest.raises(StudentDivergedError, match="not finite after 5 epochs at lr 1e\\+30") as caught:
        trained(toy_set(), replace(PLAN, lr=1e30))
    assert "\n" not in str(caught.value)


def test_training_is_tracked_by_epochs():
    shown = []

    def track(iterable: Iterable[Any], description: str, state: object = None) -> Iterator[Any]:
        for item in iterable:
            shown.append((description, item))
            yield item

    train_student(toy_network().double(), toy_set(), PLAN, seeded(0), track)
    assert shown == [("training", epoch) for epoch in range(5)]


class DeviceWatch(TorchDispatchMode):
    """Collects what would make the host wait for a device; `meta` stands for the device, the CPU for the host."""

    SYNCHRONISING: ClassVar = ("_local_scalar_dense", "nonzero", "masked_select", "equal", "unique", "lift_fresh")

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = function.overloadpacket.__name__
        on_device = any(isinstance(value, Tensor) and value.device.type == "meta" for value in args)
        # `lift_fresh` on the device is a tensor made there from Python numbers: a copy that waits.
        if on_device and name in self.SYNCHRONISING:
            self.found.append(name)
        target = kwargs.get("device")
        if name == "_to_copy" and target is not None:
            crosses = torch.device(target).type != args[0].device.type
            if crosses and (on_device or not kwargs.get("non_blocking")):
                self.found.append(f"copy from {args[0].device} to {target}")
        return function(*args, **kwargs)


def test_the_watch_sees_what_waits():
    there, here = torch.ones(2, device="meta"), torch.ones(2)
    with DeviceWatch() as watch:
        torch.tensor([1.0], device="meta")
        here.to("meta")
        with pytest.raises(RuntimeError):
            there[0].item()
        with pytest.raises(RuntimeError):
            bool(there.isfinite().all())
        here.to("meta", non_blocking=True)
        here[0].item()
    waits = ["lift_fresh", "copy from cpu to meta", "_local_scalar_dense", "_local_scalar_dense"]
    # Before torch 2.12 a dispatch mode is not told of the first; on a GPU `set_sync_debug_mode` is.
    assert watch.found in (waits, waits[1:])


class EpochsOverError(Exception):
    """Ends a training before what comes after the epochs."""


@pytest.mark.parametrize("strategy", ["", *DSA_STRATEGY.split("_"), DSA_STRATEGY, "imagenet", "soft labels"])
@pytest.mark.parametrize("stored", [torch.uint8, torch.float32])
def test_nothing_in_an_epoch_waits_for_the_device(strategy, stored):
    images, labels = toy_pixels(10)
    images = images if stored == torch.uint8 else INFO.normalise(images)
    data = TrainingSet(images.to("meta"), labels.to("meta"), INFO)
    data.batch(torch.zeros(1, dtype=torch.int64, device="meta"))  # constants may be sent once, before the epochs
    watch = DeviceWatch()

    def track(iterable: Iterable[Any], description: str, state: object = None) -> Iterator[Any]:
        yield from iterable
        raise EpochsOverError

    network = toy_network().to("meta")
    plan = HARD if strategy in ("imagenet", "soft labels") else replace(PLAN, augmentation=strategy)
    soft = SoftLabels.of(toy_network().to("meta"), 20.0) if strategy == "soft labels" else None
    with watch, pytest.raises(EpochsOverError):
        train_student(network, data, plan, seeded(0), track, soft)
    assert watch.found == []


@pytest.mark.gpu
def test_nothing_in_an_epoch_waits_for_a_real_gpu():
    images, labels = toy_pixels(10)
    data = TrainingSet(images.cuda(), labels.cuda(), INFO)
    data.batch(torch.zeros(1, dtype=torch.int64, device="cuda"))

    def track(iterable: Iterable[Any], description: str, state: object = None) -> Iterator[Any]:
        torch.cuda.set_sync_debug_mode("error")
        try:
            yield from iterable
        finally:
            torch.cuda.set_sync_debug_mode("default")

    for plan in (replace(PLAN, augmentation=DSA_STRATEGY), HARD):
        train_student(toy_network().cuda(), data, plan, seeded(0), track)
