"""Tests of the trainer: students are those of a plain loop, and depend on seeds and the distilled set alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ddbench.engine.passes import plan_engine
from ddbench.network import InputShape, Network, make_network
from ddbench.protocol import Schedule
from ddbench.seeding import make_generator
from ddbench.students import trainer as training
from ddbench.students.loop import TrainingPlan, TrainingSet, measure_accuracy, train_student
from ddbench.students.soft_labels import SoftLabels
from ddbench.students.trainer import StudentTrainer, train_network
from ddbench.training_recipe import BestOf
from tests.students._toy_trainer import CPU, PROTOCOL, TAUGHT, toy_real, toy_trainer, whitened_set


class Watch:
    """Takes down what each student begins with, what it is trained by and how it ends."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.initial: list[Tensor] = []
        self.draws: list[Tensor] = []
        self.plans: list[TrainingPlan] = []
        self.final: list[Tensor] = []
        monkeypatch.setattr(training, "train_student", self._train)

    def _train(
        self,
        network: Network,
        data: TrainingSet,
        plan: TrainingPlan,
        generator: torch.Generator,
        *rest: Any,
        **options: Any,
    ) -> None:
        self.initial.append(parameters_of(network))
        self.draws.append(generator.get_state())
        self.plans.append(plan)
        train_student(network, data, plan, generator, *rest, **options)
        self.final.append(parameters_of(network))


def parameters_of(network: Network) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


def plainly(
    trainer: StudentTrainer, network: str, data: TrainingSet, plan: TrainingPlan, students: int
) -> list[tuple[float, Tensor]]:
    """Train and test one student after another: its accuracy and parameters."""
    shape, found = InputShape.of(trainer.real.info), []
    for student in range(students):
        axes = ("set", str(trainer.distill_seed), "student", student)
        built = make_network(network, shape, make_generator(trainer.eval_seed, *axes, "initial", network))
        engine = plan_engine(network, built, shape, plan.precision, CPU, min(plan.batch_size, len(data)))
        generator = make_generator(trainer.eval_seed, *axes, "training")
        train_student(built, data, plan, generator, soft_labels=trainer.soft_labels, engine=engine)
        accuracy = measure_accuracy(built, trainer.real.test, CPU, trainer.distilled.whitening, engine)
        found.append((accuracy, parameters_of(built)))
    return found


def assert_equals_plain(
    monkeypatch: pytest.MonkeyPatch, trainer: StudentTrainer, network: str, data: TrainingSet, plan: TrainingPlan
) -> None:
    expected, watch = plainly(trainer, network, data, plan, 3), Watch(monkeypatch)
    found = trainer.train_and_test(network, 3)
    assert found.accuracies == tuple(accuracy for accuracy, _ in expected)
    assert all(torch.equal(one, other) for one, (_, other) in zip(watch.final, expected, strict=True))
    assert not torch.equal(watch.final[0], watch.final[1])


@pytest.mark.parametrize("network", ["mlp-w4", "convnet-d1-w4", "convnet-d2-w4-bn"])
def test_students_are_those_of_a_plain_loop_to_the_last_bit(network, monkeypatch):
    trainer = toy_trainer(toy_real())
    images = trainer.real.info.normalise(trainer.distilled.images.float() / 255)
    data = TrainingSet(images, trainer.distilled.labels, trainer.real.info)
    plan = TrainingPlan(PROTOCOL.schedule, lr=0.05, batch_size=4, augmentation="crop_scale")
    assert_equals_plain(monkeypatch, trainer, network, data, plan)


def test_students_of_a_whitened_set_at_its_learned_rate_are_those_of_a_plain_loop(monkeypatch):
    real = toy_real()
    trainer = toy_trainer(real, distilled=whitened_set(real, student_lr=0.2))
    data = TrainingSet(trainer.distilled.images, trainer.distilled.labels, real.info)
    plan = TrainingPlan(PROTOCOL.schedule, lr=0.2, batch_size=4, augmentation="crop_scale")
    assert_equals_plain(monkeypatch, trainer, "convnet-d1-w4", data, plan)


def test_students_learn_a_teachers_labels_as_in_a_plain_loop(monkeypatch):
    real = toy_real()
    teacher = make_network("mlp-w8", InputShape.of(real.info), torch.Generator().manual_seed(5))
    trainer = toy_trainer(real, soft_labels=SoftLabels.of(teacher, 4.0), protocol=TAUGHT)
    data = TrainingSet.of(trainer.distilled, real.info, CPU)
    plan = TrainingPlan(PROTOCOL.schedule, lr=0.05, batch_size=4, augmentation="crop_scale")
    assert_equals_plain(monkeypatch, trainer, "convnet-d1-w4", data, plan)
    of_hard_labels = plainly(replace(trainer, soft_labels=None), "convnet-d1-w4", data, plan, 1)
    of_the_teacher = plainly(trainer, "convnet-d1-w4", data, plan, 1)
    assert not torch.equal(of_hard_labels[0][1], of_the_teacher[0][1])


def test_students_of_a_protocol_with_a_teacher_are_never_trained_without_it():
    with pytest.raises(RuntimeError, match="protocol toy needs its teacher's labels"):
        toy_trainer(toy_real(), protocol=TAUGHT).train_and_test("mlp-w4", 1)


def test_a_warm_up_changes_nothing(monkeypatch):
    real = toy_real()
    for distilled in (toy_trainer(real).distilled, whitened_set(real, student_lr=0.2)):
        images, state, watch = distilled.images.clone(), torch.get_rng_state(), Watch(monkeypatch)
        trainer = toy_trainer(real, distilled=distilled)
        expected = trainer.train_and_test("convnet-d1-w4", 2)
        warm = toy_trainer(real, distilled=distilled)
        warm.warm_up("convnet-d1-w4")
        found = warm.train_and_test("convnet-d1-w4", 2)
        assert (found.accuracies, found.engine) == (expected.accuracies, expected.engine)
        assert torch.equal(watch.initial[2], watch.final[2])  # the student of the warm-up, at a rate of zero
        assert torch.equal(torch.stack(watch.final[:2]), torch.stack(watch.final[3:]))
        assert torch.equal(distilled.images, images)
        assert torch.equal(torch.get_rng_state(), state)


def test_the_engine_of_a_network_is_planned_once_and_belongs_to_its_precision():
    trainer = toy_trainer(toy_real())
    engine = trainer.engine_of("mlp-w4")
    assert trainer.engine_of("mlp-w4") is engine
    assert trainer.engine_of("mlp-w5") is not engine
    half = replace(trainer, protocol=PROTOCOL.model_copy(update={"precision": "bf16"}))
    assert half.engines is trainer.engines
    assert (engine.precision, half.engine_of("mlp-w4").precision) == ("fp32", "bf16")


def test_how_students_were_trained_is_recorded_under_the_same_names_as_ever():
    trainer = toy_trainer(toy_real())
    alone = trainer.train_and_test("mlp-w4", 2)
    assert alone.engine == {"students_at_once": 1, "passes": "eager", "training_chunk": 4}
    together = replace(trainer, at_once=2).train_and_test("mlp-w4", 2)
    assert together.engine == {**alone.engine, "students_at_once": 2, "students_together": "side by side"}
    assert alone.first_use == together.first_use == []


def begin(monkeypatch: pytest.MonkeyPatch, trainer: StudentTrainer, students: int = 2) -> list[bytes]:
    """Return, for each student, its parameters before training and its generator's state as bytes."""
    watch = Watch(monkeypatch)
    trainer.train_and_test("mlp-w4", students)
    return [
        initial.numpy().tobytes() + draws.numpy().tobytes()
        for initial, draws in zip(watch.initial, watch.draws, strict=True)
    ]


def test_students_of_two_methods_begin_equal(monkeypatch):
    real = toy_real()
    one, other = toy_trainer(real, 0), toy_trainer(real, 1)
    assert not torch.equal(one.distilled.images, other.distilled.images)
    first = begin(monkeypatch, one)
    assert first == begin(monkeypatch, other)
    assert first[0] != first[1]


@pytest.mark.parametrize("changes", [{"distill_seed": 1}, {"distill_seed": None}, {"eval_seed": 1}])
def test_students_of_other_seeds_begin_otherwise(changes, monkeypatch):
    real = toy_real()
    usual = begin(monkeypatch, toy_trainer(real))
    changed = begin(monkeypatch, toy_trainer(real, **changes))
    assert len({*usual, *changed}) == 4


def test_both_the_parameters_and_the_training_draws_depend_on_the_student(monkeypatch):
    watch = Watch(monkeypatch)
    toy_trainer(toy_real()).train_and_test("mlp-w4", 3)
    for kept in (watch.initial, watch.draws):
        assert len({tensor.numpy().tobytes() for tensor in kept}) == 3


def test_more_students_leave_the_first_ones_as_they_were(monkeypatch):
    trainer, watch = toy_trainer(toy_real()), Watch(monkeypatch)
    few, many = trainer.train_and_test("convnet-d1-w4", 3), trainer.train_and_test("convnet-d1-w4", 5)
    assert few.accuracies == many.accuracies[:3]
    assert torch.equal(torch.stack(watch.final[:3]), torch.stack(watch.final[3:6]))


def test_students_of_two_networks_train_on_equal_draws(monkeypatch):
    trainer, watch = toy_trainer(toy_real()), Watch(monkeypatch)
    for network in ("mlp-w4", "mlp-w5"):
        trainer.train_and_test(network, 1)
    assert torch.equal(watch.draws[0], watch.draws[1])
    assert len(watch.initial[0]) != len(watch.initial[1])


def test_the_global_generator_is_not_used():
    real, before = toy_real(), torch.get_rng_state()
    toy_trainer(real).train_and_test("mlp-w4", 2)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_accuracy_is_measured_once_per_student_after_the_last_epoch(monkeypatch):
    events: list[object] = []

    def track(iterable: Iterable[Any], description: str, state: object = None) -> Iterator[Any]:
        for item in iterable:
            yield item
            events.append(item)

    def measure(*arguments: Any) -> float:
        events.append(measure_accuracy(*arguments))
        return float(events[-1])

    monkeypatch.setattr(training, "measure_accuracy", measure)
    first, second = toy_trainer(toy_real()).train_and_test("mlp-w4", 2, track).accuracies
    assert events == [0, 1, 2, first, 0, 1, 2, second]


def test_every_accuracy_is_logged_with_its_network_and_student():
    logged: dict[str, object] = {}
    found = toy_trainer(toy_real()).train_and_test("mlp-w4", 2, log=logged.__setitem__).accuracies
    assert logged == {f"test_accuracy[mlp-w4, student {i}]": value for i, value in enumerate(found)}
    assert all(0 <= value <= 1 for value in found)


def test_students_of_a_whitened_set_are_trained_and_tested_on_whitened_images(monkeypatch):
    real, students = toy_real(), []
    distilled = whitened_set(real)
    whitening = distilled.whitening

    def train(network: Network, data: TrainingSet, *rest: Any) -> None:
        assert torch.equal(data.images, distilled.images)
        train_student(network, data, *rest)
        students.append(network)

    monkeypatch.setattr(training, "train_student", train)
    found = toy_trainer(real, distilled=distilled).train_and_test("mlp-w4", 2).accuracies
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

    def track(iterable: Iterable[Any], description: str, state: object = None) -> Iterator[Any]:
        guarded.is_training = True
        yield from iterable
        guarded.is_training = False

    watched = replace(real, test=replace(real.test, images=guarded))
    toy_trainer(watched).train_and_test("mlp-w4", 2, track)
    assert guarded.reads == 2


def test_another_test_split_leaves_the_students_as_they_are(monkeypatch):
    watch = Watch(monkeypatch)
    for seed in (1, 2):
        toy_trainer(toy_real(test_seed=seed)).train_and_test("mlp-w4", 1)
    assert torch.equal(watch.final[0], watch.final[1])


def test_a_learned_rate_takes_the_place_of_the_protocols(monkeypatch):
    usual, watch = toy_trainer(toy_real()), Watch(monkeypatch)
    learned = replace(usual, distilled=replace(usual.distilled, student_lr=0.2))
    for one in (usual, learned):
        one.train_and_test("mlp-w4", 1)
    assert [plan.lr for plan in watch.plans] == [0.05, 0.2]
    assert watch.plans[1] == replace(watch.plans[0], lr=0.2)
    assert not torch.equal(watch.final[0], watch.final[1])


def test_the_whole_real_set_has_a_schedule_of_its_own(monkeypatch):
    usual, watch = toy_trainer(toy_real()), Watch(monkeypatch)
    whole = replace(usual, distilled=replace(usual.distilled, ipc=None))
    for one in (usual, whole):
        one.train_and_test("mlp-w4", 1)
    assert [plan.schedule for plan in watch.plans] == [PROTOCOL.schedule, PROTOCOL.real_schedule]


def test_the_distilled_set_is_left_as_it_is():
    trainer = toy_trainer(toy_real())
    images, labels = trainer.distilled.images.clone(), trainer.distilled.labels.clone()
    trainer.train_and_test("mlp-w4", 2)
    assert torch.equal(trainer.distilled.images, images)
    assert torch.equal(trainer.distilled.labels, labels)


def test_soft_labels_of_the_set_train_students_too():
    trainer = toy_trainer(toy_real())
    hard = torch.nn.functional.one_hot(trainer.distilled.labels, 3).float()
    softened = replace(trainer, distilled=replace(trainer.distilled, labels=hard))
    expected = trainer.train_and_test("mlp-w4", 2).accuracies
    assert softened.train_and_test("mlp-w4", 2).accuracies == expected


class KeptElsewhere:
    """Images that are read when asked for, as from files."""

    def __init__(self, images: Tensor) -> None:
        self.shape = images.shape
        self._images = images

    def __getitem__(self, indices: Tensor, /) -> Tensor:
        return self._images[indices]


def test_a_network_trained_on_real_images_is_that_of_the_loop_to_the_last_bit(toy):
    plan = TrainingPlan(Schedule(epochs=2, drop_at=1), lr=0.05, batch_size=8, augmentation="crop_scale")
    found = []
    for images in (toy.images, KeptElsewhere(toy.images)):
        generator = torch.Generator().manual_seed(4)
        network = make_network("convnet-d1-w4", InputShape.of(toy.info), generator)
        assert train_network(network, replace(toy, images=images), plan, generator) is network
        found.append(parameters_of(network))
    generator = torch.Generator().manual_seed(4)
    expected = make_network("convnet-d1-w4", InputShape.of(toy.info), generator)
    train_student(expected, TrainingSet(toy.normalised(), toy.labels, toy.info), plan, generator)
    assert torch.equal(found[0], parameters_of(expected))
    assert torch.equal(found[1], parameters_of(expected))


def test_the_example_for_method_authors_runs(toy, context):
    text = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    _, _, section = text.partition("## Training a network on real data\n")
    code = section.partition("```python\n")[2].partition("```")[0]
    names: dict[str, Any] = {"train": toy, "ctx": context}
    exec(code, names)
    features = names["features"]
    assert features.shape == (len(toy), 128)
    assert features.isfinite().all()


def test_the_best_of_several_tests_is_told_where_it_is_asked_for():
    protocol = PROTOCOL.model_copy(update={"best_of": BestOf(every=1, at=0)})
    trainer = toy_trainer(toy_real(), protocol=protocol)
    plain = toy_trainer(toy_real()).train_and_test("mlp-w4", 3)
    found = trainer.train_and_test("mlp-w4", 3, best_too=True)
    assert found.accuracies == plain.accuracies == trainer.train_and_test("mlp-w4", 3).accuracies
    assert plain.best == trainer.train_and_test("mlp-w4", 3).best == ()
    tested = []
    for epochs in (1, 2, 3):
        schedule = PROTOCOL.schedule.model_copy(update={"epochs": epochs})
        tested.append(toy_trainer(toy_real(), schedule=schedule).train_and_test("mlp-w4", 3).accuracies)
    assert found.best == tuple(max(of_student) for of_student in zip(*tested, strict=True))


def test_a_network_may_have_a_rate_of_its_own():
    own = PROTOCOL.model_copy(update={"lr_for": {"mlp-w4": 0.2}})
    fast = PROTOCOL.model_copy(update={"lr": 0.2})
    real = toy_real()
    assert (toy_trainer(real, protocol=own).plan_for("mlp-w4").lr, own.lr) == (0.2, 0.05)
    found = toy_trainer(real, protocol=own).train_and_test("mlp-w4", 2)
    assert found.accuracies == toy_trainer(real, protocol=fast).train_and_test("mlp-w4", 2).accuracies
    learned = toy_trainer(real, protocol=own, distilled=whitened_set(real, student_lr=0.1))
    assert learned.plan_for("mlp-w4").lr == 0.1
