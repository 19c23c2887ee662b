"""One step of the pack: a process with a time budget, whose findings are on disk after every part of it."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ddbench.host.files import write_text

MARGIN = 0.93  # a step begins nothing after this share of its time: the pack kills it at the end of it
LAST_LINES = 12
STARTED_VARIABLE = "DDBENCH_STEP_STARTED"  # a reading of `time.monotonic`, which all processes of a machine share


@dataclass
class Step:
    """What a step is given, and what it found so far.

    Attributes:
        name: of the step, and of its file.
        out: the folder that is brought back.
        work: a folder for everything else, shared by the steps.
        seconds: how long the step may take.
        dry_run: take tiny sizes; on any machine.
        device: the GPU, or the CPU in a dry run without one.
        parts: findings by name.
        headline: lines for the summary.
        failed: parts that failed, or found what must not be.
        started: when the pack began to wait for it: importing takes seconds of the step's own time.
        kept_in: a file that holds all this instead of the step's own JSON, which is then removed.
    """

    name: str
    out: Path
    work: Path
    seconds: float
    dry_run: bool
    device: torch.device
    parts: dict[str, Any] = field(default_factory=dict)
    headline: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    kept_in: Path | None = None
    started: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        """Seconds in which something may still begin."""
        return self.seconds * MARGIN - (time.monotonic() - self.started)

    def size(self, real: Any, tiny: Any) -> Any:
        """Return the size of the real run, or the tiny one in a dry run."""
        return tiny if self.dry_run else real

    def part(self, name: str, function: Callable[[], Any], *, needs: float = 1.0) -> Any:
        """Run a part and keep what it returns, or its error: the parts after it run all the same.

        One that `needs` more seconds than are left is not begun.
        """
        if self.left < needs:
            self.parts[name] = {"not_run": f"needs {needs:.0f} s, {max(0.0, self.left):.0f} s were left"}
            self.save()
            return None
        print(f"{name} ...", flush=True)
        started = time.monotonic()
        try:
            found = function()
        except Exception as error:
            lines = traceback.format_exc().rstrip().splitlines()[-LAST_LINES:]
            print("\n".join(lines), flush=True)
            self.parts[name] = {"error": " ".join(f"{type(error).__name__}: {error}".split())[:500], "lines": lines}
            self.failed.append(name)
            found = None
        else:
            self.parts[name] = found
        print(f"{name}: {time.monotonic() - started:.1f} s", flush=True)
        self.save()
        return found

    def expect(self, name: str, what: str, holds: bool) -> None:
        """Note a part whose finding is not what it must be."""
        if not holds:
            self.failed.append(f"{name}: {what}")

    def say(self, line: str) -> None:
        """Add a line to the summary."""
        print(line, flush=True)
        self.headline.append(line)
        self.save()

    def record(self, *, is_whole: bool) -> dict[str, Any]:
        """Return what was found so far, as it is written."""
        return {
            "step": self.name,
            "is_whole": is_whole,
            "dry_run": self.dry_run,
            "seconds": round(time.monotonic() - self.started, 1),
            "failed": self.failed,
            "headline": self.headline,
            "parts": self.parts,
        }

    def save(self, *, is_whole: bool = False) -> None:
        """Write what was found so far."""
        path = self.out / f"{self.name}.json"
        if self.kept_in is not None:
            path.unlink(missing_ok=True)
        else:
            write_text(path, json.dumps(self.record(is_whole=is_whole), indent=1, default=str) + "\n")


def run_step(name: str, function: Callable[[Step], None]) -> None:
    """Run a step as a program of its own; exit code 1 where a part of it failed."""
    parser = argparse.ArgumentParser(prog=f"tests.gpu.{name}", description=function.__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--dry-run", action="store_true")
    given = parser.parse_args()
    if not torch.cuda.is_available() and not given.dry_run:
        sys.exit("this machine has no CUDA device; --dry-run runs every step with tiny sizes on a CPU")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    step = Step(name, given.out, given.work, given.seconds, given.dry_run, device)
    step.started = float(os.environ.get(STARTED_VARIABLE, step.started))
    step.save()
    function(step)
    step.save(is_whole=True)
    sys.exit(1 if step.failed else 0)
