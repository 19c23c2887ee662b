"""How arithmetic is carried out, compiled or eager: never part of a protocol, and the same numbers to float tolerance.

The choice follows from the declared work and the device alone, never from a timing, so that a rerun takes the same
path. It is recorded in every Result.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Generic, ParamSpec, TypeVar

import torch

from ddbench.errors import BadInputError
from ddbench.host.files import find_cache_dir
from ddbench.host.private_folder import make_private_folder
from ddbench.training_recipe import Precision

P = ParamSpec("P")
R = TypeVar("R")

# Compiling convnet-d3's forward pass takes 3 to 10 s and saves about 0.2 microseconds per pixel passed (two cores).
COMPILE_FROM_PIXELS = 100_000_000
RECOMPILE_LIMIT = 256  # torch's own limit on all compilations of one function


def compiling_pays(num_images: int, image_size: int, device: torch.device) -> bool:
    """Return whether forward passes over `num_images` in all are worth compiling; on a GPU not yet measured, so no."""
    return device.type == "cpu" and num_images * image_size**2 >= COMPILE_FROM_PIXELS


def in_precision(
    precision: Precision, device: torch.device, *, keeps_casts: bool = True
) -> AbstractContextManager[object]:
    """Return a context in which passes run in a precision: bf16 by autocast, whose outputs are bfloat16 too.

    Parameters that were cast are kept within the context, for further passes, unless `keeps_casts` is False.
    """
    if precision != "bf16":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16, cache_enabled=keeps_casts)


class Engine(Generic[P, R]):
    """A function run compiled where asked for, and eagerly, with a warning, where this machine's compiler fails.

    Attributes:
        mode: `compiled` or `eager`, as it turned out.
        was_called: whether it has been called at all.
    """

    def __init__(self, function: Callable[P, R], *, compiles: bool) -> None:
        self.mode = "compiled" if compiles else "eager"
        self._eager = function
        self._function: Callable[P, R] = torch.compile(function, dynamic=False) if compiles else function
        self._works = not compiles
        self.was_called = False
        if compiles:
            _set_up_compiler()

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function; only the first call may fall back."""
        self.was_called = True
        if self._works:
            return self._function(*args, **kwargs)
        try:
            result = self._function(*args, **kwargs)
        except _compiler_errors() as error:
            warnings.warn(f"compiling failed, running eagerly (slower): {error}".split("\n", 1)[0], stacklevel=2)
            self.mode, self._function = "eager", self._eager
            result = self._eager(*args, **kwargs)
        self._works = True
        return result


def _set_up_compiler() -> None:
    """Keep compiled code in ddbench's cache folder, believe what the processor says of itself, compile many shapes.

    torch asks the compiler anew, in every empty cache, whether each instruction set that the processor names works: 6
    to 10 s on two cores. Past its limit of recompilations torch would run a function eagerly without a word of it; the
    limit counts over a whole process, so that a cell's engine would depend on the cells before it.
    """
    if "TORCHINDUCTOR_CACHE_DIR" not in os.environ:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(_code_folder())
    import torch._inductor.config

    inductor: Any = torch._inductor.config
    if inductor.cpp.vec_isa_ok is None:
        inductor.cpp.vec_isa_ok = True
    dynamo: Any = torch._dynamo.config
    dynamo.recompile_limit = max(dynamo.recompile_limit, RECOMPILE_LIMIT)


def _code_folder() -> Path:
    """Return where torch keeps compiled code: in the cache folder, or for this process alone where others write there.

    Never torch's own place, a name in the shared temporary folder that anybody may have taken.
    """
    folder = find_cache_dir() / "inductor"
    try:
        make_private_folder(folder)
    except BadInputError as error:
        warnings.warn(f"compiled code is not kept: {error}", stacklevel=4)
        temporary = Path(tempfile.mkdtemp(prefix="ddbench-"))
        atexit.register(shutil.rmtree, temporary, ignore_errors=True)
        return temporary
    return folder


def _compiler_errors() -> tuple[type[Exception], ...]:
    exceptions: Any = torch._dynamo.exc
    return (exceptions.TorchDynamoException,)
