"""Commands that only read results start without torch, which takes seconds to import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

RESULTS = Path(__file__).parents[2] / "baselines" / "results" / "xeon_2_cores" / "digits_gate.jsonl"
CLAIMS = Path(__file__).parents[2] / "baselines" / "claims" / "digits_gate.toml"
PROGRAM = """
import sys
from ddbench.cli.main import main
code = main(sys.argv[1:])
print(code, *(name for name in ("torch", "scipy.stats", "matplotlib") if name in sys.modules), file=sys.stderr)
"""
COMMANDS = {
    "table": ["table", str(RESULTS)],
    "table as LaTeX": ["table", str(RESULTS), "--format", "latex"],
    "published": ["table", str(RESULTS), "--published"],
    "compare": ["compare", "dm", "random_real", str(RESULTS.with_name("cifar10_small.jsonl"))],
    "export": ["export", str(RESULTS), "--out", "{tmp}/all.jsonl"],
    "claims": ["claims", str(CLAIMS), str(RESULTS)],
    "report": ["report", str(RESULTS), "--out", "{tmp}/report.html"],
    "site": ["site", str(RESULTS), "--out", "{tmp}/site"],
    "status": ["status", "{tmp}"],
    "list": ["list"],
    "help": ["--help"],
}


# What cannot be is told before torch is imported, too.
MISTAKES = {
    "suite": (["run", "nowhere"], "no suite file 'nowhere'"),
    "suite file": (["run", "nowhere.yaml"], "nowhere.yaml does not exist"),
    "runner": (["run", "digits_quick", "--runner", "rai"], "did you mean ray?"),
    "method": (
        ["distill", "hirding", "--dataset", "digits", "--ipc", "1", "--out", "{tmp}/set"],
        "did you mean herding?",
    ),
    "data set": (["distill", "dm", "--dataset", "digitz", "--ipc", "1", "--out", "{tmp}/set"], "did you mean digits"),
    "preset": (
        ["distill", "dm", "--dataset", "digits", "--ipc", "1", "--out", "{tmp}/set", "--preset", "none.toml"],
        "none.toml does not exist",
    ),
    "device": (["quickstart", "--out", "{tmp}/out", "--device", "gpu"], "device must be cpu, cuda or cuda:<index>"),
    "set": (["evaluate", "{tmp}/nowhere"], "nowhere is not a distilled set"),
    "network": (["evaluate", "{tmp}", "--network", "convnett-d3"], "did you mean convnet"),
    "protocol": (["evaluate", "{tmp}", "--protocol", "dssa"], "did you mean dsa"),
    "evaluator": (["evaluate", "{tmp}", "--evaluator", "acuracy"], "did you mean accuracy"),
    "results": (["report", "{tmp}/nowhere"], "nowhere does not exist"),
    "benchmark": (["bench", "nowhere"], "unknown benchmark 'nowhere'"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_without_torch(name, tmp_path):
    arguments, words = MISTAKES[name]
    command = [sys.executable, "-c", PROGRAM, *(word.format(tmp=tmp_path) for word in arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    told, (code, *imported) = done.stderr.splitlines()[:-1], done.stderr.splitlines()[-1].split()
    assert (code, imported, len(told)) == ("2", [], 1), done.stderr
    assert words in told[0]


@pytest.mark.parametrize("name", COMMANDS)
def test_it_needs_no_torch(name, tmp_path):
    command = [sys.executable, "-c", PROGRAM, *(word.format(tmp=tmp_path) for word in COMMANDS[name])]
    for _ in range(2):  # what is known of methods is kept the first time
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    code, *imported = done.stderr.splitlines()[-1].split()
    draws = {"matplotlib"} if name in ("report", "site") else set()
    assert ({*imported} - draws, code in ("0", "1")) == (set(), True), done.stderr
