"""Tests of the allocator's setting: freed memory stays while the block runs, and goes back at its end."""

import json
import subprocess
import sys

import pytest
import torch

from ddbench.host import allocator
from ddbench.host.allocator import KEPT, USUAL, keeping_freed_memory

MEBIBYTES = 48  # of a tensor: larger than what glibc ever keeps by itself
PROGRAM = f"""
import json
from pathlib import Path
import torch
from ddbench.host.allocator import keeping_freed_memory

def resident_mebibytes():
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024

def use_and_free():
    torch.ones({MEBIBYTES}, 2**20, dtype=torch.uint8)

use_and_free()
levels = [resident_mebibytes()]
with keeping_freed_memory():
    with keeping_freed_memory():
        use_and_free()
    levels.append(resident_mebibytes())
levels.append(resident_mebibytes())
print(json.dumps(levels))
"""


@pytest.mark.slow
@pytest.mark.skipif(allocator._glibc() is None, reason="only glibc's allocator is told")
def test_freed_memory_stays_until_the_outermost_block_ends():
    # In a process of its own: where other tests have left free memory the tensor takes that, and no level moves.
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    before, within, after = json.loads(done.stdout)
    assert within > before + MEBIBYTES / 2
    assert after < before + MEBIBYTES / 2


class Recorded:
    """Stands for the C library and keeps what it was told."""

    def __init__(self):
        self.told = []

    def mallopt(self, number, size):
        self.told.append((number, size))

    def malloc_trim(self, pad):
        self.told.append("trim")


def test_only_the_outermost_block_tells_the_library_and_an_error_still_ends_it(monkeypatch):
    library = Recorded()
    monkeypatch.setattr(allocator, "_glibc", lambda: library)

    def fail():
        with keeping_freed_memory():
            with keeping_freed_memory():
                pass
            assert library.told == list(KEPT.items())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert library.told == [*KEPT.items(), *USUAL.items(), "trim"]


def test_without_glibc_nothing_happens(monkeypatch):
    monkeypatch.setattr(allocator, "_glibc", lambda: None)
    with keeping_freed_memory():
        torch.ones(2)
