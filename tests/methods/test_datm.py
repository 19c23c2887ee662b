"""Tests of DATM: its equations written out in float64, where it starts, how difficulty grows, what is skipped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ddbench.augment.dsa import Draw
from ddbench.augment.strategies import DSA_STRATEGY
from ddbench.distilled.dataset import DistilledDataset
from ddbench.errors import BadInputError, DivergedError
from ddbench.images import LabeledImages
from ddbench.method import RunContext, config_of, make_method
from ddbench.methods._trajectories.expert_files import save_expert
from ddbench.methods._trajectories.flat_network import FlatNetwork
from ddbench.methods._trajectories.learned_set import LearnedSet
from ddbench.methods._trajectories.meta_gradient import META_GRADIENTS, MetaGradient, Segment, StudentBatch
from ddbench.network import InputShape, make_network
from ddbench.runs.presets import load_preset
from tests._keeper import Keeper, KilledError
from tests.golden._naive import augmented, drawn, logits_of
from tests.golden._naive_trajectories import cut_up

SPEC = "convnet-d1-w4"
SHAPE = InputShape(3, 8, 3)
EPOCHS = 5
SMALL = {
    "network": SPEC,
    "zca": False,
    "num_experts": 12,
    "trajectory_epochs": EPOCHS,
    "expert_epochs": 2,
    "max_start_epoch": 3,
    "first_max_start_epoch": 1,
    "expansion_steps": 4,
    "steps": 6,
    "syn_steps": 3,
    "syn_batch_size": 4,
    "image_lr": 5.0,
    "label_lr": 3.0,
    "start_lr": 0.1,
    "lr_lr": 1e-4,
    "threshold": 100.0,
}


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def trajectory(number: int) -> Tensor:
    """(EPOCHS + 1, P) float32: a random network that drifts; each of them knows some of the images by chance."""
    draws = seeded(40 + number)
    start = torch.cat([part.detach().flatten() for part in make_network(SPEC, SHAPE, draws).parameters()])
    moves = 0.02 * torch.randn(EPOCHS, len(start), generator=draws)
    return torch.cat([start[None], start + moves.cumsum(0)])


@pytest.fixture
def run(toy, context, tmp_path):
    """A function that distils behind experts that were written down; it draws from seed 21."""

    def distil(ipc: int = 2, seed: int = 21, track=None, log=None, **settings: object) -> DistilledDataset:
        method = make_method("datm", {**SMALL, **settings})
        for number in range(method.config.num_experts):
            save_expert(trajectory(number), tmp_path, number, method.identity(toy, None))
        changes = {name: value for name, value in (("track", track), ("log", log)) if value is not None}
        return method.distill(toy, ipc, replace(context, prepared=tmp_path, generator=seeded(seed), **changes))

    return distil


def classified(train: LabeledImages) -> Tensor:
    """(experts, N, K) float64: what every expert says of every image after its last epoch."""
    images = train.normalised().double()
    rows = [cut_up(trajectory(n)[-1].double(), SPEC, SHAPE) for n in range(SMALL["num_experts"])]
    return torch.stack([logits_of(row, images) for row in rows])


def naive_start(train: LabeledImages, ipc: int, generator: torch.Generator) -> tuple[list[int], Tensor]:
    """Which images learning starts from, and their logits, (K * ipc, K)."""
    said, chosen = classified(train), []
    members = [[i for i in range(len(train)) if int(train.labels[i]) == label] for label in range(3)]
    orders = [[own[i] for i in torch.randperm(len(own), generator=generator).tolist()] for own in members]
    for label, order in enumerate(orders):
        found: list[int] = []
        for expert in said:
            found += [i for i in order if i not in found and int(expert[i].argmax()) == label]
        chosen += found[:ipc]
    logits = []
    for i in chosen:
        right = [expert[i] for expert in said if int(expert[i].argmax()) == int(train.labels[i])]
        logits.append(sum(right) / len(right))
    return chosen, torch.stack(logits)


def naive_loss(
    images: Tensor, logits: Tensor, lr: Tensor, ends: Sequence[Sequence[Tensor]], batches: Sequence[tuple]
) -> Tensor:
    """The matching loss of a student of plain SGD on soft cross entropy, differentiable by all that is learned."""
    student = start = [part.clone().requires_grad_() for part in ends[0]]
    for indices, name, numbers in batches:
        said = logits_of(student, augmented(images[indices], name, numbers))
        loss = -sum((q.softmax(0) * f.log_softmax(0)).sum() for q, f in zip(logits[indices], said, strict=True))
        gradients = torch.autograd.grad(loss / len(indices), student, create_graph=True)
        student = [part - lr * gradient for part, gradient in zip(student, gradients, strict=True)]
    missed, way = (
        sum((a - b).square().sum() for a, b in zip(parts, ends[1], strict=True)) for parts in (student, start)
    )
    return missed / way


def error_of(found: Tensor, expected: Tensor) -> float:
    assert found.shape == expected.shape
    assert expected.norm() > 0
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize("chunk", [None, 2], ids=["whole batches", "chunks"])
@pytest.mark.parametrize("way", ["unrolled", "adjoint"])
def test_a_meta_steps_gradients_are_those_of_the_equations(way, chunk):
    draws = seeded(8)
    images = torch.randn(6, 3, 8, 8, dtype=torch.float64, generator=draws).requires_grad_()
    logits = torch.randn(6, 3, dtype=torch.float64, generator=draws).requires_grad_()
    lr = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    orders = [torch.randperm(6, generator=draws)[:4] for _ in range(4)]
    batches = [(order, *drawn(DSA_STRATEGY, 4, draws)) for order in orders]
    start, target = trajectory(1)[[0, 3]].double()
    loss = naive_loss(images, logits, lr, [cut_up(vector, SPEC, SHAPE) for vector in (start, target)], batches)
    expected = torch.autograd.grad(loss, (images, lr, logits))

    network = make_network(SPEC, SHAPE, seeded(0)).double().requires_grad_(False)
    learned = LearnedSet(images.detach(), lr.detach(), logits.detach())
    shown = [StudentBatch(i, learned.shown_labels()[i], Draw(name, torch.tensor(n))) for i, name, n in batches]
    flat = FlatNetwork(network, compiles=False, batch_size=4, chunk=chunk)
    found = META_GRADIENTS[way](flat, learned.images, learned.lr, Segment(start, target), shown)
    assert found.loss.item() == pytest.approx(loss.item(), rel=1e-12)
    errors = [error_of(*pair) for pair in zip(learned.gradients(found), expected, strict=True)]
    assert max(errors) < 1e-10


def test_a_whole_run_is_that_of_the_equations(run, toy):
    logged: dict[str, float] = {}
    found = run(log=logged.__setitem__, threshold=1.02)
    generator = seeded(21)
    chosen, logits = naive_start(toy, 2, generator)
    start = images = toy.normalised()[chosen].double()
    lr, speeds, skipped, losses = torch.tensor(0.1, dtype=torch.float64), [0.0, 0.0, 0.0], [], []
    for step in range(6):
        rows = trajectory(int(torch.randint(12, (), generator=generator))).double()
        first = int(torch.randint(min(1 + 2 * step // 4, 3), (), generator=generator))
        ends = [cut_up(rows[row], SPEC, SHAPE) for row in (first, first + 2)]
        orders: list[Tensor] = []
        while len(orders) < 3:
            orders += torch.randperm(6, generator=generator).split(4)
        batches = [(order, *drawn(DSA_STRATEGY, len(order), generator)) for order in orders[:3]]
        parts = [part.detach().requires_grad_() for part in (images, logits, lr)]
        loss = naive_loss(*parts, ends, batches)
        losses.append(loss.item())
        if loss > 1.02:
            skipped.append(step)
            continue
        gradients = torch.autograd.grad(loss, parts)
        speeds = [m * v + g for m, v, g in zip((0.5, 0.9, 0.5), speeds, gradients, strict=True)]
        images, logits, lr = (
            (part - rate * v).detach() for part, rate, v in zip(parts, (5.0, 3.0, 1e-4), speeds, strict=True)
        )
    assert [int(name[8:-1]) for name in logged if name.startswith("skipped")] == skipped
    assert 0 < len(skipped) < 6, losses
    assert error_of(found.images - start, images - start) < 1e-3
    assert error_of(found.labels.double(), logits.softmax(1)) < 1e-5
    assert found.student_lr == pytest.approx(lr.item(), rel=1e-6)
    assert found.student_lr != pytest.approx(0.1, rel=1e-7)


@pytest.mark.parametrize("ipc", [1, 2, 4])
def test_images_start_from_correctly_classified_ones_and_labels_from_their_mean_logits(ipc, run, toy):
    found = run(ipc, steps=1, image_lr=1e-12, label_lr=0.0)
    chosen, logits = naive_start(toy, ipc, seeded(21))
    assert toy.labels[chosen].tolist() == [label for label in range(3) for _ in range(ipc)]
    torch.testing.assert_close(found.images, toy.normalised()[chosen], rtol=0, atol=1e-6)
    torch.testing.assert_close(found.labels.double(), logits.softmax(1), rtol=1e-4, atol=1e-6)
    assert torch.equal(found.classes, toy.labels[chosen])


def test_the_cases_above_need_several_experts(toy):
    right = classified(toy).argmax(2) == toy.labels
    of_first = [int(right[0, toy.labels == label].sum()) for label in range(3)]
    assert min(of_first) < 2
    assert right.sum(0).unique().numel() > 2


def test_images_that_no_expert_knows_are_refused_in_one_line(run):
    message = r"datm: experts classify \d images of class . correctly at epoch 5, fewer than ipc 9; train them for"
    with pytest.raises(BadInputError, match=message) as caught:
        run(9, num_experts=1)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("zca", [False, True], ids=["normalised", "zca"])
def test_stored_labels_are_probabilities_that_were_learned(zca, toy, context, tmp_path):
    settings = {**SMALL, "zca": zca, "num_experts": 2, "trajectory_lr": 0.05, "trajectory_batch_size": 4}
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    method = make_method("datm", {**settings, "threshold": 1e6})
    method.prepare(toy, replace(context, cache_dir=tmp_path / "a", generator=seeded(3)))
    found = method.distill(toy, 1, replace(context, prepared=tmp_path / "a", generator=seeded(21)))
    still = make_method("datm", {**settings, "threshold": 1e6, "label_lr": 0.0})
    fixed = still.distill(toy, 1, replace(context, prepared=tmp_path / "a", generator=seeded(21)))
    assert found.label_mode == "soft"
    assert found.labels.dtype == torch.float32
    assert found.space == ("zca" if zca else "normalised")
    torch.testing.assert_close(found.labels.sum(1), torch.ones(3))
    assert found.labels.min() >= 0
    assert not torch.allclose(found.labels, fixed.labels)


def test_published_schedules_by_hand():
    """Config IPC10: 10 + int(10 * it / 1000), at most 20; IPC50: 20 + int(20 * it / 2000), at most 40; IPC1: 4."""
    ipc1, ipc10, ipc50 = (
        make_method("datm", load_preset(f"datm_cifar10_ipc{n}").settings).config.start_epochs for n in (1, 10, 50)
    )
    assert [ipc1(step) for step in (0, 1, 9999)] == [range(4)] * 3
    by_hand = {0: 10, 99: 10, 100: 11, 199: 11, 500: 15, 999: 19, 1000: 20, 1001: 20, 9999: 20}
    assert {step: ipc10(step) for step in by_hand} == {step: range(end) for step, end in by_hand.items()}
    by_hand = {0: 20, 99: 20, 100: 21, 1000: 30, 1999: 39, 2000: 40, 9999: 40}
    assert {step: ipc50(step) for step in by_hand} == {step: range(end) for step, end in by_hand.items()}


@given(st.integers(0, 5), st.integers(1, 20), st.integers(0, 30), st.integers(1, 300))
def test_difficulty_grows_evenly_from_one_end_to_the_other(low, width, growth, steps):
    first, last = low + width, low + width + growth
    ends = {"min_start_epoch": low, "first_max_start_epoch": first, "max_start_epoch": last}
    config = make_method("datm", {"trajectory_epochs": 100, **ends, "expansion_steps": steps}).config
    ranges = [config.start_epochs(step) for step in range(steps + 2)]
    assert {found.start for found in ranges} == {low}
    assert (ranges[0].stop, ranges[steps].stop, ranges[-1].stop) == (first, last, last)
    jumps = [later.stop - earlier.stop for earlier, later in pairwise(ranges[: steps + 1])]
    assert max(jumps) - min(jumps) <= 1
    assert min(jumps) >= 0
    assert all(found.stop == int(first + growth * step / steps) for step, found in enumerate(ranges[:-1]))


class Watched:
    """The adjoint gradient, which takes down what it was asked and may answer another loss or gradient by labels."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, losses: Sequence[float] = (), scale: float = 1.0) -> None:
        self.images: list[Tensor] = []
        self.segments: list[Segment] = []
        self._losses, self._way, self._scale = list(losses), META_GRADIENTS["adjoint"], scale
        monkeypatch.setitem(META_GRADIENTS, "adjoint", self)

    def __call__(self, network, images, lr, segment, batches) -> MetaGradient:
        self.images.append(images.clone())
        self.segments.append(segment)
        found = self._way(network, images, lr, segment, batches)
        found = replace(found, labels=found.labels * self._scale)
        return replace(found, loss=torch.tensor(self._losses.pop(0))) if self._losses else found


def test_segments_start_in_the_epochs_of_their_step(run, monkeypatch):
    watched = Watched(monkeypatch)
    run(steps=60, syn_steps=1, min_start_epoch=1, first_max_start_epoch=2, expansion_steps=30, label_lr=0.01)
    rows = [trajectory(number) for number in range(12)]
    starts = [
        next(e for e in range(EPOCHS) for row in rows if torch.equal(row[e], seen.start)) for seen in watched.segments
    ]
    assert set(starts[:30]) == {1}
    assert set(starts[30:]) == {1, 2}


@pytest.mark.parametrize("bad", [1.2, float("nan"), float("inf")])
def test_a_loss_above_the_threshold_changes_nothing(bad, run, monkeypatch):
    watched = Watched(monkeypatch, [0.9, bad, bad, 1.1])
    run(threshold=1.1, steps=5)
    moved = [not torch.equal(*pair) for pair in pairwise(watched.images)]
    assert moved == [True, False, False, True]


def test_a_run_that_skips_every_step_is_an_error(run, monkeypatch):
    Watched(monkeypatch, [1.2] * 3)
    message = (
        r"datm stopped after step 2: the loss was above threshold = 1\.1 in every step, \d\S* in the last, "
        "and nothing was learned; raise threshold, or lower start_lr"
    )
    with pytest.raises(DivergedError, match=message) as caught:
        run(threshold=1.1, steps=3)
    assert caught.value.last_good.label_mode == "soft"


@pytest.mark.parametrize(
    ("scale", "message"), [(1e20, "labels are not finite; lower label_lr"), (1e40, "gradient is not")]
)
def test_labels_that_explode_stop_the_run(scale, message, run, monkeypatch):
    watched = Watched(monkeypatch, scale=scale)
    with pytest.raises(DivergedError, match=f"datm stopped at step 0: the {message}") as caught:
        run(label_lr=1e30)
    assert torch.equal(caught.value.last_good.images, watched.images[0])


@pytest.mark.parametrize("done", [1, 3, 5])
def test_a_stopped_run_goes_on_bit_for_bit(done, run):
    expected, keeper = run(threshold=1.02), Keeper(done)
    with pytest.raises(KilledError):
        run(threshold=1.02, track=keeper)
    found = run(threshold=1.02, track=keeper)
    assert torch.equal(found.images, expected.images)
    assert torch.equal(found.labels, expected.labels)
    assert found.student_lr == expected.student_lr


def test_the_defaults_are_those_of_cifar10_at_one_image_per_class():
    preset = load_preset("datm_cifar10_ipc1").settings
    config = config_of(make_method("datm"))
    assert {name: config[name] for name in preset} == preset
    assert (config["image_momentum"], config["label_momentum"], config["lr_momentum"]) == (0.5, 0.9, 0.5)
    assert (config["trajectory_lr"], config["trajectory_batch_size"]) == (0.01, 256)


ROWS = {1: (None, 4, 100, 5, 1.1, 1e-7), 10: (100, 20, 100, 2, 1.0, 1e-5), 50: (500, 40, 1000, 2, 1.0, 1e-5)}


@pytest.mark.parametrize("ipc", ROWS)
def test_presets_have_the_values_of_the_configs(ipc):
    config = make_method("datm", load_preset(f"datm_cifar10_ipc{ipc}").settings).config
    found = config.syn_batch_size, config.max_start_epoch, config.image_lr, config.label_lr, config.threshold
    assert (*found, config.lr_lr) == ROWS[ipc]
    assert (config.steps, config.syn_steps, config.expert_epochs, config.start_lr) == (10000, 80, 2, 0.01)
    assert (config.gsam_rho, config.gsam_alpha, config.trajectory_epochs, config.zca) == (0.01, 0.3, 100, True)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"min_start_epoch": 4}, "datm: max_start_epoch must be above min_start_epoch = 4 .* got 4"),
        ({"first_max_start_epoch": 5}, "first_max_start_epoch must be above .* at most max_start_epoch = 4, got 5"),
        ({"first_max_start_epoch": 1, "min_start_epoch": 1}, "first_max_start_epoch must be above .* = 1 .* got 1"),
        ({"trajectory_epochs": 5}, r"trajectory_epochs must be at least max_start_epoch \+ expert_epochs = 6, got 5"),
        ({"threshold": 0.0}, "threshold cannot be 0.0"),
        ({"label_lr": -1.0}, "label_lr cannot be -1.0"),
        ({"label_momentum": 1.0}, "label_momentum cannot be 1.0"),
        ({"gsam_rho": -0.1}, "gsam_rho cannot be -0.1"),
        ({"expansion_steps": 0}, "expansion_steps cannot be 0"),
        ({"label_rate": 1.0}, "label_lr"),
    ],
)
def test_settings_that_cannot_be_are_refused_in_one_line(settings, message):
    with pytest.raises(BadInputError, match=message) as caught:
        make_method("datm", settings)
    assert "\n" not in str(caught.value)


def test_a_context_without_experts_is_a_mistake_of_the_caller(toy, context: RunContext):
    with pytest.raises(RuntimeError, match=r"prepare\(\)"):
        make_method("datm", SMALL).distill(toy, 1, context)
