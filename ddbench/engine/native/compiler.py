"""C++ sources of this package, compiled by the machine's own compiler at first use and kept in the cache folder.

Beside each library stands a file with what it is of and a digest: one that does not fit is compiled again, not loaded.

For passes over memory that torch has no single operation for. One source compiles in a second or two, where torch's
compiler takes ten and more to trace and write the same.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import shlex
import shutil
import subprocess
import warnings
from functools import cache
from pathlib import Path
from threading import Lock

import torch
from filelock import FileLock

from ddbench.errors import BadInputError
from ddbench.host.cached_work import digest_of_file
from ddbench.host.files import digest_of, find_cache_dir, staged_file, write_text
from ddbench.host.private_folder import check_own_file, make_private_folder

# Nothing that reorders sums or drops NaN; -fno-math-errno lets a square root be one instruction.
OPTIONS = ("-O2", "-std=c++17", "-fno-math-errno", "-Wno-psabi", "-fPIC", "-shared", "-fopenmp")
# What the processor must know, by torch's word for it: the compiled file must not be one for another machine's.
INSTRUCTIONS = {
    "AVX2": ("-mavx2", "-mfma"),
    "AVX512": ("-mavx2", "-mfma", "-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq"),
}

_lock = Lock()


def find_compiler() -> list[str] | None:
    """Return the C++ compiler's command, `$CXX` or `c++`; None where there is none."""
    try:
        program, *options = shlex.split(os.environ.get("CXX", "")) or ["c++"]
    except ValueError:  # a quote without its other half
        return None
    found = shutil.which(program)
    return None if found is None else [found, *options]


@cache
def load_native(source: Path) -> ctypes.CDLL | None:
    """Return the functions of a C++ file, for as long as the process lives.

    Compiled by `$CXX`, else `c++`, into `native` in the cache folder, which is this user's alone. None, with a warning,
    where that fails or others may write there.
    """
    with _lock:  # a thread that comes second finds the file that the first one has made
        return _load(source)


def _load(source: Path) -> ctypes.CDLL | None:
    compiler = find_compiler()
    if compiler is None:
        _warn("there is no C++ compiler; install one, or name it by $CXX")
        return None
    command = [*compiler, *OPTIONS, *INSTRUCTIONS.get(torch.backends.cpu.get_cpu_capability(), ())]
    key = {"source": source.read_text(encoding="utf-8"), "command": command, "machine": platform.machine()}
    target = find_cache_dir() / "native" / f"{source.stem.removeprefix('_')}-{digest_of(key)}.so"
    try:
        make_private_folder(target.parent)
        check_own_file(target)
        if not _is_whole(target):
            with FileLock(target.with_suffix(".lock")):  # of several processes one compiles
                if not _is_whole(target):
                    _compile([*command, str(source)], target)
        return ctypes.CDLL(str(target))
    except subprocess.CalledProcessError as error:
        lines = [line for line in error.stderr.splitlines() if "error" in line]
        _warn(lines[0] if lines else f"{compiler[0]} ended with {error.returncode}")
    except (OSError, BadInputError, subprocess.TimeoutExpired) as error:
        _warn(str(error))
    return None


def _compile(command: list[str], target: Path) -> None:
    """Compile into `target` and put what is known of it beside it; a warning where it takes a damaged one's place."""
    if target.exists() and _digest_file(target).exists():
        warnings.warn(f"{target} is damaged or of other code; it is compiled again", stacklevel=5)
    with staged_file(target) as temporary:
        subprocess.run([*command, "-o", str(temporary)], check=True, capture_output=True, text=True, timeout=120)
    write_text(_digest_file(target), json.dumps({"of": target.name, "digest": digest_of_file(target)}) + "\n")


def _is_whole(target: Path) -> bool:
    """Return whether a library is there with the digest that stands beside it."""
    try:
        about = json.loads(_digest_file(target).read_text(encoding="utf-8"))
        return bool(about == {"of": target.name, "digest": digest_of_file(target)})
    except (OSError, ValueError):
        return False


def _digest_file(target: Path) -> Path:
    return target.with_name(f"{target.name}.json")


def _warn(reason: str) -> None:
    warnings.warn(f"compiling failed, running without (slower): {reason}".split("\n", 1)[0], stacklevel=4)
