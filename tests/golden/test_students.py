"""Student training against the authors' own: five whole trainings, and the schedules of 1,000 and 300 epochs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from ddbench.augment import dsa
from ddbench.engine.passes import NetworkEngine
from ddbench.images import DatasetInfo
from ddbench.network import InputShape, Network, make_network
from ddbench.protocol import PROTOCOLS, Schedule
from ddbench.students import batched
from ddbench.students.batched import train_students
from ddbench.students.loop import TrainingPlan, TrainingSet, measure_accuracy, train_student
from tests.golden._agreement import difference, golden
from tests.golden._double import DoubleImages
from tests.golden._hashed import digest, draw, fill, images, joined, order

GOLDEN = golden("evaluation")
WITHIN = 1e-12
CLASSES, SHAPE = 10, (3, 32, 32)
INFO = DatasetInfo("hashed", tuple("abcdefghij"), *SHAPE[:2], (0.5,) * 3, (0.25,) * 3, "hashed")
FORMS: dict[str, NetworkEngine | str] = {
    "plain": NetworkEngine(),
    "native": NetworkEngine(is_native=True),
    "native in chunks": NetworkEngine(is_native=True, training_chunk=3),
    "stacked": "stacked",
    "side by side": "side by side",
}
SCHEDULES = {case["epoch_argument"]: case for case in GOLDEN["schedule"]}


def runs_and_forms() -> Iterator[object]:
    """Every run with plain layers and, of a ConvNet, in native form; two short ones in all other forms too."""
    for number, case in enumerate(GOLDEN["runs"]):
        for form in FORMS:
            is_native, is_usual = form.startswith("native"), form in ("plain", "native")
            if (is_usual or number in (1, 4)) and (not is_native or case["network"].startswith("convnet")):
                marks = [pytest.mark.compiler] if is_native else []
                yield pytest.param(case, FORMS[form], id=f"{number}-{form}", marks=marks)


def plan_of(case: dict[str, Any]) -> TrainingPlan:
    """What the protocol says, with the length, rate and batches of a short run."""
    epochs = case["epoch_argument"]
    schedule = Schedule(epochs=epochs + 1, drop_at=epochs // 2 + 2)
    plan = TrainingPlan.of(PROTOCOLS.get(case["protocol"]), INFO, 1)
    return replace(plan, schedule=schedule, lr=case["lr"], batch_size=case["batch_size"])


def trained(case: dict[str, Any], form: NetworkEngine | str, monkeypatch: pytest.MonkeyPatch) -> Network:
    epochs, batches = count(), count()
    monkeypatch.setattr(torch, "randperm", lambda size, generator: order(size, 400 + next(epochs)))
    for module in (dsa, batched):
        monkeypatch.setattr(module, "draw_dsa", lambda generator, names, size, **_: draw(size, 11_000 + next(batches)))
    network = make_network(case["network"], InputShape.of(INFO), torch.Generator())
    fill(network, 80_000)
    data = TrainingSet(images(CLASSES, SHAPE, 75), torch.arange(CLASSES), INFO)
    plan, generator = plan_of(case), torch.Generator()
    if isinstance(form, NetworkEngine):
        train_student(network, data, plan, generator, engine=form)
    else:
        train_students([network], data, plan, [generator], form=form)
    assert next(epochs) == case["epoch_argument"] + 1
    assert next(batches) == (plan.schedule.epochs * -(-CLASSES // plan.batch_size) if plan.augmentation else 0)
    return network


@pytest.mark.parametrize(("case", "form"), list(runs_and_forms()))
def test_whole_trainings_are_those_of_the_authors(case, form, monkeypatch, agreement):
    network = trained(case, form, monkeypatch)
    shown = DoubleImages.of(images(8, SHAPE, 76), torch.arange(8), INFO)
    assert measure_accuracy(network, shown, torch.device("cpu")) == case["accuracy"]
    with torch.no_grad():
        logits = network(shown.normalised())
    found = {"weights": joined(network.parameters(), weights_alone=True), "test_logits": logits}
    agreement({name: difference(digest(numbers), case[name]) for name, numbers in found.items()}, WITHIN)


@pytest.mark.parametrize(
    ("name", "dataset", "argument"), [("dsa", "cifar10", 1000), ("dc", "cifar10", 300), ("dc", "mnist", 1000)]
)
def test_schedules_are_those_of_the_authors(name, dataset, argument):
    case, protocol, seen = SCHEDULES[argument], PROTOCOLS.get(name), []
    info = replace(INFO, name=dataset, channels=1, image_size=2, mean=(0.5,), std=(0.25,))
    plan = replace(TrainingPlan.of(protocol, info, 1), augmentation="")
    assert plan.schedule.epochs == case["training_epochs"] == case["test_after_epoch"]
    assert (protocol.reported, case["tests"]) == ("last epoch", 1)

    def watch(optimiser: torch.optim.Optimizer, *_: object) -> None:
        (group,) = optimiser.param_groups
        seen.append((group["lr"], group["momentum"], group["weight_decay"], not optimiser.state))

    hook = register_optimizer_step_pre_hook(watch)
    try:
        data = TrainingSet(images(CLASSES, (1, 2, 2), 75), torch.arange(CLASSES), info)
        train_student(
            make_network("mlp-w1", InputShape.of(info), torch.Generator()).double(), data, plan, torch.Generator()
        )
    finally:
        hook.remove()
    drop, constants = case["first_epoch_at_lower_rate"], (case["momentum"], case["weight_decay"])
    assert len(seen) == case["training_epochs"]  # one batch each
    for epoch, step in enumerate(seen):
        is_new = epoch == 0 or (epoch == drop and case["optimiser_made_anew_at_drop"])
        assert step == (case["rates"][epoch >= drop], *constants, is_new)
