"""The line that a terminal shows while torch is imported."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import time

SHOWN, ERASED = b"loading ...", b"\r\x1b[K"
COMMAND = [sys.executable, "-m", "ddbench", "list", "--classes", "digits"]


def test_a_terminal_shows_it_first_and_it_goes(tmp_path):
    here, there = pty.openpty()
    with (tmp_path / "out").open("w") as out, subprocess.Popen(COMMAND, stdout=out, stderr=there) as process:
        os.close(there)
        first, told = time.monotonic(), os.read(here, 1024)
        waited = time.monotonic() - first
        while SHOWN not in told or ERASED not in told:
            told += os.read(here, 1024)
        assert process.wait() == 0
        total = time.monotonic() - first
    os.close(here)
    assert told.startswith(SHOWN)
    assert told.rstrip().endswith(ERASED.rstrip())
    assert waited < total / 2
    assert "loading" not in (tmp_path / "out").read_text()


def test_a_pipe_and_a_file_show_none_of_it():
    done = subprocess.run(COMMAND, capture_output=True, check=True)
    assert b"loading" not in done.stderr + done.stdout
