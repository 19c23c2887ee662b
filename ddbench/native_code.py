"""C++ sources of this package, compiled by the machine's own compiler at first use and kept in the cache folder.

For passes over memory that torch has no single operation for. One source compiles in about a second, where torch's
compiler takes ten and more to trace and write the same.
"""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import subprocess
import warnings
from contextlib import suppress
from functools import cache
from pathlib import Path

import torch

from ddbench.errors import BadInputError
from ddbench.files import digest_of, find_cache_dir, make_folder, staged_file

# No header of torch and no exception: -fno-math-errno alone departs from the language's rules for numbers.
OPTIONS = ("-O2", "-std=c++17", "-fno-math-errno", "-fPIC", "-shared", "-fopenmp")
# What the processor must know, by torch's word for it: the compiled file must not be one for another machine's.
INSTRUCTIONS = {
    "AVX2": ("-mavx2", "-mfma"),
    "AVX512": ("-mavx2", "-mfma", "-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq"),
}


@cache
def load_native(source: Path) -> ctypes.CDLL | None:
    """Return the functions of a C++ file, for as long as the process lives.

    Compiled by `$CXX`, else `c++`, into `native` in the cache folder. None, with a warning, where that fails.
    """
    compiler = os.environ.get("CXX") or "c++"
    options = (*OPTIONS, *INSTRUCTIONS.get(torch.backends.cpu.get_cpu_capability(), ()))
    found = shutil.which(compiler)
    if found is None:
        _warn(f"there is no C++ compiler {compiler!r}")
        return None
    key = {"source": source.read_text(encoding="utf-8"), "command": [found, *options], "machine": platform.machine()}
    target = find_cache_dir() / "native" / f"{source.stem.removeprefix('_')}-{digest_of(key)}.so"
    try:
        with suppress(OSError):  # not there yet, or damaged
            return ctypes.CDLL(str(target))
        make_folder(target.parent)
        with staged_file(target) as temporary:
            command = [found, *options, str(source), "-o", str(temporary)]
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
        return ctypes.CDLL(str(target))
    except subprocess.CalledProcessError as error:
        _warn(next(iter(error.stderr.splitlines()), "the compiler failed"))
    except (OSError, BadInputError, subprocess.TimeoutExpired) as error:
        _warn(str(error))
    return None


def _warn(reason: str) -> None:
    warnings.warn(f"compiling failed, running without (slower): {reason}".split("\n", 1)[0], stacklevel=3)
