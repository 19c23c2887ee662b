"""How much work judging a set is: students trained and tested, and the teacher that some protocols need."""

from __future__ import annotations

from ddbench.images import RealDataset
from ddbench.network import InputShape
from ddbench.protocol import Protocol
from ddbench.records import Result
from ddbench.students.loop import TrainingPlan
from ddbench.work import FORWARD, TRAINING, VALUE_BYTES, Passes, PhaseWork, image_bytes


def training_work(network: str, plan: TrainingPlan, count: int) -> PhaseWork:
    """Return the work of training one network on `count` images."""
    images = plan.schedule.epochs * count
    return PhaseWork((Passes(network, images, min(plan.batch_size, count), TRAINING),))


def evaluation_work(
    networks: list[str],
    protocol: Protocol,
    ipc: int | None,
    students: int,
    real: RealDataset,
    test_chunk: int,
    tested_on_the_way: str | None = None,
) -> PhaseWork:
    """Return the work of training and testing students of several networks on a distilled set.

    Args:
        networks: names.
        protocol: how they are trained.
        ipc: images per class of the set, None for the whole real set.
        students: of each network.
        real: the data set.
        test_chunk: images per forward pass of the test.
        tested_on_the_way: the network whose students are tested after the protocol's `best_of` epochs too, if any.
    """
    shape = InputShape.of(real.info)
    plan = TrainingPlan.of(protocol, real.info, ipc)
    count = len(real.train) if ipc is None else ipc * real.info.num_classes
    passes: list[Passes] = []
    for network in networks:
        images = students * plan.schedule.epochs * count
        passes.append(Passes(network, images, min(plan.batch_size, count), TRAINING, is_native=True))
        tests = students * (plan.tests if network == tested_on_the_way else 1)
        passes.append(Passes(network, tests * len(real.test), test_chunk, FORWARD, is_native=True))
        for member in protocol.teacher.members if protocol.teacher else ():  # it labels every image a student sees
            passes.append(Passes(member.network, images, min(plan.batch_size, count), FORWARD))
    logits = len(real.test) * shape.num_classes * VALUE_BYTES
    # The whole real set is kept as uint8, and not at all where it is read from files.
    kept = image_bytes(count, shape) // (VALUE_BYTES if ipc is None else 1)
    return PhaseWork(tuple(passes), held_bytes=logits + kept)


def trained_networks(result: Result) -> list[str] | None:
    """Return the networks whose students a result's evaluation trained; None where it did other work too."""
    names = [metric.name for metric in result.metrics if not metric.name.endswith(("_seconds", "_bytes"))]
    if not all(name.startswith("test_accuracy") for name in names):
        return None
    of_cells_network = ("test_accuracy", "test_accuracy_best")
    trained = [result.network if name in of_cells_network else name[len("test_accuracy[") : -1] for name in names]
    return list(dict.fromkeys(trained))
