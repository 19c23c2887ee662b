"""Signals that end a run, Ctrl+C's, SIGTERM and SIGHUP: what it has made is kept, its half-written folders go."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from ddbench.errors import forget_signals, note_signal

LONGEST_END = 10.0  # seconds; then the process is killed, which loses nothing either
SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


class EndedBySignal(KeyboardInterrupt):
    """The program was told to end.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number

    @property
    def name(self) -> str:
        """Such as `SIGTERM`."""
        return signal.Signals(self.number).name


@contextmanager
def signals_end_the_run() -> Iterator[list[int]]:
    """Raise EndedBySignal in the main thread where SIGTERM or SIGHUP arrives while the block runs.

    Yields the numbers of those that have arrived, because libraries turn every KeyboardInterrupt into something else;
    `ddbench.errors.check_not_told_to_end` knows of them and of Ctrl+C. A signal that is ignored stays so: that is what
    `nohup` does.
    """
    arrived: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield arrived
        return

    last = threading.Timer(LONGEST_END, os.kill, (os.getpid(), signal.SIGTERM))
    last.daemon = True

    def end(number: int, frame: FrameType | None) -> NoReturn:
        arrived.append(number)
        note_signal(number)
        for other in SIGNALS:
            # A closed terminal may say so twice; somebody who asks twice for an end means it.
            signal.signal(other, signal.SIG_DFL if other == signal.SIGTERM else signal.SIG_IGN)
        last.start()
        raise EndedBySignal(number)

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        note_signal(number)
        raise KeyboardInterrupt

    is_interrupted_by_python = signal.getsignal(signal.SIGINT) == signal.default_int_handler
    if is_interrupted_by_python:
        signal.signal(signal.SIGINT, interrupt)
    ours = [number for number in SIGNALS if signal.getsignal(number) == signal.SIG_DFL]
    for number in ours:
        signal.signal(number, end)
    try:
        yield arrived
    finally:
        last.cancel()
        forget_signals()
        if is_interrupted_by_python:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def end_like(number: int) -> None:
    """End this process as a signal does, so that whoever waits for it sees which one."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
