"""Step `speed`: our loops against loops as everybody writes them, at CIFAR-10 shapes, with shares of measured roofs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from ddbench.engine.arithmetic import arithmetic_of
from ddbench.forecast.calibration import Calibration
from ddbench.host.meter import Meter
from ddbench.training_recipe import Precision
from tests.benchmarks._gpu_rates import ARITHMETICS, measured_rate
from tests.benchmarks._pairs import take_turns
from tests.gpu import _speed_work as work
from tests.gpu._step import Step, run_step

ROUNDS, MIB = 3, 2**20


def speed(step: Step) -> None:
    """Measure students, methods, a diffusion transformer and the test pass."""
    side = step.size(8192, 64)
    roofs = {name: measured_rate(name, step.device, side) for name in ARITHMETICS}
    step.parts["roofs"] = roofs
    spec = step.size("convnet-d3", "convnet-d3-w4")
    step.part("calibration", lambda: calibrate(step), needs=8)
    for ipc in (1, 10, 50):
        epochs, at_once = {1: 60, 10: 30, 50: 15}[ipc], (1, 5, 20) if ipc == 1 else (1, 5)
        sizes = (step.size(epochs, 1), spec, step.device, step.size(at_once, (1, 2)))
        _measure(step, f"student training, IPC {ipc}", partial(work.students, ipc, *sizes), roofs, needs=15)
    batch = step.size(256, 12)
    _measure(step, "DM iteration, IPC 10", partial(work.dm, spec, step.device, batch), roofs)
    for method in ("dc", "dsa"):
        made = partial(work.gradient_matching, method, spec, step.device, batch)
        _measure(step, f"{method.upper()} iteration, IPC 1", made, roofs)
    _measure(step, "MTT meta-step, IPC 10, 10 steps", partial(work.mtt, step.size(10, 2), spec, step.device), roofs)
    count = step.size(10_000, 64)
    _measure(step, "test pass, 10,000 images", partial(work.test_pass, count, spec, step.device), roofs)
    _measure(step, "passes of 256 images", partial(work.formats, step.size(256, 4), spec, step.device), roofs)
    shape, steps = step.size((work.DIT_XL_2, 20), (work.TINY, 1))
    found = step.part("DiT-XL/2, 256 px", lambda: _diffusion(shape, steps, step), needs=step.size(25, 1))
    if found:
        words = ", ".join(f"{name} {value:.3g}" for name, value in found.items())
        step.say(f"DiT-XL/2: {words}")


def _measure(
    step: Step, name: str, make: Callable[[], work.Work], roofs: dict[str, float], *, needs: float = 6.0
) -> None:
    """Measure all variants of a work in turn; the first is the eager loop that the others are compared with.

    A step's seconds are what twice as many take longer: what begins a call, as capturing a CUDA graph, stands apart.
    """

    def measure() -> dict[str, Any]:
        made = make()
        found: dict[str, Any] = {}
        functions: dict[str, Callable[[], object]] = {}
        for variant, (run, precision) in made.variants.items():
            timed = _in(precision, partial(run, 1), step.device)
            with Meter(step.device) as first:
                timed()
            before = torch.cuda.memory_allocated(step.device) if step.device.type == "cuda" else 0
            with Meter(step.device) as again:
                timed()
            peak = again.reading.peak_allocated_bytes
            found[variant] = {
                "precision": precision,
                "first_seconds": first.reading.seconds,
                "peak_mib": None if peak is None else (peak - before) / MIB,
            }
            functions[variant] = timed
            functions[f"{variant}, twice"] = _in(precision, partial(run, 2), step.device)
        seconds = take_turns(functions, step.size(ROUNDS, 1))
        for variant, values in found.items():
            once, twice = seconds[variant], seconds[f"{variant}, twice"]
            values["seconds"] = (twice - once if twice > once else once) / made.steps
            values["begins_seconds"] = max(0.0, 2 * once - twice)
        eager = found[next(iter(found))]["seconds"]
        for variant, values in found.items():
            students = made.students.get(variant, 1)
            values["ratio"] = eager * students / values["seconds"]
            if made.operations and variant not in made.uncounted:
                rate = made.operations * students / values["seconds"]
                values["share_of_roof"] = rate / roofs[values["precision"]]
        return found

    found = step.part(name, measure, needs=step.size(needs, 1))
    for variant, values in (found or {}).items():
        share = f", {100 * values['share_of_roof']:.1f} % of its roof" if "share_of_roof" in values else ""
        peak = "" if values["peak_mib"] is None else f", {values['peak_mib']:.0f} MiB"
        begins = f", begins {values['begins_seconds']:.2f} s" if values["begins_seconds"] > 0.01 else ""
        step.say(f"{name}, {variant}: {1000 * values['seconds']:.3g} ms, x{values['ratio']:.2f}{share}{peak}{begins}")


def _diffusion(shape: work.DenoiserShape, steps: int, step: Step) -> dict[str, float]:
    with arithmetic_of("fp32", step.device):
        return work.diffusion(shape, step.device, steps)


def _in(precision: Precision, run: Callable[[], object], device: torch.device) -> Callable[[], None]:
    """Return a function that runs another in an arithmetic and waits for the device."""

    def timed() -> None:
        # A dry run on a CPU has no TF32, and goes through the same code without.
        with arithmetic_of("fp32" if device.type == "cpu" else precision, device):
            run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return timed


def calibrate(step: Step) -> list[dict[str, Any]]:
    """Return the speeds that a forecast for this machine needs: `ddbench run SUITE --dry-run --calibration DIR`."""
    found = []
    for network, info in step.size(work.CALIBRATED, work.CALIBRATED[1:]):
        calibration = Calibration(step.device, info)
        found += calibration.measure_all(network, step.size(("fp32", "bf16"), ("fp32",)))
    return found


if __name__ == "__main__":
    run_step("speed", speed)
