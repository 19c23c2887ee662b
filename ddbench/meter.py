"""The only clock and the only peak-memory reading: synchronised, with peaks reset at the start."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

import torch

from ddbench.records import Reading

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")


class Meter:
    """Measures the block it wraps: `with Meter(device) as meter: ...`, then `meter.reading`.

    The device is synchronised before the clock is read at both ends. Peak GPU bytes are torch's own, allocated and
    reserved; memory outside its allocator is not seen. Peak host bytes are the process's resident set: reset at the
    start on Linux, elsewhere the peak since the process began, which `host_source` says.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._started = 0.0
        self._resets_host = False
        self._reading: Reading | None = None

    def __enter__(self) -> Meter:
        self._reading = None
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
            torch.cuda.reset_peak_memory_stats(self._device)
        self._resets_host = _reset_host_peak()
        self._started = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        on_gpu = self._device.type == "cuda"
        if on_gpu:
            torch.cuda.synchronize(self._device)
        seconds = time.perf_counter() - self._started
        self._reading = Reading(
            seconds=seconds,
            peak_allocated_bytes=torch.cuda.max_memory_allocated(self._device) if on_gpu else None,
            peak_reserved_bytes=torch.cuda.max_memory_reserved(self._device) if on_gpu else None,
            peak_host_bytes=_host_peak_bytes(),
            host_source="resident peak, reset per phase" if self._resets_host else "resident peak of the process",
        )

    @property
    def reading(self) -> Reading:
        """The finished measurement; raises RuntimeError inside the block."""
        if self._reading is None:
            raise RuntimeError("the reading is there when the measured block has ended")
        return self._reading


def utc_now() -> str:
    """Return the time now, UTC, ISO 8601 to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


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
