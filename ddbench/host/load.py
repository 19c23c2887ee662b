"""What this machine does beside a measurement, from the counters that Linux keeps; elsewhere little is known.

The most direct of them is how long a thread was ready to run and had no core (`/proc/PID/task/TID/schedstat`): other
work that leaves cores free does not raise it, and it needs no guess at what else wanted them.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path

from ddbench.records import MachineLoad

PROC, GROUPS = Path("/proc"), Path("/sys/fs/cgroup")
SHORTEST_LOOK = 1.0  # core-seconds of each core: what the share of others before a measurement is taken over
DECIMALS = 4


@dataclass(frozen=True)
class Cores:
    """Seconds that the cores at hand have spent since the machine began: at work, kept by its host, and in all."""

    busy: float
    stolen: float
    total: float


@dataclass(frozen=True)
class Counters:
    """What has been counted until one moment; None where the system does not count it.

    Attributes:
        own: processor seconds of this process and of all that it has started.
        cores: of those that the process may use.
        waited: seconds that each thread of the process, by its number, was ready and had no core.
        throttled: seconds for which a container's quota has stopped its processes.
        switches: how often a thread of the process was taken off its core.
    """

    own: float | None = None
    cores: Cores | None = None
    waited: Mapping[str, float] | None = None
    throttled: float | None = None
    switches: int | None = None


def read_counters() -> Counters:
    """Return the counters as they stand now."""
    own, switches = _own_usage()
    return Counters(own, read_cores(PROC / "stat", cores_at_hand()), _waited(), throttled_seconds(), switches)


def load_between(start: Counters, end: Counters, seconds: float, before: float | None) -> MachineLoad:
    """Return what happened between two moments that lie `seconds` apart; `before` is handed through."""
    cores, waited = _cores_between(start, end), None
    if start.waited is not None and end.waited is not None:  # threads that have ended take their count with them
        waited = max((now - start.waited.get(thread, 0.0) for thread, now in end.waited.items()), default=0.0)
    return MachineLoad(
        seconds=round(seconds, DECIMALS),
        before=_rounded(before),
        core_seconds=_rounded(cores.total if cores else None),
        own_seconds=_rounded(_since(start.own, end.own)),
        others_seconds=_rounded(_taken(start, end)),
        stolen_seconds=_rounded(cores.stolen if cores else None),
        waited_seconds=_rounded(waited),
        throttled_seconds=_rounded(_since(start.throttled, end.throttled)),
        switches=None if start.switches is None or end.switches is None else end.switches - start.switches,
    )


class Lookout:
    """Knows what share of the cores other processes took before a measurement, without waiting to see it."""

    def __init__(self) -> None:
        self._last = read_counters()
        self._share: float | None = None

    def look(self, now: Counters) -> float | None:
        """Return the share of others, 0 to 1, over at least a second before `now`; None where that is not known."""
        passed, taken = _cores_between(self._last, now), _taken(self._last, now)
        if passed and taken is not None and passed.total >= SHORTEST_LOOK * max(1, len(cores_at_hand())):
            self._share, self._last = taken / passed.total, now
        return self._share


def cores_at_hand() -> frozenset[int]:
    """Return the numbers of the cores that this process may use; none where the system does not say."""
    return frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else frozenset()


def read_cores(stat: Path, cores: frozenset[int]) -> Cores | None:
    """Return what a `/proc/stat` says of some cores; None where there is none or it knows none of them."""
    try:
        lines = stat.read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return None
    found = [line.split() for line in lines if (name := re.match(r"cpu(\d+) ", line)) and int(name[1]) in cores]
    if not found:
        return None
    # user, nice, system, idle, waiting for disks, interrupts, soft ones, stolen; guests are part of user and nice.
    user, nice, system, idle, disks, hard, soft, stolen = (
        sum(int(core[at]) for core in found) / _ticks() for at in range(1, 9)
    )
    busy = user + nice + system + hard + soft
    return Cores(busy, stolen, busy + stolen + idle + disks)


def throttled_seconds() -> float | None:
    """Return for how long quotas of the container have stopped processes; None where it has none.

    The kernel counts each core that was stopped: it may be more than the time that has passed.
    """
    found = []
    for folder in _group_folders():
        with suppress(OSError, ValueError):
            text = (folder / "cpu.stat").read_text(encoding="ascii")
            counted = re.search(r"^throttled_(usec|time) (\d+)$", text, re.MULTILINE)
            if counted:
                found.append(int(counted[2]) / (1e6 if counted[1] == "usec" else 1e9))
    return max(found, default=None)


def _group_folders() -> Iterator[Path]:
    """Yield the folders of the groups that this process is in, with those around them, of either version."""
    with suppress(OSError, ValueError):
        for line in (PROC / "self/cgroup").read_text(encoding="utf-8").splitlines():
            _, kinds, place = line.split(":", 2)
            if kinds and "cpu" not in kinds.split(","):
                continue
            folder = GROUPS / kinds / place.strip("/")
            yield from (around for around in (folder, *folder.parents) if around.is_relative_to(GROUPS / kinds))


def _own_usage() -> tuple[float | None, int | None]:
    """Return the processor seconds of this process and all it has started, and how often it was taken off a core."""
    if sys.platform == "win32":
        return None, None
    import resource

    own, ended = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = own.ru_utime + own.ru_stime + ended.ru_utime + ended.ru_stime
    return spent + _of_started("self"), own.ru_nivcsw


def _of_started(process: str) -> float:
    """Return the processor seconds of the processes that a process has started and that have not ended."""
    spent = 0.0
    for listed in (PROC / process / "task").glob("*/children"):
        with suppress(OSError, ValueError, IndexError):  # one may end at any moment
            for child in listed.read_text(encoding="ascii").split():
                fields = (PROC / child / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
                spent += sum(map(int, fields.split()[11:15])) / _ticks() + _of_started(child)
    return spent


def _waited() -> dict[str, float] | None:
    found = {}
    for counted in (PROC / "self/task").glob("*/schedstat"):
        with suppress(OSError, ValueError, IndexError):
            found[counted.parent.name] = int(counted.read_text(encoding="ascii").split()[1]) / 1e9
    return found or None


def _taken(start: Counters, end: Counters) -> float | None:
    """Return the processor seconds of other processes, on the cores that this one may use."""
    cores, own = _cores_between(start, end), _since(start.own, end.own)
    return None if cores is None or own is None else max(0.0, cores.busy - own)


def _cores_between(start: Counters, end: Counters) -> Cores | None:
    if start.cores is None or end.cores is None:
        return None
    # The kernel's account of an idle core may step back.
    spent = (max(0.0, now - before) for before, now in zip(astuple(start.cores), astuple(end.cores), strict=True))
    return Cores(*spent)


def _since(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else max(0.0, end - start)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DECIMALS)


def _ticks() -> int:
    return os.sysconf("SC_CLK_TCK")
