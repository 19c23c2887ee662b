"""How many threads each phase of a cell is given, by its declared work; all beside a GPU, which they feed.

What runs a phase asks here, and so does what finds room for a cell beside others.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ddbench.engine.threads import threads_for_step, threads_that_pay
from ddbench.host.threads import threads_at_hand
from ddbench.images import RealDataset
from ddbench.method import Method
from ddbench.network import InputShape
from ddbench.protocol import Protocol
from ddbench.students.evaluation_work import evaluation_work, training_work
from ddbench.students.loop import chunk_size
from ddbench.students.teacher import untrained_teachers


def threads_of_method(method: Method, real: RealDataset, ipc: int, device: torch.device) -> tuple[int, int]:
    """Return how many threads preparing and distilling are given."""
    at_hand, declared = threads_at_hand(), method.work(real.train, ipc)
    if device.type != "cpu":
        return at_hand, at_hand
    if declared is None:
        step = method.step_flops(real.train)
        threads = at_hand if step is None else threads_for_step(step, at_hand)
        return threads, threads
    shape = InputShape.of(real.info)
    return threads_that_pay(declared.prepare, shape, at_hand), threads_that_pay(declared.distill, shape, at_hand)


def threads_of_students(
    networks: Sequence[str], protocol: Protocol, ipc: int | None, students: int, real: RealDataset, device: torch.device
) -> int:
    """Return how many threads students are trained on, whoever gives their labels; `networks[0]` is the cell's own."""
    if device.type != "cpu":
        return threads_at_hand()
    chunk = chunk_size(device, protocol.precision)
    alone = protocol.model_copy(update={"teacher": None})
    work = evaluation_work(list(networks), alone, ipc, students, real, chunk, networks[0])
    return threads_that_pay(work, InputShape.of(real.info), threads_at_hand())


def threads_of_teachers(protocol: Protocol, real: RealDataset, device: torch.device) -> int:
    """Return how many threads the teachers that are yet to be trained are trained on; 0 where there are none."""
    if device.type != "cpu":
        return threads_at_hand()
    works = [training_work(network, plan, len(real.train)) for network, plan in untrained_teachers(protocol, real)]
    shape = InputShape.of(real.info)
    return max((threads_that_pay(work, shape, threads_at_hand()) for work in works), default=0)
