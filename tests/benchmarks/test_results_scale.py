"""Commands that only read results at 1,000, 5,000 and 20,000 of them: time and memory in proportion to how many.

Run: `uv run pytest tests/benchmarks/test_results_scale.py -m speed -s`; 10 minutes on two cores. `wide` is many methods
and data sets, `sweep` one method with many settings.
"""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.benchmarks._many_results import write_results

SIZES = (1_000, 5_000, 20_000)
MOST_EXPONENT = 1.2  # of the time above the program's start; 1 is in proportion
MOST_TABLE_SECONDS, MOST_REPORT_SECONDS, MOST_MIB = 10.0, 60.0, 800.0  # at 20,000 results, of processor time
CLAIMS = Path(__file__).parents[2] / "baselines" / "claims" / "digits_gate.toml"
COMMANDS = {
    "table": ["table", "{results}", "--out", "{out}.md"],
    "compare": ["compare", "method_01", "random_real", "{results}", "--out", "{out}.md"],
    "claims": ["claims", str(CLAIMS), "{results}"],
    "report": ["report", "{results}", "--out", "{out}.html"],
}


@dataclass(frozen=True)
class Cost:
    """What a command took: processor seconds, the peak of its memory in MiB, and its exit code."""

    seconds: float
    mebibytes: float
    code: int


# Between pytest and the program, for Linux counts the memory of whoever starts a process into its peak.
STARTER = """
import os, sys
_, status, usage = os.wait4(os.posix_spawn(sys.executable, [sys.executable, *sys.argv[1:]], os.environ), 0)
print("cost", usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, os.waitstatus_to_exitcode(status))
"""


def cost_of(arguments: list[str], log: Path) -> Cost:
    """Run the program, its output in a file."""
    command = [sys.executable, "-S", "-c", STARTER, "-m", "ddbench", *arguments]
    with log.open("w") as file:
        subprocess.run(command, stdout=file, stderr=file, check=True)
    word, seconds, mebibytes, code = log.read_text(encoding="utf-8").splitlines()[-1].split()
    assert word == "cost"
    return Cost(float(seconds), float(mebibytes), int(code))


@pytest.mark.speed
@pytest.mark.parametrize("shape", ["wide", "sweep"])
def test_cost_is_in_proportion_to_results(shape, benchmark, tmp_path):
    benchmark.pedantic(lambda: None, rounds=1)
    missed = []
    folders = {size: write_results(tmp_path / str(size), shape, size) for size in (1, *SIZES)}
    for name, command in COMMANDS.items():
        if (name, shape) == ("compare", "sweep"):  # one method
            continue
        costs = {}
        for size, folder in folders.items():
            out = tmp_path / f"{name}-{size}"
            costs[size] = cost_of([word.format(results=folder, out=out) for word in command], Path(f"{out}.log"))
            assert costs[size].code in ((0, 2) if (name, size) == ("compare", 1) else (0, 3)), Path(f"{out}.log")
        above = {size: costs[size].seconds - costs[1].seconds for size in SIZES}
        exponent = math.log(above[SIZES[-1]] / above[SIZES[-2]]) / math.log(SIZES[-1] / SIZES[-2])
        told = ", ".join(f"{size:,}: {costs[size].seconds:.1f} s, {costs[size].mebibytes:.0f} MiB" for size in folders)
        page = tmp_path / f"{name}-{SIZES[-1]}.html"
        told += f", page {page.stat().st_size / 2**20:.1f} MiB" if page.exists() else ""
        print(f"\n{shape} {name}: {told}; exponent {exponent:.2f}", end="")
        benchmark.extra_info.update({f"{name} {size}": cost.seconds for size, cost in costs.items()})
        most = MOST_REPORT_SECONDS if name == "report" else MOST_TABLE_SECONDS
        if exponent > MOST_EXPONENT or above[SIZES[-1]] > most or costs[SIZES[-1]].mebibytes > MOST_MIB:
            missed.append(name)
    assert missed == []
