"""Tests of what students depend on: seeds and the distilled set, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ddbench import evaluator
from ddbench.augment.zca import fit_zca, whiten
from ddbench.dataset import load_dataset, make_real_dataset
from ddbench.engine.chunks import shrunk_chunks
from ddbench.errors import BadInputError, UnknownNameError
from ddbench.evaluator import EVALUATORS, DistillRun, Evaluator, make_evaluator, student_accuracies
from ddbench.method import RunContext
from ddbench.network import Network
from ddbench.protocol import Protocol, Schedule
from ddbench.records import DistilledDataset, RealDataset
from ddbench.students.batched import Together
from ddbench.students.loop import TrainingPlan, TrainingSet, measure_accuracy, train_student
from ddbench.training_recipe import Teacher

PROTOCOL = Protocol(
    name="toy",
    version=1,
    network="mlp-w4",
    schedule=Schedule(epochs=3, drop_at=2),
    real_schedule=Schedule(epochs=1, drop_at=1),
    batch_size=4,
    lr=0.05,
    augmentation="crop_scale",
)


def toy_real(test_seed: int = 1) -> RealDataset:
    def split(count: int, seed: int) -> tuple[Tensor, Tensor]:
        draws = torch.Generator().manual_seed(seed)
        images = torch.randint(256, (count, 1, 8, 8), dtype=torch.uint8, generator=draws)
        return images, torch.arange(count) % 3

    return make_real_dataset(
        "toy", split(12, 0), split(30, test_seed), class_names=("a", "b", "c"), mean=(0.5,), std=(0.3,)
    )


def toy_run(real: RealDataset, part: int = 0, **changes: Any) -> DistillRun:
    images, labels = real.train.images[torch.arange(6) + 6 * part], real.train.labels[:6]
    distilled = DistilledDataset(images, labels, 3, ipc=2, space="pixels")
    run = DistillRun(distilled, PROTOCOL, "mlp-w4", students=2, eval_seed=0, distill_seed=0)
    return replace(run, **changes)


def toy_context(**changes: Any) -> RunContext:
    return replace(RunContext(torch.device("cpu"), torch.Generator().manual_seed(0), Path()), **changes)


class Watch:
    """Takes down what each student begins with, what it is trained by and how it ends."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.initial: list[Tensor] = []
        self.draws: list[Tensor] = []
        self.plans: list[TrainingPlan] = []
        self.final: list[Tensor] = []
        monkeypatch.setattr(evaluator, "train_student", self._train)

    def _train(
        self, network: Network, data: TrainingSet, plan: TrainingPlan, generator: torch.Generator, *rest: Any
    ) -> None:
        self.initial.append(parameters_of(network))
        self.draws.append(generator.get_state())
        self.plans.append(plan)
        train_student(network, data, plan, generator, *rest)
        self.final.append(parameters_of(network))


def parameters_of(network: Network) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


def begin(monkeypatch: pytest.MonkeyPatch, run: DistillRun, real: RealDataset, **changes: Any) -> list[bytes]:
    """Return, for each student, its parameters before training and its generator's state as bytes."""
    watch = Watch(monkeypatch)
    student_accuracies(run, real, run.network, toy_context(**changes))
    return [
        initial.numpy().tobytes() + draws.numpy().tobytes()
        for initial, draws in zip(watch.initial, watch.draws, strict=True)
    ]


def test_students_of_two_methods_begin_equal(monkeypatch):
    real = toy_real()
    run, other = toy_run(real, 0), toy_run(real, 1)
    assert not torch.equal(run.distilled.images, other.distilled.images)
    first = begin(monkeypatch, run, real)
    again = begin(monkeypatch, other, real, generator=torch.Generator().manual_seed(77))
    assert first == again
    assert first[0] != first[1]


@pytest.mark.parametrize("changes", [{"distill_seed": 1}, {"distill_seed": None}, {"eval_seed": 1}])
def test_students_of_other_seeds_begin_otherwise(changes, monkeypatch):
    real = toy_real()
    usual = begin(monkeypatch, toy_run(real), real)
    changed = begin(monkeypatch, toy_run(real, **changes), real)
    assert len({*usual, *changed}) == 4


def test_both_the_parameters_and_the_training_draws_depend_on_the_student(monkeypatch):
    real, watch = toy_real(), Watch(monkeypatch)
    student_accuracies(toy_run(real, students=3), real, "mlp-w4", toy_context())
    for kept in (watch.initial, watch.draws):
        assert len({tensor.numpy().tobytes() for tensor in kept}) == 3


def test_more_students_leave_the_first_ones_as_they_were(monkeypatch):
    real = toy_real()
    assert begin(monkeypatch, toy_run(real, students=3), real)[:2] == begin(monkeypatch, toy_run(real), real)
    accuracies = student_accuracies(toy_run(real, students=3), real, "mlp-w4", toy_context())
    assert accuracies[:2] == student_accuracies(toy_run(real), real, "mlp-w4", toy_context())


def test_students_of_two_networks_train_on_equal_draws(monkeypatch):
    real, watch = toy_real(), Watch(monkeypatch)
    for network in ("mlp-w4", "mlp-w5"):
        student_accuracies(toy_run(real, students=1), real, network, toy_context())
    assert torch.equal(watch.draws[0], watch.draws[1])
    assert len(watch.initial[0]) != len(watch.initial[1])


def test_the_global_generator_is_not_used():
    real, before = toy_real(), torch.get_rng_state()
    student_accuracies(toy_run(real), real, "mlp-w4", toy_context())
    assert torch.equal(torch.get_rng_state(), before)


def test_the_accuracy_is_measured_once_per_student_after_the_last_epoch(monkeypatch):
    events: list[object] = []

    def track(iterable: Iterable[Any], description: str) -> Iterator[Any]:
        for item in iterable:
            yield item
            events.append(item)

    def measure(*arguments: Any) -> float:
        events.append(measure_accuracy(*arguments))
        return float(events[-1])

    monkeypatch.setattr(evaluator, "measure_accuracy", measure)
    real = toy_real()
    first, second = student_accuracies(toy_run(real), real, "mlp-w4", toy_context(track=track))
    assert events == [0, 1, 2, first, 0, 1, 2, second]


def test_every_accuracy_is_logged_with_its_network_and_student():
    real = toy_real()
    logged: dict[str, object] = {}
    found = student_accuracies(toy_run(real), real, "mlp-w4", toy_context(log=logged.__setitem__))
    assert logged == {f"test_accuracy[mlp-w4, student {i}]": value for i, value in enumerate(found)}
    assert all(0 <= value <= 1 for value in found)


def test_students_of_a_whitened_set_are_trained_and_tested_on_whitened_images(monkeypatch):
    real, students = toy_real(), []
    whitening = fit_zca(real.train)
    images = whiten(real.train.images[:6], whitening)
    distilled = DistilledDataset(images, real.train.labels[:6], 3, ipc=2, space="zca", whitening=whitening)

    def train(network: Network, data: TrainingSet, *rest: Any) -> None:
        assert torch.equal(data.images, images)
        train_student(network, data, *rest)
        students.append(network)

    monkeypatch.setattr(evaluator, "train_student", train)
    found = student_accuracies(toy_run(real, distilled=distilled), real, "mlp-w4", toy_context())
    pixels = real.test.images[:].double().flatten(1) / 255
    test = ((pixels - whitening.mean.double()) @ whitening.matrix.double()).view(-1, 1, 8, 8).float()
    for network, accuracy in zip(students, found, strict=True):
        right = network(test).argmax(1) == real.test.labels
        assert accuracy == right.double().mean().item()
        assert not torch.allclose(network(test), network(real.test.normalised()), atol=1e-2)


class GuardedImages:
    """Test images that must not be read while a student trains."""

    def __init__(self, images: Tensor) -> None:
        self.shape = images.shape
        self.is_training = False
        self.reads = 0
        self._images = images

    def __getitem__(self, indices: Tensor, /) -> Tensor:
        assert not self.is_training, "test images were read during training"
        self.reads += 1
        return self._images[indices]


def test_the_test_split_is_read_for_measuring_alone():
    real = toy_real()
    guarded = GuardedImages(real.test.images[:])

    def track(iterable: Iterable[Any], description: str) -> Iterator[Any]:
        guarded.is_training = True
        yield from iterable
        guarded.is_training = False

    watched = replace(real, test=replace(real.test, images=guarded))
    student_accuracies(toy_run(real), watched, "mlp-w4", toy_context(track=track))
    assert guarded.reads == 2


def test_another_test_split_leaves_the_students_as_they_are(monkeypatch):
    watch = Watch(monkeypatch)
    for seed in (1, 2):
        real = toy_real(test_seed=seed)
        student_accuracies(toy_run(real, students=1), real, "mlp-w4", toy_context())
    assert torch.equal(watch.final[0], watch.final[1])


def test_a_learned_rate_takes_the_place_of_the_protocols(monkeypatch):
    real, watch = toy_real(), Watch(monkeypatch)
    run = toy_run(real, students=1)
    learned = replace(run, distilled=replace(run.distilled, student_lr=0.2))
    for one in (run, learned):
        student_accuracies(one, real, "mlp-w4", toy_context())
    usual, changed = watch.plans
    assert (usual.lr, changed.lr) == (0.05, 0.2)
    assert changed == replace(usual, lr=0.2)
    assert not torch.equal(watch.final[0], watch.final[1])


def test_the_whole_real_set_has_a_schedule_of_its_own(monkeypatch):
    real, watch = toy_real(), Watch(monkeypatch)
    run = toy_run(real, students=1)
    whole = replace(run, distilled=replace(run.distilled, ipc=None))
    for one in (run, whole):
        student_accuracies(one, real, "mlp-w4", toy_context())
    assert [plan.schedule for plan in watch.plans] == [PROTOCOL.schedule, PROTOCOL.real_schedule]


def test_the_distilled_set_is_left_as_it_is():
    real = toy_real()
    run = toy_run(real)
    images, labels = run.distilled.images.clone(), run.distilled.labels.clone()
    student_accuracies(run, real, "mlp-w4", toy_context())
    assert torch.equal(run.distilled.images, images)
    assert torch.equal(run.distilled.labels, labels)


def test_soft_labels_train_students_too():
    real = toy_real()
    run = toy_run(real)
    hard = torch.nn.functional.one_hot(run.distilled.labels, 3).float()
    softened = replace(run, distilled=replace(run.distilled, labels=hard))
    expected = student_accuracies(run, real, "mlp-w4", toy_context())
    assert student_accuracies(softened, real, "mlp-w4", toy_context()) == expected


def test_students_trained_at_once_have_the_accuracies_of_students_trained_alone_in_their_order():
    real = toy_real()
    run, logged = toy_run(real, students=5, network="mlp-w32"), []
    run = replace(run, distilled=replace(run.distilled, student_lr=0.5))
    alone = student_accuracies(run, real, "mlp-w32", toy_context())
    assert run.engine["students_at_once"] == 1
    assert len(set(alone)) > 2
    for asked in (2, 4, 20):
        together = replace(run, students_at_once=asked, engine={})
        context = toy_context(log=lambda name, value: logged.append(name))
        assert student_accuracies(together, real, "mlp-w32", context) == alone
        assert together.engine["students_at_once"] == min(asked, 5)
        assert together.engine["students_together"] == "side by side"
    assert logged == [f"test_accuracy[mlp-w32, student {i}]" for i in range(5)] * 3


def test_whitened_sets_and_learned_rates_count_for_students_trained_at_once():
    real = toy_real()
    whitening = fit_zca(real.train)
    images = whiten(real.train.images[:6], whitening)
    distilled = DistilledDataset(
        images, real.train.labels[:6], 3, ipc=2, space="zca", whitening=whitening, student_lr=0.2
    )
    for one in (distilled, replace(distilled, student_lr=None)):
        run = toy_run(real, students=4, distilled=one)
        together = replace(run, students_at_once=4)
        expected = student_accuracies(run, real, "mlp-w4", toy_context())
        assert student_accuracies(together, real, "mlp-w4", toy_context()) == expected


def test_students_that_cannot_be_trained_at_once_are_trained_alone_and_the_reason_is_kept():
    real = toy_real()
    run = toy_run(real)
    alone = student_accuracies(run, real, "convnet-d1-w4-bn", toy_context())
    asked = replace(run, students_at_once=2, engine={})
    assert student_accuracies(asked, real, "convnet-d1-w4-bn", toy_context()) == alone
    assert asked.engine["students_at_once[convnet-d1-w4-bn]"] == 1
    reason = asked.engine["students_one_by_one[convnet-d1-w4-bn]"]
    assert reason == "the network keeps running statistics"


def test_where_memory_runs_out_fewer_students_are_trained_at_once(monkeypatch):
    real, sizes = toy_real(), []
    run = toy_run(real, students=7, students_at_once=7)
    expected = student_accuracies(run, real, "mlp-w4", toy_context())
    together = evaluator.train_students

    def small_device(networks: Any, *rest: Any) -> Together:
        sizes.append(len(networks))
        if len(networks) > 2:
            together(networks, *rest)  # students that do not fit have been trained to some extent
            raise torch.OutOfMemoryError("CUDA out of memory")
        return together(networks, *rest)

    monkeypatch.setattr(evaluator, "train_students", small_device)
    with shrunk_chunks() as shrunk:
        assert student_accuracies(run, real, "mlp-w4", toy_context()) == expected
    assert shrunk == {"students_at_once": 1}
    assert sizes == [7, 3, *7 * [1]]


def test_whole_trainings_on_digits_at_once_are_those_alone():
    real = load_dataset("digits")
    chosen = torch.cat([real.train.of_class(label)[:5] for label in range(10)])
    distilled = DistilledDataset(real.train.pixels(chosen), real.train.labels[chosen], 10, ipc=5, space="pixels")
    schedule = Schedule(epochs=10, drop_at=7)
    protocol = PROTOCOL.model_copy(update={"schedule": schedule, "batch_size": 32, "lr": 0.02})
    run = DistillRun(distilled, protocol, "convnet-d1-w8", students=4, eval_seed=0)
    alone = torch.tensor(student_accuracies(run, real, run.network, toy_context()))
    asked = replace(run, students_at_once=4, engine={})
    together = torch.tensor(student_accuracies(asked, real, run.network, toy_context()))
    assert asked.engine["students_at_once"] == 4
    assert alone.min() > 0.2  # twice chance
    # Rounding may tip single test images of the 360, and students differ by far more.
    assert (together - alone).abs().max() <= 3 / len(real.test)
    assert (alone[:, None] - alone).abs().max() > 6 / len(real.test)


class Optioned(Evaluator):
    """Takes an option."""

    takes_option = True

    def evaluate(self, run, real, ctx):
        return ()


@pytest.fixture
def optioned(monkeypatch):
    monkeypatch.setitem(EVALUATORS._entries, "optioned", Optioned)


@pytest.mark.parametrize(("spec", "option"), [("optioned", None), ("optioned:a", "a"), ("optioned:a:b", "a:b")])
def test_an_option_stands_behind_the_first_colon(spec, option, optioned):
    assert make_evaluator(spec).option == option


def test_options_that_cannot_be_are_refused(optioned):
    with pytest.raises(BadInputError, match="'optioned:' has an empty option; name it as optioned or optioned:OPTION"):
        make_evaluator("optioned:")
    with pytest.raises(BadInputError, match="evaluator accuracy takes no option, got 'accuracy:mlp'"):
        make_evaluator("accuracy:mlp")
    with pytest.raises(UnknownNameError, match="unknown evaluator 'optionet'; did you mean optioned"):
        make_evaluator("optionet:a")


def test_students_of_a_protocol_with_a_teacher_are_never_trained_without_it():
    teacher = Teacher(network="mlp-w4", schedule=PROTOCOL.real_schedule, seed=0, temperature=20.0, loss="kl")
    real = toy_real()
    run = toy_run(real, protocol=PROTOCOL.model_copy(update={"teacher": teacher}))
    with pytest.raises(RuntimeError, match="protocol toy needs its teacher's labels"):
        student_accuracies(run, real, "mlp-w4", toy_context())
