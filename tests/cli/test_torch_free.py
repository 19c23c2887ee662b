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
    "list": ["list"],
    "help": ["--help"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_it_needs_no_torch(name, tmp_path):
    command = [sys.executable, "-c", PROGRAM, *(word.format(tmp=tmp_path) for word in COMMANDS[name])]
    for _ in range(2):  # what is known of methods is kept the first time
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    code, *imported = done.stderr.splitlines()[-1].split()
    assert (imported, code in ("0", "1")) == ([], True), done.stderr
