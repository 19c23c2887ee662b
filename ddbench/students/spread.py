"""Students of one set on several devices: each trains a share of them in a process of its own.

A student's draws follow from its number alone, so that which device it trains on changes no number but by the rounding
of another kind of device.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import torch

from ddbench.errors import BadInputError
from ddbench.host.processes import begin_child, ctrl_c_blocked
from ddbench.host.threads import set_threads_at_hand
from ddbench.method import unlogged
from ddbench.students.trainer import StudentTrainer, TrainedStudents


def devices_from(device: torch.device, count: int) -> list[torch.device]:
    """Return `count` devices, of a GPU the next ones; on a CPU processes.

    Raises:
        BadInputError: more than there are GPUs.
    """
    if device.type != "cuda":
        return [device] * count
    first = device.index or 0
    if first + count > torch.cuda.device_count():
        raise BadInputError(f"devices must be at most {torch.cuda.device_count() - first}, the GPUs here, got {count}")
    return [torch.device("cuda", first + number) for number in range(count)]


def train_on_devices(
    trainer: StudentTrainer,
    network: str,
    students: int,
    count: int,
    log: Callable[[str, object], None] = unlogged,
    *,
    best_too: bool = False,
) -> TrainedStudents:
    """Train and test fresh students as `StudentTrainer.train_and_test` does, spread over devices in turn.

    Args:
        trainer: how; its device is the first.
        network: the students'.
        students: how many.
        count: devices; no more are used than there are students.
        log: is given every accuracy.
        best_too: as for the trainer.

    Raises:
        BadInputError: more devices than there are GPUs.
        StudentDivergedError: a student's parameters are not finite at the end.
    """
    devices = devices_from(trainer.device, min(count, students))
    shares = [range(first, students, len(devices)) for first in range(len(devices))]
    context, threads = multiprocessing.get_context("spawn"), torch.get_num_threads()
    pool = ProcessPoolExecutor(len(devices), mp_context=context, initializer=begin_child)
    try:
        with ctrl_c_blocked():
            futures = [
                pool.submit(_train, replace(trainer, device=device, engines={}), network, share, best_too, threads)
                for device, share in zip(devices, shares, strict=True)
            ]
        parts = [future.result() for future in futures]
    except BaseException:
        for process in list((pool._processes or {}).values()):  # nobody waits for them any more
            process.kill()
        raise
    finally:
        pool.shutdown()
    found = TrainedStudents(engine={**parts[0].engine, "student_devices": len(devices)})
    found.accuracies = _in_order([part.accuracies for part in parts], students)
    found.best = _in_order([part.best for part in parts], students)
    found.first_use = parts[0].first_use  # at the same time on every device
    for student, accuracy in enumerate(found.accuracies):
        log(f"test_accuracy[{network}, student {student}]", accuracy)
    return found


def _train(trainer: StudentTrainer, network: str, chosen: range, best_too: bool, threads: int) -> TrainedStudents:
    set_threads_at_hand(threads)
    return trainer.train_and_test(network, len(chosen), best_too=best_too, chosen=chosen)


def _in_order(parts: list[tuple[float, ...]], students: int) -> tuple[float, ...]:
    """Return what the shares gave in the order of the students; shares without values give none."""
    if not any(parts):
        return ()
    return tuple(parts[student % len(parts)][student // len(parts)] for student in range(students))
