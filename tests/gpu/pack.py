"""Everything that is to be measured on a GPU, in one command that fits into minutes.

Run: `uv run python -m tests.gpu.pack --out DIR [--minutes 9] [--only NAME...] [--dry-run]`; a bare `python3` with the
packages of `tests/gpu/README.md` does too. Every step is a process of its own with a share of the time: one that
crashes or hangs costs no more than that. `DIR` holds `log` and one file for each step, eight in all and none but the
backbone's over 1 MiB.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

# Most valuable first; seconds of a run of nine minutes. What a step leaves goes to those behind it.
STEPS = {
    "doctor": 30,
    "correct": 115,
    "meter": 20,
    "quickstart": 90,
    "speed": 120,
    "rows": 105,
    "backbone": 60,
}
DRY_RUN_SECONDS = 150.0  # for each step; on two cores all of them together take less
LAST_LINES = 12
COMPILER_CACHES = ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")
STARTED_VARIABLE = "DDBENCH_STEP_STARTED"  # as in `_step`, which imports torch
CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Ended:
    """How a step ended: `state` in words, its seconds and the last lines that it printed."""

    name: str
    state: str
    seconds: float
    last_lines: tuple[str, ...] = ()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the steps and print the summary; exit code 1 where one of them failed."""
    given = _parse(arguments)
    given.out.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    names = [name for name in STEPS if not given.only or name in given.only]
    ended: list[Ended] = []
    with (given.out / "log").open("a", encoding="utf-8") as log, tempfile.TemporaryDirectory() as own:
        work = given.work or Path(own)
        work.mkdir(parents=True, exist_ok=True)
        until = time.monotonic() + 60 * given.minutes
        try:
            for index, name in enumerate(names):
                left = until - time.monotonic()
                share = STEPS[name] / sum(STEPS[later] for later in names[index:])
                seconds = DRY_RUN_SECONDS if given.dry_run else left * share
                ended.append(run(name, given.out, work, seconds, log, dry_run=given.dry_run))
        finally:
            for leftover in given.out.glob(".tmp-*"):  # of a step killed while it wrote
                leftover.unlink(missing_ok=True)
            _tell(summary(names, ended, given.out), log)
    return 0 if [one.state for one in ended] == ["ok"] * len(names) else 1


def run(name: str, out: Path, work: Path, seconds: float, log: IO[str], *, dry_run: bool) -> Ended:
    """Run a step in a process group of its own, and kill the group when its time is over."""
    command = [sys.executable, "-m", f"tests.gpu.{name}", "--out", str(out.resolve()), "--work", str(work.resolve())]
    command += ["--seconds", f"{seconds:.1f}", *(["--dry-run"] if dry_run else [])]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "DDBENCH_CACHE_DIR": str(work.resolve() / "cache")}
    environment |= {name: str(work.resolve() / name.split("_")[0].lower()) for name in COMPILER_CACHES}
    environment[STARTED_VARIABLE] = str(time.monotonic())
    if dry_run:
        environment.setdefault("OMP_NUM_THREADS", "1")  # tiny work, on which threads only wait for one another
    _tell(f"== {name}, {seconds:.0f} s", log)
    started = time.monotonic()
    process = subprocess.Popen(
        command,
        cwd=CHECKOUT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    last: deque[str] = deque(maxlen=LAST_LINES)
    reader = threading.Thread(target=_stream, args=(process.stdout, last, log))
    reader.start()
    try:
        code = process.wait(timeout=seconds)
        state = "ok" if code == 0 else f"failed, exit code {code}" if code > 0 else f"killed by signal {-code}"
    except subprocess.TimeoutExpired:
        state = f"killed after its {seconds:.0f} s"
    finally:
        _kill(process)  # what it has started too
    reader.join(timeout=10)  # a process stuck in a driver keeps its output open
    return Ended(name, state, time.monotonic() - started, tuple(last))


def summary(names: Sequence[str], ended: Sequence[Ended], out: Path) -> str:
    """Return what every step found and how it ended, from the files they have left."""
    found = {one.name: one for one in ended}
    lines = ["", "Summary"]
    for name in names:
        one = found.get(name)
        lines.append(f"{name}: " + (f"{one.state}, {one.seconds:.0f} s" if one else "not run"))
        kept = read_record(out, name) if one else {}
        lines += [f"    {line}" for line in kept.get("headline", [])]
        lines += [f"    ! {what}" for what in kept.get("failed", [])]
        for part, value in kept.get("parts", {}).items():
            if isinstance(value, dict) and "not_run" in value:
                lines.append(f"    - {part}: not run, {value['not_run']}")
        if one and one.state != "ok":
            lines += [f"    | {line}" for line in one.last_lines]
    return "\n".join(lines)


def read_record(out: Path, name: str) -> dict[str, Any]:
    """Return what a step has left, in its JSON or as metadata of its tensors; nothing where there is neither."""
    with suppress(OSError, ValueError):
        return json.loads((out / f"{name}.json").read_text(encoding="utf-8"))
    with suppress(OSError, ValueError, KeyError), (out / f"{name}.safetensors").open("rb") as file:
        # The format's own words: eight bytes of length, then JSON.
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        return json.loads(header["__metadata__"]["record"])
    return {}


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.gpu.pack", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the log and the steps' findings")
    parser.add_argument("--minutes", type=float, default=9.0, help="for all steps together (default 9)")
    parser.add_argument("--only", nargs="+", choices=STEPS, metavar="NAME", help=f"some of {', '.join(STEPS)}")
    parser.add_argument("--dry-run", action="store_true", help="tiny sizes, on a machine without a GPU too")
    parser.add_argument("--work", type=Path, help="folder for prepared work, kept; else a temporary one")
    given = parser.parse_args(arguments)
    if not 0 < given.minutes < float("inf"):
        parser.error(f"--minutes must be positive, got {given.minutes:g}")
    return given


def _stream(source: IO[str], last: deque[str], log: IO[str]) -> None:
    with source:
        for line in source:
            last.append(line.rstrip("\n"))
            _tell(line.rstrip("\n"), log)


def _tell(line: str, log: IO[str]) -> None:
    print(line, flush=True)
    log.write(f"{line}\n")
    log.flush()


def _kill(process: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=10)


if __name__ == "__main__":
    sys.exit(main())
