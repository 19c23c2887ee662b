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
from ddbench.host.processes import at_work, begin_child

begin_child()

class Final:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)

try:
    with at_work():
        del_me = Final()
        del del_me
        time.sleep(60)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""

# Tells a process of a pool to end that has done its task and waits for the next.
IDLE = """
import multiprocessing, os, signal, time
from concurrent.futures import ProcessPoolExecutor
from ddbench.host.processes import begin_child

if __name__ == "__main__":
    pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"), initializer=begin_child)
    number = pool.submit(os.getpid).result()
    time.sleep(0.5)
    process = pool._processes[number]
    process.terminate()
    process.join()
    pool.shutdown()
"""


@pytest.mark.skipif(not hasattr(signal, "SIGTERM") or os.name == "nt", reason="signals of Unix")
def test_an_interrupt_that_python_drops_comes_again_and_says_nothing():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=50)
    assert (done.stdout, done.stderr, done.returncode) == ("interrupted\n", "", 0)


# The maker of a process is killed while that begins.
ORPHAN = """
import multiprocessing, os, signal, threading, time
from concurrent.futures import ProcessPoolExecutor
from ddbench.host.processes import begin_child

def begin():
    os.kill(os.getppid(), signal.SIGKILL)
    begin_child()
    time.sleep(60)

if __name__ == "__main__":
    pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"), initializer=begin)
    pool.submit(os.getpid).result()
"""


@pytest.mark.skipif(not hasattr(signal, "SIGTERM") or os.name == "nt", reason="signals of Unix")
def test_a_process_whose_maker_is_killed_while_it_begins_ends_without_a_traceback(tmp_path):
    (tmp_path / "orphan.py").write_text(ORPHAN)
    command = [sys.executable, str(tmp_path / "orphan.py")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50)
    assert done.returncode == -signal.SIGKILL
    assert "Traceback" not in done.stderr  # Python itself has words for semaphores that nobody has closed


@pytest.mark.skipif(not hasattr(signal, "SIGTERM") or os.name == "nt", reason="signals of Unix")
def test_a_process_with_nothing_to_do_ends_without_a_word(tmp_path):
    (tmp_path / "idle.py").write_text(IDLE)
    command = [sys.executable, str(tmp_path / "idle.py")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
