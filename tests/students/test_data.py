"""Tests of training sets: images read batch by batch train exactly as images that are held."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from ddbench.augment.strategies import DSA_STRATEGY
from ddbench.distilled.dataset import DistilledDataset
from ddbench.images import LabeledImages
from ddbench.network import InputShape, make_network
from ddbench.protocol import PROTOCOLS, Schedule
from ddbench.students.data import TrainingSet
from ddbench.students.loop import TrainingPlan, train_student
from tests._toy import INFO

CPU = torch.device("cpu")
IMAGENET_HARD = PROTOCOLS.get("imagenet-hard")
PLAN = TrainingPlan(schedule=Schedule(epochs=3, drop_at=2), lr=0.05, batch_size=4, augmentation="")
HARD = replace(PLAN, image_augmentation=IMAGENET_HARD.image_augmentation, cutmix=IMAGENET_HARD.cutmix)


class CountedImages:
    """Stands for files: remembers the most images that were ever asked for at once."""

    def __init__(self, images: Tensor) -> None:
        self.shape = images.shape
        self.asked: list[int] = []
        self._images = images

    def __getitem__(self, indices: Tensor, /) -> Tensor:
        self.asked.append(len(indices))
        return self._images[indices]


def toy_split(count: int = 10) -> LabeledImages:
    generator = torch.Generator().manual_seed(2)
    images = torch.randint(256, (count, 3, 8, 8), dtype=torch.uint8, generator=generator)
    return LabeledImages(images, torch.randint(3, (count,), generator=generator), INFO)


def streamed(split: LabeledImages) -> tuple[TrainingSet, CountedImages]:
    source = CountedImages(split.images[:])
    return TrainingSet.of_real(replace(split, images=source), CPU), source


def trained(data: TrainingSet, plan: TrainingPlan) -> Tensor:
    network = make_network("convnet-d1-w4", InputShape.of(INFO), torch.Generator().manual_seed(3))
    train_student(network, data, plan, torch.Generator().manual_seed(9))
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


def test_few_images_normalised_once_are_those_normalised_in_every_batch(monkeypatch):
    few = TrainingSet.of_real(toy_split(), CPU)
    assert few._held.dtype == torch.float32
    monkeypatch.setattr("ddbench.students.data.FEW_VALUES", 0)
    many = TrainingSet.of_real(toy_split(), CPU)
    assert many._held.dtype == torch.uint8
    indices = torch.tensor([3, 1, 7])
    assert torch.equal(few.batch(indices)[0], many.batch(indices)[0])


@pytest.mark.parametrize("plan", [PLAN, replace(PLAN, augmentation=DSA_STRATEGY), HARD], ids=["plain", "dsa", "hard"])
def test_streaming_trains_as_holding_does_to_the_last_bit_and_asks_for_batches_alone(plan):
    split = toy_split()
    data, source = streamed(split)
    assert torch.equal(trained(data, plan), trained(TrainingSet.of_real(split, CPU), plan))
    assert source.asked == [4, 4, 2] * 3


def test_batches_come_in_order_with_their_labels():
    split = toy_split()
    order = torch.tensor([7, 0, 3, 9, 1])
    for data in (streamed(split)[0], TrainingSet.of_real(split, CPU)):
        batches = list(data.batches(order, 2))
        assert [len(images) for images, _ in batches] == [2, 2, 1]
        assert torch.equal(torch.cat([images for images, _ in batches]), split.normalised(order))
        assert torch.equal(torch.cat([labels for _, labels in batches]), split.labels[order])
        assert torch.equal(data.batch(order)[0], split.normalised(order))


def test_an_error_while_reading_ahead_reaches_the_caller():
    class Broken(CountedImages):
        def __getitem__(self, indices: Tensor, /) -> Tensor:
            raise OSError("gone")

    data = TrainingSet.of_real(replace(toy_split(), images=Broken(toy_split().images[:])), CPU)
    with pytest.raises(OSError, match="gone"):
        list(data.batches(torch.arange(10), 4))


def test_the_first_images_of_a_streamed_set_are_held():
    data, source = streamed(toy_split())
    few = data.first(3)
    assert (len(few), few.source, source.asked) == (3, None, [3])
    assert torch.equal(few.images, toy_split().images[:3])
    assert len(data.first(99)) == 10


def test_a_streamed_set_takes_its_images_from_the_training_split():
    split = toy_split()
    whole = DistilledDataset(
        torch.empty(10, 3, 8, 8, dtype=torch.uint8, device="meta"), split.labels, 3, None, "pixels"
    )
    assert whole.is_streamed
    assert whole.num_bytes == 10 * 3 * 64 + 10 * 8
    _, source = streamed(split)
    data = TrainingSet.of(whole, INFO, CPU, replace(split, images=source))
    assert torch.equal(data.batch(torch.tensor([4]))[0], split.normalised(torch.tensor([4])))
    with pytest.raises(RuntimeError, match="needs the real training split"):
        TrainingSet.of(whole, INFO, CPU)


def test_normalising_and_its_inverse_are_the_data_sets():
    data, pixels = TrainingSet.of_real(toy_split(), CPU), torch.rand(2, 3, 8, 8)
    assert torch.equal(data.normalise(pixels), INFO.normalise(pixels))
    torch.testing.assert_close(data.to_pixels(data.normalise(pixels)), pixels)
