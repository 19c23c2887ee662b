"""Tests of students trained at once by the trainer: their accuracies are those of students trained alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from ddbench.dataset import load_dataset
from ddbench.distilled.dataset import DistilledDataset
from ddbench.engine.chunks import shrunk_chunks
from ddbench.protocol import Schedule
from ddbench.students import trainer as training
from ddbench.students.batched import Together
from ddbench.students.trainer import StudentTrainer
from tests.students._toy_trainer import CPU, PROTOCOL, toy_real, toy_trainer, whitened_set


def test_students_trained_at_once_have_the_accuracies_of_students_trained_alone_in_their_order():
    trainer, logged = toy_trainer(toy_real()), []
    trainer = replace(trainer, distilled=replace(trainer.distilled, student_lr=0.5))
    alone = trainer.train_and_test("mlp-w32", 5)
    assert alone.engine["students_at_once"] == 1
    assert len(set(alone.accuracies)) > 2
    for asked in (2, 4, 20):
        found = replace(trainer, at_once=asked).train_and_test("mlp-w32", 5, log=lambda name, _: logged.append(name))
        assert found.accuracies == alone.accuracies
        assert found.engine["students_at_once"] == min(asked, 5)
        assert found.engine["students_together"] == "side by side"
    assert logged == [f"test_accuracy[mlp-w32, student {i}]" for i in range(5)] * 3


def test_whitened_sets_and_learned_rates_count_for_students_trained_at_once():
    real = toy_real()
    for distilled in (whitened_set(real, student_lr=0.2), whitened_set(real)):
        trainer = toy_trainer(real, distilled=distilled)
        expected = trainer.train_and_test("mlp-w4", 4).accuracies
        assert replace(trainer, at_once=4).train_and_test("mlp-w4", 4).accuracies == expected


def test_students_that_cannot_be_trained_at_once_are_trained_alone_and_the_reason_is_kept():
    trainer = toy_trainer(toy_real())
    alone = trainer.train_and_test("convnet-d1-w4-bn", 2)
    asked = replace(trainer, at_once=2).train_and_test("convnet-d1-w4-bn", 2)
    assert asked.accuracies == alone.accuracies
    assert asked.engine["students_at_once"] == 1
    assert asked.engine["students_one_by_one"] == "the network keeps running statistics"


def test_where_memory_runs_out_fewer_students_are_trained_at_once(monkeypatch):
    trainer, sizes = toy_trainer(toy_real(), at_once=7), []
    expected = trainer.train_and_test("mlp-w4", 7).accuracies
    together = training.train_students

    def small_device(networks: Any, *rest: Any) -> Together:
        sizes.append(len(networks))
        if len(networks) > 2:
            together(networks, *rest)  # students that do not fit have been trained to some extent
            raise torch.OutOfMemoryError("CUDA out of memory")
        return together(networks, *rest)

    monkeypatch.setattr(training, "train_students", small_device)
    with shrunk_chunks() as shrunk:
        assert trainer.train_and_test("mlp-w4", 7).accuracies == expected
    assert shrunk == {"students_at_once": 1}
    assert sizes == [7, 3, *7 * [1]]


def test_whole_trainings_on_digits_at_once_are_those_alone():
    real = load_dataset("digits")
    chosen = torch.cat([real.train.of_class(label)[:5] for label in range(10)])
    distilled = DistilledDataset(real.train.pixels(chosen), real.train.labels[chosen], 10, ipc=5, space="pixels")
    schedule = Schedule(epochs=10, drop_at=7)
    protocol = PROTOCOL.model_copy(update={"schedule": schedule, "batch_size": 32, "lr": 0.02})
    trainer = StudentTrainer(distilled, protocol, real, CPU, eval_seed=0)
    alone = torch.tensor(trainer.train_and_test("convnet-d1-w8", 4).accuracies)
    asked = replace(trainer, at_once=4).train_and_test("convnet-d1-w8", 4)
    together = torch.tensor(asked.accuracies)
    assert asked.engine["students_at_once"] == 4
    assert alone.min() > 0.2  # twice chance
    # Rounding may tip single test images of the 360, and students differ by far more.
    assert (together - alone).abs().max() <= 3 / len(real.test)
    assert (alone[:, None] - alone).abs().max() > 6 / len(real.test)
