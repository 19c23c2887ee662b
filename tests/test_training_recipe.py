"""Tests of the parts of a protocol: drops of the rate, epochs by IPC, and what is refused."""

import pytest
from pydantic import ValidationError

from ddbench.errors import BadInputError
from ddbench.training_recipe import CutMix, Schedule, ScheduleByIpc, Teacher

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
    with pytest.raises(BadInputError, match="Schedule: unknown key 'drops'"):
        Schedule(epochs=2, drop_at=1, drops=(1,))
    with pytest.raises(BadInputError, match="CutMix: probability: should be less than or equal to 1, got 2"):
        CutMix(probability=2, beta=1)
    with pytest.raises(BadInputError, match="Teacher: loss: should be 'kl', got 'mse'"):
        Teacher(network="mlp", schedule=Schedule(epochs=2, drop_at=1), seed=0, temperature=1, loss="mse")


def test_a_late_drop_comes_after_two_thirds_and_never_before_the_first_epoch():
    assert [Schedule.with_late_drop(epochs).drop_at for epochs in (1, 2, 3, 10, 60)] == [1, 1, 2, 6, 40]
    assert Schedule.with_late_drop(10) == Schedule(epochs=10, drop_at=6)
