"""How many threads a piece of work is given: as many as pay, by the size of its steps.

The number follows from the work and from what is at hand, never from a timing or from what else runs, so that a rerun
takes the same path and work side by side gives the numbers that it gives alone.
"""

from __future__ import annotations

from ddbench.network import InputShape
from ddbench.work import Passes, PhaseWork, profile_network

# FLOPs of a step, for each thread of it, from which a further thread pays; docs/performance.md has the measurement.
FLOPS_OF_A_THREAD = 7e8


def threads_that_pay(work: PhaseWork | None, shape: InputShape, at_hand: int) -> int:
    """Return how many threads work is given, a power of two or all that are at hand.

    Args:
        work: what is declared of it; work that declares nothing is given all threads, as nothing is known of it.
        shape: of the images.
        at_hand: how many there are.
    """
    if work is None:
        return at_hand
    return threads_for_step(max((step_flops(part, shape) for part in _main_passes(work, shape)), default=0), at_hand)


def threads_for_step(step: int, at_hand: int) -> int:
    """Return how many threads work is given whose steps have so many FLOPs."""
    threads = 1
    while threads * 2 <= at_hand and step >= threads * 2 * FLOPS_OF_A_THREAD:
        threads *= 2
    return at_hand if threads * 2 > at_hand else threads


def step_flops(part: Passes, shape: InputShape) -> int:
    """Return the FLOPs of one step of some passes: of the images that are passed at once."""
    return part.batch_size * part.cost * profile_network(part.network, shape).flops


def _main_passes(work: PhaseWork, shape: InputShape) -> list[Passes]:
    """Return the passes that take at least a tenth of all: a few large steps are no reason for more threads."""
    flops = [part.images * part.cost * profile_network(part.network, shape).flops for part in work.passes]
    return [part for part, own in zip(work.passes, flops, strict=True) if own >= sum(flops) / 10]
