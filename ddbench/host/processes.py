"""Processes that this one starts: they never see Ctrl+C, end when told to, and end with the process that made them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from ddbench.errors import note_signal

AGAIN_SECONDS = 0.05
LONGEST_END = 8.0  # seconds that a process which is told to end has for it; killing it loses no more than a checkpoint

_at_work: list[bool] = []  # one for each block that is


def begin_child() -> None:
    """Prepare a new process, in it: SIGTERM ends it, Ctrl+C is its maker's, whose end is its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _interrupt)
    sys.unraisablehook = _interrupt_again
    threading.Thread(target=_end_with_parent, daemon=True).start()


@contextmanager
def at_work() -> Iterator[None]:
    """Let SIGTERM interrupt what the block does; outside there is nothing to save, and the process ends in silence."""
    _at_work.append(True)
    try:
        yield
    finally:
        _at_work.pop()


@contextmanager
def ctrl_c_blocked() -> Iterator[None]:
    """Let a process that is started in the block never see Ctrl+C, which would end it with words of its own."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    if not _at_work:  # whoever runs the tasks would print what is raised
        os._exit(128 + number)
    note_signal(number)
    raise KeyboardInterrupt


def _interrupt_again(lost: sys.UnraisableHookArgs) -> None:
    """Repeat, in a moment, an interrupt that came where Python drops what is raised, such as in a finaliser."""
    if issubclass(lost.exc_type, KeyboardInterrupt):
        timer = threading.Timer(AGAIN_SECONDS, os.kill, (os.getpid(), signal.SIGTERM))
        timer.daemon = True
        timer.start()
    else:
        sys.__unraisablehook__(lost)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait(LONGEST_END)
        os.kill(os.getpid(), signal.SIGKILL)
