"""Tests of docs/cluster.md: the script for Slurm is bash, asks for what it uses, and its tasks share the cells."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from ddbench.runs.results_store import read_results
from ddbench.runs.suite import load_suite
from ddbench.runs.suite_files import find_suite
from ddbench.runs.turns import LOCKS_FOLDER

PAGE = Path(__file__).resolve().parents[1] / "docs" / "cluster.md"
BLOCKS = re.findall(r"^```bash\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
# Stands for srun, which starts a command on the node of the task: leaves out its own options.
SRUN = '#!/bin/sh\nwhile [ "${1#--}" != "$1" ]; do shift; done\nexec "$@"\n'


@pytest.fixture
def script(tmp_path):
    """The script that the page tells to save."""
    (found,) = (block for block in BLOCKS if "#SBATCH" in block)
    path = tmp_path / "ddbench.sbatch"
    path.write_text(found)
    return path


@pytest.fixture
def suite(tmp_path):
    """The suite of the quickstart, cut to what takes seconds: (its file, the number of its cells)."""
    content = yaml.safe_load(find_suite("digits_quick").read_text(encoding="utf-8"))
    content |= {"methods": ["random_real", content["methods"][1]], "ipc": [1], "distill_seeds": 4, "students": 1}
    content["networks"] = ["mlp-w8"]
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(content))
    return path, len(load_suite(path).cells())


@pytest.fixture
def start(tmp_path, script, suite):
    """A function that starts a task of the array, as Slurm would but for where it runs."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "srun").write_text(SRUN)
    (programs / "srun").chmod(0o755)
    path = os.pathsep.join((str(programs), str(Path(sys.executable).parent), os.environ["PATH"]))
    shared = {"PATH": path, "DDBENCH_SHARED": str(tmp_path / "shared"), "DDBENCH_CACHE_DIR": str(tmp_path / "cache")}
    started = []

    def run(task):
        slurm = {"SLURM_ARRAY_TASK_ID": str(task), "SLURM_ARRAY_JOB_ID": "77", "SLURM_CPUS_PER_TASK": "1"}
        command = ["bash", str(script), str(suite[0]), "--device", "cpu"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        started.append(subprocess.Popen(command, env={**os.environ, **shared, **slurm}, **pipes))
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_bash_on_the_page_parses(block):
    done = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_options_stand_before_the_first_command(script):
    """Slurm reads no `#SBATCH` line after it."""
    lines = script.read_text().splitlines()
    assert lines[0].startswith("#!")
    first = next(number for number, line in enumerate(lines) if line and not line.startswith("#"))
    assert not [line for line in lines[first:] if line.startswith("#SBATCH")]
    assert all(re.match(r"#SBATCH --[a-z-]+(=\S+)?( +#.*)?$", line) for line in lines[1:first])


@pytest.mark.slow
@pytest.mark.installed
def test_two_tasks_share_the_cells_and_a_later_one_finds_nothing_to_do(start, suite, tmp_path):
    tasks = [start(number) for number in (0, 1)]
    outputs = [task.communicate(timeout=300)[0] for task in tasks]
    assert [task.returncode for task in tasks] == [0, 0], outputs
    computed = [re.findall(r"^\[[1-8]/8\] (.*): .* \(distill ", output, re.MULTILINE) for output in outputs]
    cells = [cell for of_task in computed for cell in of_task]
    assert len(cells) == len(set(cells)) == 8  # each by one of them
    assert all(computed)
    results = tmp_path / "shared" / "results" / "small"
    found = read_results([results])
    assert len(found) == suite[1] == 8
    assert {result.status for result in found} == {"ok"}
    written = {path: path.stat().st_mtime_ns for path in results.rglob("result.json")}
    assert len(written) == 8
    late = start(2)
    output = late.communicate(timeout=120)[0]
    assert late.returncode == 0, output
    assert output.startswith("task 2 of job 77")
    assert {path: path.stat().st_mtime_ns for path in results.rglob("result.json")} == written


@pytest.mark.slow
@pytest.mark.installed
def test_a_task_told_to_end_ends_as_the_signal_does_and_another_does_the_rest(start, suite, tmp_path):
    results = tmp_path / "shared" / "results" / "small"
    ended = start(0)
    give_up = time.monotonic() + 120
    while not list((results / LOCKS_FOLDER).glob("*.lock")):  # at work on a cell
        assert time.monotonic() < give_up
        assert ended.poll() is None, ended.communicate()[0]
        time.sleep(0.01)
    ended.send_signal(signal.SIGTERM)
    output = ended.communicate(timeout=60)[0]
    assert ended.returncode == -signal.SIGTERM, output
    assert "rerun the same command to continue" in output
    assert len(list(results.rglob("result.json"))) < suite[1]
    other = start(1)
    assert other.communicate(timeout=300)[0]
    assert other.returncode == 0
    assert len(list(results.rglob("result.json"))) == suite[1]
