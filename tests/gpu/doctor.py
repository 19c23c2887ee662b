"""Step `doctor`: what machine this is, whether torch's compiler and our native code work, and what the card can do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

import ddbench
from ddbench.cli.doctor import check_imports, check_native_code, check_torch_build
from ddbench.host.files import digest_of, sha256_of
from ddbench.host.machine import describe_machine, describe_versions
from ddbench.registry import EVALUATORS, METHODS, NETWORKS, Registry
from tests.benchmarks._gpu_rates import ARITHMETICS, copy_rate, measured_rate
from tests.gpu._step import Step, run_step


def doctor(step: Step) -> None:
    """Describe the machine and measure its roofs."""
    machine = step.part("machine", lambda: _machine(step.device))
    step.part("driver", _driver)
    side, values = step.size(8192, 128), step.size(2**30, 2**16)
    rates = {n: step.part(f"rate {n}", lambda name=n: measured_rate(name, step.device, side)) for n in ARITHMETICS}
    copied = step.part("copy", lambda: copy_rate(step.device, values))
    if machine:
        step.say(f"{machine['device_name']}, torch {machine['versions']['torch']}, CUDA {machine['cuda']}")
    if copied and all(rates.values()):
        words = ", ".join(f"{name} {rate / 1e12:.1f}" for name, rate in rates.items())
        step.say(f"measured roofs: {words} TFLOP/s, copy {copied / 1e12:.2f} TB/s (read and written)")
    step.part("diagnosis", lambda: _diagnose(step.size((METHODS, NETWORKS, EVALUATORS), (METHODS,))))
    step.part("compiler", lambda: _compiles(step.device, step.size("inductor", "aot_eager")))


def _machine(device: torch.device) -> dict[str, Any]:
    found: dict[str, Any] = {"versions": describe_versions(), "cuda": torch.version.cuda, "python": sys.version}
    found |= describe_machine(device)
    found["source_digest"] = source_digest()
    found["device_name"] = found["gpu"] or "CPU"
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        found["capability"], found["processors"] = (
            (properties.major, properties.minor),
            properties.multi_processor_count,
        )
        found["cudnn"] = torch.backends.cudnn.version()
    return found


def source_digest() -> str:
    """Return a digest of the package's files: a copy without its repository knows no commit."""
    package = Path(ddbench.__file__).parent
    files = sorted(path for path in package.rglob("*") if path.suffix in (".py", ".cpp"))
    return digest_of({path.relative_to(package).as_posix(): sha256_of(path) for path in files})


def _driver() -> str:
    try:
        done = subprocess.run(["nvidia-smi"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"no nvidia-smi: {error}"
    return done.stdout


def _diagnose(registries: tuple[Registry[Any], ...]) -> list[str]:
    findings = [check_torch_build(), check_native_code()]
    for registry in registries:
        findings += check_imports(registry)
    return [f"{finding.mark} {finding.topic}: {finding.text}" for finding in findings]


def _compiles(device: torch.device, backend: str) -> str:
    """Compile a small function; raises what torch's compiler raises."""
    values = torch.linspace(0, 1, 1024, device=device)
    found = torch.compile(lambda x: (x.sin() + 1).sum(), backend=backend)(values)
    torch.testing.assert_close(found, (values.sin() + 1).sum())
    return f"torch.compile works ({backend})"


if __name__ == "__main__":
    run_step("doctor", doctor)
