"""Identity of a measurement: which machine, which device, which versions, which commit."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import subprocess
from contextlib import suppress
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from ddbench.errors import BadInputError
from ddbench.host.threads import threads_at_hand
from ddbench.inputs.values import shown

_GROUPS = Path("/sys/fs/cgroup")
PACKAGES = ("ddbench", "torch", "torchvision", "timm", "diffusers", "kornia", "numpy", "scipy", "scikit-learn")


def resolve_device(device: str | torch.device | None = None) -> torch.device:
    """Return the device asked for, or the GPU where there is one, else the CPU.

    Raises:
        BadInputError: the device does not exist on this machine.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        if not isinstance(device, str | torch.device):  # torch takes a number for an index
            raise RuntimeError("no name of a device")
        chosen = torch.device(device)
    except RuntimeError as error:
        raise BadInputError(f"device must be cpu, cuda or cuda:<index>, got {shown(device)}") from error
    if chosen.type not in ("cpu", "cuda"):
        raise BadInputError(f"device must be cpu, cuda or cuda:<index>, got {shown(device)}")
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise BadInputError(
            f"device {device} was asked for, but this machine has {torch.cuda.device_count()} usable GPUs; "
            "use --device cpu, or see `ddbench doctor`"
        )
    return chosen


def describe_machine(device: torch.device) -> dict[str, Any]:
    """Return what identifies the machine: `id` is a short hash of the fields that make timings comparable."""
    identity = {
        "processor": _processor_name(),
        "cores": os.cpu_count(),
        "threads": threads_at_hand(),
        "device": device.type,
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "tf32": None,  # a matter of the protocol; the field stays, for recorded results hold digests with it
    }
    digest = hashlib.sha256(repr(sorted(identity.items())).encode()).hexdigest()[:8]
    extra: dict[str, Any] = {"system": platform.system(), "memory_bytes": memory_bytes()}
    if device.type == "cuda":
        extra["gpu_memory_bytes"] = torch.cuda.get_device_properties(device).total_memory
    return {"id": digest, **identity, **extra}


@lru_cache(maxsize=1)
def describe_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that numbers depend on."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "missing"
    return versions


@lru_cache(maxsize=1)
def git_commit() -> str:
    """Return the commit of the ddbench source tree, with `+` where it has changes; empty outside a checkout."""
    source = Path(__file__)
    # An installed copy may lie inside somebody else's checkout, in a virtual environment for one.
    if not _git(source.parent, "ls-files", source.name):
        return ""
    return _git(source.parent, "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*")


def _git(folder: Path, *arguments: str) -> str:
    """Return what a git command prints; empty where it fails or there is no git."""
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _processor_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        found = re.search(r"^model name\s*:\s*(.+)$", info.read_text(encoding="utf-8"), re.MULTILINE)
        if found:
            return found[1].strip()
    return platform.processor() or platform.machine()


def memory_at_hand() -> int | None:
    """Return the bytes of memory that processes here may use: the machine's, or less where a container has less."""
    limits = [memory_bytes()]
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):
            limits.append(int((_GROUPS / name).read_text(encoding="ascii")))
    return min((limit for limit in limits if limit is not None), default=None)


def memory_bytes() -> int | None:
    """Return the bytes of memory of this machine, None where the system does not say."""
    names = os.sysconf_names if hasattr(os, "sysconf_names") else {}
    if "SC_PHYS_PAGES" not in names or "SC_PAGE_SIZE" not in names:
        return None
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
