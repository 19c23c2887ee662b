"""Blocks of networks in C++ of our own. This is the door: nobody outside the folder names a module of it.

`with_native_blocks` gives a network its native form; `native_passes` compiles the passes, or says with None that this
machine cannot; `find_compiler` looks for what compiles them.
"""

from ddbench.engine.native.block import native_passes
from ddbench.engine.native.compiler import find_compiler
from ddbench.engine.native.network import with_native_blocks

__all__ = ["find_compiler", "native_passes", "with_native_blocks"]
