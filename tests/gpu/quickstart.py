"""Step `quickstart`: every method from the shell at its digits settings, and memory that runs out as a Result."""

from __future__ import annotations

import resource
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryFile
from typing import Any

import torch
import yaml

from ddbench.cli.main import main
from ddbench.host.files import baselines_dir
from ddbench.records import Result
from ddbench.registry import METHODS
from ddbench.runs.results_store import Store
from tests.gpu._step import Step, run_step

OUT_OF_TIME = 124  # as `timeout` says it
CHECKOUT = Path(__file__).resolve().parents[2]
SUITE_SHARE = 0.6  # of the time that is left: the parts behind a suite want some too
HELD_BACK = 2**30  # bytes of host memory that a process may take in a dry run, beside what it begins with


def quickstart(step: Step) -> None:
    """Run the quickstart's suite on one seed, the methods that are not in it, and a DM that cannot fit."""
    content = yaml.safe_load((baselines_dir() / "suites" / "digits_quick.yaml").read_text(encoding="utf-8"))
    content |= step.size({"distill_seeds": 1}, {"distill_seeds": 1, "ipc": [1], "students": 1})
    named = {method if isinstance(method, str) else method["name"] for method in content["methods"]}
    content["methods"] = step.size(content["methods"], ["random_real"])
    found = step.part("suite", lambda: run_suite("suite", content, step), needs=step.size(20, 1))
    _tell(step, found)
    for name in step.size([name for name in METHODS.names() if name not in named], ["k_means"]):
        found = step.part(f"shell: {name}", lambda n=name: from_the_shell(n, step), needs=step.size(8, 1))
        if found:
            step.say(f"{name}, distilled and evaluated from the shell: {found}")
    found = step.part("out of memory", lambda: too_large(step), needs=step.size(15, 1))
    if found:
        states = [cell["status"] for cell in found["cells"]]
        step.expect("out of memory", f"cells ended as {states}", holds=states == ["out_of_memory", "ok"])
        step.say(f"a DM too large is a Result, and the run goes on: {states}; {found['cells'][0]['reason']}")


def run_suite(name: str, content: dict[str, Any], step: Step, **limits: Any) -> dict[str, Any]:
    """Run a suite with `ddbench run` and return its exit code, what it printed and what each cell came to.

    It is a process of its own, so that cells that have ended count where its time is over; in a dry run, which has
    time, only where that process is to have limits.
    """
    path, results = step.work / f"{name}.yaml", step.work / f"{name}-results"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    command = ["run", str(path), "--results", str(results), "--device", step.device.type]
    if step.dry_run and not limits:
        code, printed = in_this_process(command)
    else:
        code, printed = in_its_own(command, max(5.0, SUITE_SHARE * step.left), **limits)
    store = Store(results)
    cells = [describe(result) for result in (store.results() if any(results.glob("*/result.json")) else [])]
    return {"exit_code": code, "printed": printed[-4000:], "cells": cells}


def in_its_own(command: list[str], seconds: float, **limits: Any) -> tuple[int, str]:
    """Run a command of ours in a process and return its exit code, `OUT_OF_TIME` for one, and its output."""
    with TemporaryFile("w+", encoding="utf-8", errors="replace") as printed:
        process = subprocess.Popen(
            [sys.executable, "-m", "ddbench", *command],
            cwd=CHECKOUT,
            stdout=printed,
            stderr=subprocess.STDOUT,
            **limits,
        )
        try:
            code = process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            code = OUT_OF_TIME
        printed.seek(0)
        return code, printed.read()


def in_this_process(command: list[str]) -> tuple[int, str]:
    """Run a command of ours and return its exit code and its output."""
    printed = StringIO()
    with redirect_stdout(printed), redirect_stderr(printed):
        code = main(command)
    return code, printed.getvalue()


def from_the_shell(method: str, step: Step) -> str:
    """Distil and evaluate with the two commands and return the last line that is printed, the students' accuracies."""
    settings = [f"--set={key}={value}" for key, value in METHODS.get(method).smoke_settings.items()]
    out, device = str(step.work / f"set-{method}"), f"--device={step.device.type}"
    for command in (
        ["distill", method, "--dataset=digits", "--ipc=1", "--out", out, device, *settings],
        ["evaluate", out, "--protocol=quick", "--students=1", device],
    ):
        code, printed = in_this_process(command)
        if code:
            raise RuntimeError(f"ddbench {command[0]}: exit code {code}, {printed.strip()[-400:]}")
    return printed.strip().splitlines()[-1]


def too_large(step: Step) -> dict[str, Any]:
    """Run a suite of a DM whose first map alone takes all memory, and of one that fits."""
    limits: dict[str, Any] = {}
    if step.device.type == "cuda":  # this process holds what would be too much for any network to fill
        free, _ = torch.cuda.mem_get_info(step.device)
        ballast = torch.empty(max(0, free - 4 * HELD_BACK), dtype=torch.uint8, device=step.device)
    else:
        ballast, limits = None, {"preexec_fn": _limit_memory}
    width = 8 * HELD_BACK // (4 * 64 * 140)  # bytes of a map of 140 images of 8x8
    huge = {"network": f"convnet-d1-w{width}", "steps": 1, "real_batch_size": 1}
    content = {
        "name": "too_large",
        "protocol": "quick",
        "datasets": ["digits"],
        "ipc": [140],
        "students": 1,
        "methods": [{"name": "dm", "settings": huge}, {"name": "random_real"}],
        "networks": ["convnet-d1-w8"],
    }
    try:
        return run_suite("too_large", content, step, **limits)
    finally:
        del ballast
        if step.device.type == "cuda":
            torch.cuda.empty_cache()


def describe(result: Result) -> dict[str, Any]:
    """Return what a cell came to: accuracy, seconds and peaks of its phases, and how it was computed."""
    accuracy = result.metric("test_accuracy")
    return {
        "method": result.method,
        "ipc": result.ipc,
        "status": result.status,
        "reason": result.reason,
        "test_accuracy": None if accuracy is None else accuracy.mean,
        "phases": {phase.name: phase.reading.model_dump(exclude_none=True) for phase in result.phases},
        "engine": result.engine,
    }


def _limit_memory() -> None:
    size = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    limit = size + 4 * HELD_BACK
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _tell(step: Step, found: dict[str, Any] | None) -> None:
    if not found:
        return
    bad = [f"{c['method']} IPC {c['ipc']}: {c['reason']}" for c in found["cells"] if c["status"] != "ok"]
    what = f"exit code {found['exit_code']}; {'; '.join(bad) or found['printed'][-300:]}"
    step.expect("suite", what, holds=found["exit_code"] in (0, OUT_OF_TIME) and not bad)
    if found["exit_code"] == OUT_OF_TIME:
        step.say(f"digits: {len(found['cells'])} cells ended in the time there was")
    for method in dict.fromkeys(cell["method"] for cell in found["cells"]):
        cells = [cell for cell in found["cells"] if cell["method"] == method and cell["status"] == "ok"]
        if cells:
            accuracies = ", ".join(f"{100 * cell['test_accuracy']:.1f}" for cell in cells)
            seconds = fmean(sum(phase["seconds"] for phase in cell["phases"].values()) for cell in cells)
            step.say(f"digits, {method}: {accuracies} % at its IPCs, {seconds:.1f} s a cell")


if __name__ == "__main__":
    run_step("quickstart", quickstart)
