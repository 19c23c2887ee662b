"""Tests of expert trajectories, against plain SGD in float64 with the same draws."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load, save
from torch import Tensor

from ddbench.augment.dsa import apply_dsa, draw_dsa
from ddbench.augment.strategies import DSA_STRATEGY, DSA_STRATEGY_NO_FLIP
from ddbench.dataset import load_dataset
from ddbench.images import LabeledImages, Whitening
from ddbench.methods._trajectories import experts
from ddbench.methods._trajectories.expert_files import Expert, expert_path, find_whitening
from ddbench.methods._trajectories.experts import (
    ExpertConfig,
    ExpertTraining,
    experts_at_once,
    real_in_space,
)
from ddbench.methods._trajectories.flat_network import FlatNetwork, flatten_parameters
from ddbench.network import InputShape, make_network
from ddbench.runs.distill import distill
from ddbench.students.loop import TrainingSet
from tests.methods._trajectories._small_experts import SMALL, SPEC, assert_same, make, seeded, trajectory, whole

pytestmark = pytest.mark.usefixtures("own_cache")


def in_double(train: LabeledImages, whitening: Whitening | None = None) -> Tensor:
    """All images in the experts' space, computed in float64."""
    pixels = train.images.double() / 255
    if whitening is not None:
        centred = pixels.flatten(1) - whitening.mean.double()
        return (centred @ whitening.matrix.double()).view(pixels.shape)
    mean, std = (torch.tensor(c, dtype=torch.float64).view(1, -1, 1, 1) for c in (train.info.mean, train.info.std))
    return (pixels - mean) / std


def naive_trajectory(
    train: LabeledImages, images: Tensor, generator: torch.Generator, strategy: str, epochs: int = 2
) -> Tensor:
    """Parameters at the start and after each epoch of SGD without momentum, (epochs + 1, P) float64."""
    network = make_network(SPEC, InputShape.of(train.info), generator).double()
    rows = [flatten_parameters(network)]
    for _ in range(epochs):
        order = torch.randperm(len(images), generator=generator).tolist()
        while order:
            indices, order = order[:10], order[10:]
            seen = apply_dsa(images[indices], draw_dsa(generator, strategy, len(indices)))
            network.zero_grad()
            F.cross_entropy(network(seen), train.labels[indices]).backward()
            with torch.no_grad():
                for parameter in network.parameters():
                    parameter -= 0.05 * parameter.grad
        rows.append(flatten_parameters(network))
    return torch.stack(rows)


def expert_seeds(count: int) -> list[int]:
    """The seeds of the experts that `prepare` trains: 63-bit draws, one after the other."""
    generator = seeded(3)
    return [int(torch.randint(2**63 - 1, (), generator=generator)) for _ in range(count)]


def error_of(found: Tensor, expected: Tensor) -> float:
    assert found.shape == expected.shape
    return float((found.double() - expected).norm() / expected.norm())


@pytest.mark.parametrize("zca", [False, True], ids=["normalised", "zca"])
def test_experts_equal_plain_sgd(zca, prepare, toy):
    folder = prepare(zca=zca)
    images = in_double(toy, find_whitening(folder) if zca else None)
    for index, seed in enumerate(expert_seeds(2)):
        expected = naive_trajectory(toy, images, seeded(seed), DSA_STRATEGY)
        found = trajectory(folder, index)
        assert found.dtype == torch.float32
        assert torch.equal(found[0].double(), expected[0])
        assert error_of(found, expected) < 1e-6
        for row in (1, 2):  # the way gone, of which rounding is a larger part
            assert (expected[row] - expected[0]).norm() > 0.1
            assert error_of(found[row].double() - found[0].double(), expected[row] - expected[0]) < 1e-5


def test_experts_see_the_images_of_their_space_alone(prepare, toy):
    normalised, whitened = prepare("a"), prepare("b", zca=True)
    assert find_whitening(normalised) is None
    assert torch.equal(trajectory(normalised, 0)[0], trajectory(whitened, 0)[0])
    assert not torch.allclose(trajectory(normalised, 0)[1], trajectory(whitened, 0)[1])


def test_images_that_may_not_be_mirrored_are_not(prepare, toy):
    train = replace(toy, info=replace(toy.info, may_be_mirrored=False))
    found = trajectory(prepare(train=train), 0)
    seed, images = expert_seeds(1)[0], in_double(toy)
    assert error_of(found, naive_trajectory(toy, images, seeded(seed), DSA_STRATEGY_NO_FLIP)) < 1e-6
    assert error_of(found, naive_trajectory(toy, images, seeded(seed), DSA_STRATEGY)) > 1e-3


def test_one_step_is_one_step_of_sgd(toy):
    training = start_training(toy, [11])
    training.run(0)
    generator = seeded(11)
    network = make_network(SPEC, InputShape.of(toy.info), generator).double()
    indices = torch.randperm(27, generator=generator)[:10]
    seen = apply_dsa(in_double(toy)[indices], draw_dsa(generator, DSA_STRATEGY, 10))
    F.cross_entropy(network(seen), toy.labels[indices]).backward()
    expected = torch.cat([(p - 0.05 * p.grad).detach().flatten() for p in network.parameters()])
    assert error_of(training.save_state()["parameters"][0], expected) < 1e-6


def start_training(train: LabeledImages, seeds: list[int]) -> ExpertTraining:
    config = ExpertConfig(SPEC, False, 9, 2, 0.05, 10)
    network = make_network(SPEC, InputShape.of(train.info), seeded(0)).requires_grad_(False)
    images, labels = real_in_space(train, None, torch.device("cpu"))
    data = TrainingSet(images, labels, train.info)
    return ExpertTraining(config, data, FlatNetwork(network, compiles=False, batch_size=1), seeds)


def test_trained_together_experts_are_those_trained_alone(prepare, monkeypatch):
    alone, loops = prepare("alone", num_experts=4), []

    def track(iterable, description, state=None) -> Iterator:
        loops.append((description, len(iterable)))
        yield from iterable

    monkeypatch.setattr(experts, "experts_at_once", lambda device, image_size: 3)
    together = prepare("together", track=track, num_experts=4)
    assert loops == [("training expert 1, 2, 3 of 4", 6), ("training expert 4 of 4", 6)]
    for index in range(4):
        found, expected = trajectory(together, index), trajectory(alone, index)
        assert torch.equal(found[0], expected[0])
        assert error_of(found - found[0], (expected - expected[0]).double()) < 1e-5
    assert not torch.equal(trajectory(alone, 0), trajectory(alone, 1))


def test_bf16_experts_are_the_same_ones_rounded(prepare):
    full, half = prepare("full"), prepare("half", stored_precision="bf16")
    assert trajectory(half, 1).dtype == torch.bfloat16
    assert torch.equal(trajectory(half, 1), trajectory(full, 1).bfloat16())
    assert torch.equal(Expert(expert_path(half, 1)).parameters(2), trajectory(full, 1)[2].bfloat16().float())


def no_loop(iterable, description, state=None) -> Iterator:
    raise AssertionError(f"{description} was started again")
    yield


@pytest.mark.parametrize("zca", [False, True], ids=["normalised", "zca"])
def test_prepared_experts_are_not_trained_again(zca, prepare):
    folder = prepare(zca=zca)
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert len(before) == 3 if zca else 2
    assert prepare(track=no_loop, zca=zca) == folder
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


@pytest.mark.parametrize("lost", [0, 1])
def test_an_unfinished_folder_keeps_its_finished_experts(lost, prepare):
    folder = prepare(zca=True)
    gone, kept = expert_path(folder, lost), expert_path(folder, 1 - lost)
    lost_content, kept_content, written = whole(gone), kept.read_bytes(), kept.stat().st_mtime_ns
    gone.unlink()
    prepare(zca=True)
    assert_same(whole(gone), lost_content)
    assert (kept.read_bytes(), kept.stat().st_mtime_ns) == (kept_content, written)


def test_a_group_with_a_finished_expert_trains_the_others_only(prepare, monkeypatch):
    monkeypatch.setattr(experts, "experts_at_once", lambda device, image_size: 3)
    folder = prepare(num_experts=3)
    before = whole(expert_path(folder, 2))
    written = expert_path(folder, 1).stat().st_mtime_ns
    expert_path(folder, 2).unlink()
    prepare(num_experts=3)
    assert expert_path(folder, 1).stat().st_mtime_ns == written
    found, expected = trajectory(folder, 2), before[1]
    assert error_of(found - found[0], (expected - expected[0]).double()) < 1e-5


@pytest.mark.parametrize("seeds", [[11], [11, 12]], ids=["one", "two at once"])
@pytest.mark.parametrize("done", range(1, 6))
def test_training_goes_on_from_any_step_bit_for_bit(done, seeds, toy):
    whole, stopped, resumed = (start_training(toy, seeds) for _ in range(3))
    for step in whole.steps:
        whole.run(step)
    for step in whole.steps[:done]:
        stopped.run(step)
    resumed.load_state(load(save(stopped.save_state())))
    for step in whole.steps[done:]:
        resumed.run(step)
    assert torch.equal(resumed.trajectories, whole.trajectories)
    assert len(whole.steps) == 6


def test_a_killed_preparation_goes_on_inside_an_epoch(prepare):
    expected, kept = prepare("whole"), {}

    class KilledError(Exception):
        pass

    def stop(iterable, description, state=None) -> Iterator:
        for item in iterable:
            yield item
            kept["state"] = save(state.save_state())
            if "expert 2" in description and item == 3:
                raise KilledError

    def go_on(iterable, description, state=None) -> Iterator:
        assert description == "training expert 2 of 2"
        state.load_state(load(kept["state"]))
        yield from iterable[4:]

    with pytest.raises(KilledError):
        prepare("killed", track=stop)
    found = prepare("killed", track=go_on)
    assert [path.name for path in sorted(found.iterdir())] == ["expert-000.safetensors", "expert-001.safetensors"]
    assert all(torch.equal(trajectory(found, index), trajectory(expected, index)) for index in (0, 1))


def test_the_folder_is_shared_by_ipc_and_by_settings_that_experts_do_not_depend_on(own_cache):
    digits, settings = load_dataset("digits"), {**SMALL, "trajectory_batch_size": 512, "num_experts": 1}
    runs = [(1, {}), (2, {}), (1, {"image_lr": 1.0, "gradient": "tesla"}), (1, {"trajectory_lr": 0.01})]
    cached = []
    for ipc, changes in runs:
        phases = distill("mtt", digits, ipc, 0, {**settings, **changes}, "cpu").provenance["phases"]
        cached.append(next(phase["cached"] for phase in phases if phase["name"] == "prepare"))
    assert cached == [False, True, True, False]
    assert len([path for path in own_cache.glob("prepared/experts-digits-*") if path.is_dir()]) == 2


def test_seeds_give_other_experts(prepare, toy, context, tmp_path):
    first = prepare()
    (tmp_path / "other").mkdir()
    second = make().prepare(toy, replace(context, cache_dir=tmp_path / "other", generator=seeded(4)))
    assert not torch.equal(trajectory(first, 0)[0], trajectory(second, 0)[0])


def test_experts_that_nobody_prepared_are_a_mistake_of_the_caller(toy, context):
    with pytest.raises(RuntimeError, match="run the method through distill"):
        make().load_experts(toy, context)


def test_large_images_are_unsupported_with_zca_alone(toy):
    images = torch.zeros(3, 3, 65, 65, dtype=torch.uint8)
    large = LabeledImages(images, torch.arange(3), replace(toy.info, image_size=65))
    reason = make(zca=True).unsupported(large, 1)
    assert "at most 64 px, got 65 px" in reason
    assert "--set zca=false" in reason
    assert "\n" not in reason
    assert make(zca=False).unsupported(large, 1) is None
    assert make(zca=True).unsupported(toy, 1) is None


def test_networks_with_running_statistics_are_unsupported(toy):
    reason = make(network="convnet-d1-w8-bn").unsupported(toy, 1)
    assert "convnet-d1-w8-bn" in reason
    assert "without batch norm" in reason


def test_more_images_than_a_class_has_are_unsupported(toy):
    assert "1..7" in make().unsupported(toy, 8)
    assert make().unsupported(toy, 7) is None


def test_real_images_are_pixels_or_whitened(toy, prepare):
    pixels, labels = real_in_space(toy, None, torch.device("cpu"))
    assert pixels.dtype == torch.uint8
    assert torch.equal(pixels, toy.images)
    assert torch.equal(labels, toy.labels)
    whitening = find_whitening(prepare(zca=True))
    many = replace(toy, images=toy.images.repeat(40, 1, 1, 1), labels=toy.labels.repeat(40))  # more than one chunk
    whitened, labels = real_in_space(many, whitening, torch.device("cpu"))
    torch.testing.assert_close(whitened.double(), in_double(many, whitening), rtol=1e-4, atol=1e-5)
    assert torch.equal(labels, many.labels)


@pytest.mark.parametrize(
    ("device", "size", "count"), [("cuda", 28, 13), ("cuda", 32, 10), ("cuda", 128, 1), ("cpu", 8, 1)]
)
def test_fewer_experts_train_at_once_on_larger_images(device, size, count):
    assert experts_at_once(torch.device(device), size) == count
