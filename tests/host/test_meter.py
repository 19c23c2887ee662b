"""Tests of the meter: what it counts belongs to its own block; comparisons only, no absolute speeds."""

import mmap

import pytest
import torch

from ddbench.host.meter import Meter
from tests._peaks import RESET, TRIES, measure, peak_rises

CPU = torch.device("cpu")
MIB = 2**20


def work(rounds):
    total = 0
    for number in range(rounds * 20_000):
        total += number
    return total


def test_reading_inside_the_block_raises_each_time_the_meter_is_used():
    meter = Meter(CPU)
    for _ in range(2):
        with meter, pytest.raises(RuntimeError, match="when the measured block has ended"):
            _ = meter.reading
        assert meter.reading.seconds > 0


def test_error_in_the_block_passes_and_leaves_a_reading():
    meter = Meter(CPU)
    with pytest.raises(ZeroDivisionError), meter:
        _ = 1 / 0
    assert meter.reading.seconds >= 0


def test_block_that_contains_another_takes_longer():
    with Meter(CPU) as outer:
        work(1)
        inner = measure(lambda: work(5))
        work(1)
    assert outer.reading.seconds > inner.seconds > 0


def test_more_work_takes_longer():
    once = min(measure(lambda: work(1)).seconds for _ in range(5))
    often = min(measure(lambda: work(10)).seconds for _ in range(3))
    assert often > 3 * once


def test_waiting_counts_as_well_as_computing():
    import time

    for seconds in (0.02, 0.08):
        assert measure(lambda s=seconds: time.sleep(s)).seconds >= seconds


def test_host_peak_rises_by_what_was_allocated_and_not_in_the_next_phase():
    rises = peak_rises(lambda: bytearray(b"x") * (200 * MIB))
    assert any(190 * MIB < above_before < 260 * MIB for above_before, _ in rises), rises
    assert any(above_after > 150 * MIB for _, above_after in rises), rises


def test_host_peak_of_an_allocation_outside_the_block_is_not_counted_twice():
    kept = bytearray(b"x") * (50 * MIB)
    rises = peak_rises(lambda: bytearray(b"x") * (10 * MIB))
    assert any(above_before < 40 * MIB for above_before, _ in rises), rises
    assert len(kept) == 50 * MIB


def test_readings_without_a_gpu_have_no_gpu_numbers():
    reading = measure(lambda: torch.zeros(10))
    assert reading.peak_allocated_bytes is None
    assert reading.peak_reserved_bytes is None
    assert reading.peak_host_bytes > MIB
    assert reading.host_source in (RESET, "resident peak of the process")


def test_a_block_inside_another_does_not_take_its_peak_away():
    text, rises = b"x" * 4096 * (200 * MIB // 4096), []
    for _ in range(TRIES):
        with Meter(CPU) as outer:
            before = outer.so_far().peak_host_bytes
            with mmap.mmap(-1, 200 * MIB) as held:  # handed back to the system at once
                held.write(text)
            inner = measure(lambda: None)
        if inner.host_source != RESET:
            pytest.skip(f"this system gives the {inner.host_source} only")
        peak = outer.reading.peak_host_bytes
        rises.append(min(peak - before, peak - inner.peak_host_bytes))
    assert max(rises) > 150 * MIB, rises
    assert Meter._running == []


@pytest.mark.gpu
def test_gpu_peak_of_a_block_inside_another_is_the_outer_ones_too():
    device = torch.device("cuda")
    before = torch.cuda.memory_allocated()
    with Meter(device) as outer:
        torch.zeros(64 * MIB, device=device)
        with Meter(device) as inner:
            torch.zeros(MIB, device=device)
    assert outer.reading.peak_allocated_bytes - before == 4 * 64 * MIB
    assert inner.reading.peak_allocated_bytes - before == 4 * MIB


@pytest.mark.gpu
def test_gpu_peak_is_that_of_the_block_alone():
    device = torch.device("cuda")
    kept = torch.zeros(MIB, device=device)
    peaks = []
    for count in (64, 1):
        with Meter(device) as meter:
            torch.zeros(count * MIB, device=device)
        peaks.append(meter.reading.peak_allocated_bytes - kept.nbytes)
        assert meter.reading.peak_reserved_bytes >= meter.reading.peak_allocated_bytes
    assert 4 * 64 * MIB <= peaks[0] < 4 * 65 * MIB
    assert 4 * MIB <= peaks[1] < 4 * 2 * MIB


@pytest.mark.gpu
def test_gpu_work_is_waited_for():
    device = torch.device("cuda")
    matrix = torch.randn(4096, 4096, device=device)

    def multiply(times):
        with Meter(device) as meter:
            for _ in range(times):
                matrix @ matrix
        return meter.reading.seconds

    multiply(3)
    assert min(multiply(40) for _ in range(3)) > 5 * min(multiply(2) for _ in range(3))


def test_reading_so_far_grows_and_leaves_the_block_running():
    meter = Meter(CPU)
    with meter:
        work(1)
        early = meter.so_far()
        work(1)
        late = meter.so_far()
        with pytest.raises(RuntimeError):
            _ = meter.reading
    assert 0 < early.seconds < late.seconds <= meter.reading.seconds
    assert early.host_source == meter.reading.host_source
    assert early.peak_host_bytes <= late.peak_host_bytes


def test_processor_time_counts_computing_and_not_waiting():
    import time

    computing, waiting = measure(lambda: work(20)), measure(lambda: time.sleep(0.2))
    assert computing.processor_seconds > 0
    assert waiting.seconds >= 0.2
    assert waiting.processor_seconds < 0.1
