"""What work costs: seconds, synchronised with its device, and peak memory, reset at the start."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import ClassVar

import torch

from ddbench.host.allocator import keeping_freed_memory
from ddbench.host.load import Counters, Lookout, load_between, read_counters
from ddbench.records import Reading

# Bytes allocated and reserved on a GPU, and resident on the host; None where there is none.
_Peaks = tuple[int | None, int | None, int | None]
_NO_PEAKS: _Peaks = (None, None, None)
_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")


class Meter:
    """Measures the block it wraps: `with Meter(device) as meter: ...`, then `meter.reading`.

    The device is synchronised before the clock is read at both ends. Peak GPU bytes are torch's own, allocated and
    reserved; memory outside its allocator is not seen. Peak host bytes are the process's resident set: reset at the
    start on Linux, elsewhere the peak since the process began, which `host_source` says. What the block frees stays
    with the process until the block ends. A block inside another resets peaks too; the outer one remembers its own.
    What the machine does meanwhile is read at both ends, outside the time that is measured.
    """

    _running: ClassVar[list[Meter]] = []
    _lookout: ClassVar[Lookout] = Lookout()

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._started = time.perf_counter()
        self._processor_started = time.process_time()
        self._resets_host = False
        self._reading: Reading | None = None
        self._peaks = _NO_PEAKS
        self._kept = ExitStack()
        self._counted = Counters()  # at the start of the block
        self._before: float | None = None

    def __enter__(self) -> Meter:
        self._reading, self._peaks = None, _NO_PEAKS
        for outer in self._running:
            outer._peaks = outer._peaks_so_far()
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
            torch.cuda.reset_peak_memory_stats(self._device)
        self._kept.enter_context(keeping_freed_memory())
        self._resets_host = _reset_host_peak()
        self._running.append(self)
        self._counted = read_counters()
        self._before = self._lookout.look(self._counted)
        self._processor_started = time.process_time()
        self._started = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.remove(self)
        with self._kept:  # closed even where the device reports an error late
            self._reading = self.so_far()

    def so_far(self) -> Reading:
        """Return the measurement from the start of the block until now."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        seconds = time.perf_counter() - self._started
        processor_seconds = time.process_time() - self._processor_started
        allocated, reserved, host = self._peaks_so_far()
        return Reading(
            seconds=seconds,
            processor_seconds=processor_seconds,
            peak_allocated_bytes=allocated,
            peak_reserved_bytes=reserved,
            peak_host_bytes=host,
            host_source="resident peak, reset per phase" if self._resets_host else "resident peak of the process",
            load=load_between(self._counted, read_counters(), seconds, self._before),
        )

    def _peaks_so_far(self) -> _Peaks:
        on_gpu = self._device.type == "cuda"
        now = (
            torch.cuda.max_memory_allocated(self._device) if on_gpu else None,
            torch.cuda.max_memory_reserved(self._device) if on_gpu else None,
            _host_peak_bytes(),
        )
        larger = [max((v for v in pair if v is not None), default=None) for pair in zip(self._peaks, now, strict=True)]
        return larger[0], larger[1], larger[2]

    @property
    def reading(self) -> Reading:
        """The finished measurement; raises RuntimeError inside the block."""
        if self._reading is None:
            raise RuntimeError("the reading is there when the measured block has ended")
        return self._reading


def _reset_host_peak() -> bool:
    try:
        _CLEAR_REFS.write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def _host_peak_bytes() -> int | None:
    if _STATUS.exists():
        for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
