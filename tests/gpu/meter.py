"""Step `meter`: peaks of memory are right to the byte, phase by phase, and the clock waits for the device."""

from __future__ import annotations

from typing import Any

import torch

from ddbench import distill, evaluate, load_dataset
from ddbench.host.meter import Meter
from tests.gpu._step import Step, run_step

MIB = 2**20


def meter(step: Step) -> None:
    """Measure allocations and work of known size."""
    on_gpu = step.device.type == "cuda"
    peaks = step.part("peaks", lambda: known_peaks(step.device, step.size(256, 8)))
    if peaks and on_gpu:
        for name, wanted in (("of the block", peaks["allocated"]), ("of the outer block", peaks["allocated"])):
            step.expect("peaks", f"{name}: {peaks[name]} instead of {wanted} bytes", holds=peaks[name] == wanted)
        step.expect("peaks", "the next block sees an earlier one's peak", holds=peaks["of the next block"] == MIB)
        step.say(f"a block that allocates {peaks['allocated']} bytes has the peak {peaks['of the block']}, exactly")
        step.say(
            f"freed memory stays reserved: {peaks['reserved after it'] / MIB:.0f} MiB, "
            f"{peaks['reserved when emptied'] / MIB:.0f} when emptied"
        )
    clock = step.part("clock", lambda: waits(step.device, step.size(4096, 64)))
    if clock:
        step.say(f"20 times the work takes {clock['ratio']:.1f} times as long")
        if on_gpu:
            difference = abs(clock["meter"] / clock["events"] - 1)
            step.say(f"the clock and the device's own events differ by {100 * difference:.1f} %")
            step.expect("clock", f"it differs from the device's by {difference:.0%}", holds=difference < 0.05)
    phases = step.part("phases", lambda: phases_of_a_cell(step.device), needs=5)
    for name, reading in (phases or {}).items():
        allocated = (reading["peak_allocated_bytes"] or 0) / MIB
        step.say(f"digits, dm, phase {name}: {reading['seconds']:.2f} s, {allocated:.0f} MiB allocated at most")


def known_peaks(device: torch.device, mebibytes: int) -> dict[str, int | None]:
    """Return the peaks of a block with one allocation of known size, of one around it and of one after it."""
    size = mebibytes * MIB
    _empty(device)
    before = torch.cuda.memory_allocated(device) if device.type == "cuda" else 0
    with Meter(device) as outer:
        with Meter(device) as block:
            torch.zeros(size, dtype=torch.uint8, device=device)
        with Meter(device) as following:
            torch.zeros(MIB, dtype=torch.uint8, device=device)
    _empty(device)
    with Meter(device) as emptied:
        torch.zeros(MIB, dtype=torch.uint8, device=device)

    def rise(of: Meter) -> int | None:
        peak = of.reading.peak_allocated_bytes
        return None if peak is None else peak - before

    return {
        "allocated": size,
        "of the block": rise(block),
        "of the outer block": rise(outer),
        "of the next block": rise(following),
        "reserved after it": following.reading.peak_reserved_bytes,
        "reserved when emptied": emptied.reading.peak_reserved_bytes,
    }


def waits(device: torch.device, side: int) -> dict[str, float | None]:
    """Return how much longer 40 products take than 2, and for the 40 the seconds of the meter and of device events."""
    matrix = torch.randn(side, side, device=device)

    def multiply(times: int) -> tuple[float, float | None]:
        events = [torch.cuda.Event(enable_timing=True) for _ in range(2)] if device.type == "cuda" else []
        with Meter(device) as meter:
            for event in events[:1]:
                event.record()
            for _ in range(times):
                matrix @ matrix
            for event in events[1:]:
                event.record()
        return meter.reading.seconds, events[0].elapsed_time(events[1]) / 1000 if events else None

    multiply(3)
    few, many = min(multiply(2) for _ in range(5)), min(multiply(40) for _ in range(5))
    return {"ratio": many[0] / few[0], "meter": many[0], "events": many[1]}


def phases_of_a_cell(device: torch.device) -> dict[str, Any]:
    """Return the readings of a small cell's phases."""
    real = load_dataset("digits")
    made = distill("dm", real, 1, 0, {"network": "convnet-d2-w32", "steps": 20, "real_batch_size": 64}, device)
    result = evaluate(made, real, "quick", students=2, device=device)
    return {phase.name: phase.reading.model_dump() for phase in result.phases}


def _empty(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.empty_cache()


if __name__ == "__main__":
    run_step("meter", meter)
