"""Step `correct`: the GPU computes what the CPU computes, tests marked `gpu` pass, and one seed gives one set."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import warnings
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import torch

from ddbench import PROTOCOLS, distill, evaluate, load_dataset
from ddbench.engine.arithmetic import arithmetic_of
from ddbench.host.files import CACHE_DIR_VARIABLE
from ddbench.registry import METHODS
from tests.gpu._computations import NETWORKS, SMALL_NETWORKS, computations
from tests.gpu._same import compare
from tests.gpu._step import Step, run_step

CHECKOUT = Path(__file__).resolve().parents[2]
TESTS_SECONDS, DRY_RUN_METHODS = 90.0, ("random_real", "dm")


def correct(step: Step) -> None:
    """Compare CPU and GPU in float32, run the tests marked `gpu`, and distil every method twice."""
    outside, count = [], 0
    spec = step.size("", "-w8")
    step.part("tests marked gpu", lambda: run_tests(step), needs=step.size(20, 1))
    with arithmetic_of("fp32", step.device):
        for name, computation in computations(spec, step.size(NETWORKS, SMALL_NETWORKS)):
            found = step.part(name, lambda c=computation: compare(c, step.device), needs=3)
            for output, errors in (found or {}).items():
                count += 1
                if not errors["holds"]:
                    outside.append(f"{name}, {output}")
                    step.expect(name, f"{output} is further from float64 than rounding explains: {errors}", holds=False)
    step.say(f"CPU against {step.device.type}, float32: {count - len(outside)} of {count} outputs within rounding")
    same, other = [], {}
    for method in step.size(METHODS.names(), DRY_RUN_METHODS):
        found = step.part(f"twice: {method}", lambda m=method: twice(m, step), needs=4)
        if found and found["is_same"]:
            same.append(method)
        elif found:
            other[method] = found["kernels"] or "no kernel that torch knows of"
    step.say(f"the same bits twice: {', '.join(same) or 'no method'}")
    for method, kernels in other.items():
        step.say(f"other bits the second time: {method}; {kernels}")


def run_tests(step: Step) -> dict[str, Any]:
    """Run `pytest -m gpu` and return its counts and what failed; in a dry run it only has to collect them."""
    # Not the whole suite: importing it takes longer than these tests.
    files = [str(path) for path in sorted((CHECKOUT / "tests").rglob("test_*.py")) if "mark.gpu" in path.read_text()]
    command = [sys.executable, "-m", "pytest", *files, "-m", "gpu and not speed", "-v", "-p", "no:cacheprovider"]
    if step.dry_run and step.device.type == "cpu":
        command = [argument for argument in command if argument not in files[1:]] + ["--collect-only"]
    with TemporaryFile("w+", encoding="utf-8", errors="replace") as printed:
        process = subprocess.Popen(command, cwd=CHECKOUT, stdout=printed, stderr=subprocess.STDOUT)
        try:
            code: int | None = process.wait(timeout=min(TESTS_SECONDS, max(10.0, step.left - 25)))
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait() and None
        printed.seek(0)
        lines = printed.read().strip().splitlines()
    print("\n".join(lines[-25:]), flush=True)
    last = lines[-1] if lines else "nothing was printed"
    step.expect("tests marked gpu", last, holds=code in (0, None) and not any(" FAILED" in line for line in lines))
    step.say(f"tests marked gpu: {last}" + (" (cut off)" if code is None else ""))
    failed = [line for line in lines if re.search(r"^(FAILED|ERROR) | FAILED| ERROR", line)]
    return {"exit_code": code, "last_line": last, "failed": failed, "last_lines": lines[-60:]}


def twice(method: str, step: Step) -> dict[str, Any]:
    """Distil and evaluate twice from one seed, the second time from an empty cache: are images and accuracies equal?

    Where they are not, a third time tells which kernels torch knows to give other bits from call to call.
    """
    first, second = _make(method, step, "a"), _make(method, step, "b")
    is_same = torch.equal(first[0], second[0]) and first[1] == second[1]
    difference = float((first[0].double() - second[0].double()).abs().max())
    kernels = [] if is_same else _kernels_of_chance(method, step)
    accuracies = [first[1], second[1]]
    return {"is_same": is_same, "largest_difference": difference, "accuracies": accuracies, "kernels": kernels}


def _make(method: str, step: Step, cache: str) -> tuple[torch.Tensor, tuple[float, ...]]:
    kept = os.environ.get(CACHE_DIR_VARIABLE, "")
    os.environ[CACHE_DIR_VARIABLE] = str(step.work / f"cache-{method}-{cache}")
    try:
        real = load_dataset("digits")
        made = distill(method, real, 2, 0, METHODS.get(method).smoke_settings, step.device)
        result = evaluate(made, real, _SHORT, students=2, device=step.device)
    finally:
        os.environ[CACHE_DIR_VARIABLE] = kept
    accuracy = result.metric("test_accuracy")
    assert accuracy is not None
    return made.images, accuracy.values


def _kernels_of_chance(method: str, step: Step) -> list[str]:
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            _make(method, step, "c")
    finally:
        torch.use_deterministic_algorithms(False)
    said = (str(warning.message).split(" does not have a deterministic")[0] for warning in caught)
    return sorted({text for text in said if len(text) < 80})


_QUICK = PROTOCOLS.get("quick")
_SHORT = _QUICK.model_copy(
    update={
        "name": "short",
        "schedule": _QUICK.schedule.model_copy(update={"epochs": 10, "drop_at": 6}),
        "real_schedule": _QUICK.real_schedule.model_copy(update={"epochs": 1, "drop_at": 1}),
    }
)


if __name__ == "__main__":
    run_step("correct", correct)
