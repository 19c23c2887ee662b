"""Tests of the parts of a protocol: drops of the rate, epochs by IPC, and what is refused."""

import pytest
from pydantic import ValidationError

from ddbench.errors import BadInputError
from ddbench.training_recipe import (
    BatchByIpc,
    BestOf,
    CutMix,
    ImageAugmentation,
    ManyClasses,
    Schedule,
    ScheduleByIpc,
    Teacher,
)

BY_IPC = ScheduleByIpc(steps=((1, 90), (10, 60)), beyond=30, drops=((2, 3), (5, 6)), factor_at_100_classes=None)
AT_100 = BY_IPC.model_copy(update={"steps": ((1, 350), (10, 60)), "factor_at_100_classes": (2, 3)})


def test_a_schedule_counts_its_drops_at_every_epoch():
    schedule = Schedule(epochs=10, drop_at=3, later_drops=(5, 5))
    assert [schedule.drops_at(epoch) for epoch in range(7)] == [0, 0, 0, 1, 0, 2, 0]


@pytest.mark.parametrize(("ipc", "epochs"), [(1, 90), (2, 60), (10, 60), (11, 30), (5000, 30)])
def test_epochs_follow_from_ipc_and_drops_from_the_epochs(ipc, epochs):
    expected = Schedule(epochs=epochs, drop_at=epochs * 2 // 3, later_drops=(epochs * 5 // 6,))
    assert BY_IPC.schedule(ipc, 10) == expected


def test_drops_are_rounded_down():
    odd = BY_IPC.model_copy(update={"beyond": 100})
    assert odd.schedule(11, 10) == Schedule(epochs=100, drop_at=66, later_drops=(83,))


def test_a_hundred_classes_train_for_a_fraction_in_hundreds():
    assert [AT_100.schedule(1, classes).epochs for classes in (99, 100, 101)] == [350, 200, 350]
    assert BY_IPC.schedule(1, 100).epochs == 90


def test_parts_are_frozen_and_strict():
    with pytest.raises(ValidationError, match="frozen"):
        BY_IPC.beyond = 3
    with pytest.raises(BadInputError, match="Schedule: unknown key 'drop'"):
        Schedule(epochs=2, drop_at=1, drop=(1,))
    with pytest.raises(BadInputError, match="CutMix: probability: should be less than or equal to 1, got 2"):
        CutMix(probability=2, beta=1)
    with pytest.raises(BadInputError, match="Teacher: loss: should be 'kl', 'kl-unscaled' or 'mse', got 'ce'"):
        Teacher(network="mlp", schedule=Schedule(epochs=2, drop_at=1), seed=0, temperature=1, loss="ce")


def test_a_late_drop_comes_after_two_thirds_and_never_before_the_first_epoch():
    assert [Schedule.with_late_drop(epochs).drop_at for epochs in (1, 2, 3, 10, 60)] == [1, 1, 2, 6, 40]
    assert Schedule.with_late_drop(10) == Schedule(epochs=10, drop_at=6)


def test_a_schedule_drops_or_follows_a_curve():
    for wrong in ({}, {"drop_at": 1, "curve": "cosine"}, {"later_drops": (1,), "curve": "cosine"}):
        with pytest.raises(BadInputError, match="give drop_at, or a curve and no drops"):
            Schedule(epochs=2, **wrong)


def test_curves_begin_at_one_and_end_at_nothing_or_at_a_half():
    whole, half = (Schedule(epochs=300, curve=curve) for curve in ("cosine", "half cosine"))
    assert [whole.curve_at(epoch) for epoch in (0, 100, 150)] == pytest.approx([1, 0.75, 0.5])
    assert [half.curve_at(epoch) for epoch in (0, 100, 200)] == pytest.approx([1, (1 + 3**0.5 / 2) / 2, 0.75])
    assert 0 < whole.curve_at(299) < 1e-4
    assert 0.5 < half.curve_at(299) < 0.503
    assert Schedule(epochs=5, drop_at=1).curve_at(3) == 1
    assert whole.scaled(30) == Schedule(epochs=30, curve="cosine")
    assert Schedule(epochs=10, drop_at=5, later_drops=(8,)).scaled(20) == Schedule(
        epochs=20, drop_at=10, later_drops=(16,)
    )


def test_batches_grow_with_ipc_and_double_at_some_numbers_of_classes():
    by_ipc = BatchByIpc(steps=((1, 10), (10, 50)), beyond=100, doubled_at=(100,))
    assert [by_ipc.size(ipc, 10) for ipc in (1, 2, 10, 11, None)] == [10, 50, 50, 100, 100]
    assert [by_ipc.size(1, classes) for classes in (99, 100, 101)] == [10, 20, 10]


def test_the_best_is_of_the_tests_at_these_epochs_and_of_the_last():
    def tested(epochs, **when):
        return [epoch for epoch in range(epochs) if BestOf(**when).includes(epoch, epochs)]

    assert tested(300, every=10, at=9, after=0.8) == [249, 259, 269, 279, 289, 299]
    assert tested(25, every=10, at=0) == [0, 10, 20, 24]
    assert tested(250, every=100, at=99) == [99, 199, 249]
    assert tested(3, every=10, at=9, after=0.8) == [2]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: BatchByIpc(steps=((1, 0),), beyond=10), "greater than 0"),
        (lambda: BatchByIpc(steps=((10, 50), (1, 10)), beyond=100), r"must ascend by IPC, got \[10, 1\]"),
        (lambda: ScheduleByIpc(steps=(), beyond=1, drops=((1, 0),), factor_at_100_classes=None), "greater than 0"),
        (lambda: ManyClasses(more_than=1, lr=0.1, weight_decay=0.0, batch_size=0), "greater than 0"),
        (lambda: ImageAugmentation(crop_area=(0.9, 0.1), flip=0.5, jitter=0.0, lighting=0.0), "least part, above 0"),
        (
            lambda: ImageAugmentation(crop_area=(0.1, 1.0), flip=7.0, jitter=0.0, lighting=0.0),
            "less than or equal to 1",
        ),
        (lambda: Schedule(epochs=2, drop_at=1, later_drops=(-1,)), "greater than 0"),
    ],
)
def test_numbers_that_cannot_be_are_refused(make, words):
    with pytest.raises(BadInputError, match=words):
        make()
