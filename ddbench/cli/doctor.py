"""What a user should know, or paste into a report, when something does not work."""

from __future__ import annotations

import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ddbench.dataset import find_data_dir, load_dataset
from ddbench.engine.native import native_passes
from ddbench.errors import DataMissingError, DDBenchError
from ddbench.host.files import find_cache_dir
from ddbench.host.machine import describe_machine, describe_versions, git_commit, resolve_device
from ddbench.registry import DATASETS, EVALUATORS, METHODS, NETWORKS, Registry

# Their classes are those of folders a user brings; there is nothing to look for without being asked.
PATH_DATASETS = ("image_folder",)


@dataclass(frozen=True)
class Finding:
    """One line of the diagnosis.

    Attributes:
        topic: what it is about.
        text: what was found, and what to do where something is wrong.
        is_error: whether it stops ddbench from working.
        is_missing: whether it is something that is not there and need not be.
        details: more of it, for who asks.
    """

    topic: str
    text: str
    is_error: bool = False
    is_missing: bool = False
    details: str = ""

    @property
    def mark(self) -> str:
        """`ok`, `--` for what is missing, `!!` for an error."""
        return "!!" if self.is_error else "--" if self.is_missing else "ok"


def diagnose(data_dir: Path | None = None) -> list[Finding]:
    """Look at versions, torch's build, devices, plug-ins and data, and say what fixes each thing that is wrong."""
    versions = ", ".join(f"{name} {number}" for name, number in describe_versions().items())
    commit = git_commit()
    findings = [Finding("versions", versions + (f", commit {commit}" if commit else "")), check_torch_build()]
    if findings[-1].is_error:
        return findings
    machine = describe_machine(resolve_device())
    gpu = machine["gpu"] or "no GPU"
    findings += [
        Finding("machine", f"{machine['processor']}, {machine['threads']} threads, {gpu}, id {machine['id']}"),
        Finding("cache folder", str(find_cache_dir())),
        Finding("data folder", str(find_data_dir(data_dir))),
        check_native_code(),
    ]
    for registry in (METHODS, NETWORKS, EVALUATORS):
        findings += check_imports(registry)
    return findings + [check_dataset(name, data_dir) for name in DATASETS.names() if name not in PATH_DATASETS]


def check_torch_build() -> Finding:
    """Import torchvision in a process of its own: with a torch from another build it fails at import.

    Without the working folder (`-P`), which may hold modules of these names.
    """
    probe = subprocess.run(
        [sys.executable, "-P", "-c", "import torchvision"], capture_output=True, text=True, timeout=300, check=False
    )
    return explain_torch_build(probe.returncode, probe.stderr, describe_versions())


def explain_torch_build(code: int, errors: str, versions: dict[str, str]) -> Finding:
    """Turn the outcome of importing torchvision into a finding with its remedy."""
    pair = f"torch {versions['torch']} and torchvision {versions['torchvision']}"
    if code == 0:
        return Finding("torch build", f"{pair} work together")
    last = errors.strip().splitlines()[-1] if errors.strip() else f"exit code {code}"
    if "torchvision::" in errors or "undefined symbol" in errors:
        return Finding(
            "torch build",
            f"{pair} come from different builds ({last}); install both from the same place in one command: "
            "`pip install --force-reinstall torch torchvision`, both with or both without CPU-only builds",
            is_error=True,
        )
    return Finding("torch build", f"torchvision cannot be imported: {last}; reinstall it together with torch", True)


def check_native_code() -> Finding:
    """Compile the passes of our own, or find them compiled; a machine that cannot is slower, which is no error."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        works = native_passes() is not None
    if works:
        return Finding("native code", "compiled")
    reason = str(caught[-1].message) if caught else "compiling failed earlier in this process"
    return Finding("native code", reason)


def check_imports(registry: Registry[Any]) -> list[Finding]:
    """Import every entry of a registry and report those that fail, with their true error."""
    broken = []
    for name in registry.names():
        try:
            registry.get(name)
        except DDBenchError as error:
            broken.append(Finding(registry.kind, str(error), is_error=True))
    return broken or [Finding(f"{registry.kind}s", f"all {len(registry.names())} load")]


def check_dataset(name: str, data_dir: Path | None) -> Finding:
    """Load a data set and say that it is there, or what is missing and what fetches it; missing data is no error."""
    try:
        real = load_dataset(name, data_dir)
    except DataMissingError as error:
        looked, _, advice = str(error).rpartition("; ")
        return Finding(name, f"not installed; {advice}", is_missing=True, details=looked)
    except DDBenchError as error:
        return Finding(name, str(error), is_error=True)
    info = real.info
    return Finding(
        name,
        f"{len(real.train):,} training and {len(real.test):,} test images, {info.channels}x{info.image_size}x"
        f"{info.image_size}, {info.num_classes:,} classes",
        details=f"fingerprint {info.fingerprint}",
    )


def fetch(name: str, data_dir: Path | None) -> str:
    """Download a data set into the data folder and say what came."""
    load_dataset(name, data_dir, download=True)
    return f"{name} is in {find_data_dir(data_dir)}"
