"""Processes that this one starts: an interrupt ends them wherever it comes, and so does the end of their maker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

# Is told to end inside a finaliser, where Python drops what is raised; waits for the end, a minute at the most.
PROGRAM = """
import os, signal, sys, time
from ddbench.host.processes import begin_child

begin_child()

class Final:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)

try:
    del_me = Final()
    del del_me
    time.sleep(60)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGTERM") or os.name == "nt", reason="signals of Unix")
def test_an_interrupt_that_python_drops_comes_again_and_says_nothing():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=50)
    assert (done.stdout, done.stderr, done.returncode) == ("interrupted\n", "", 0)
