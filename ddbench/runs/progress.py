"""Progress of work that is called from Python: bars in a notebook, else one line where something will take long."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sized
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar

from ddbench.host.clock import Stopwatch
from ddbench.method import Resumable, Tracker, untracked

if TYPE_CHECKING:
    from ddbench.runs.dispatch import CellEvent

T = TypeVar("T")

LONG_SECONDS = 300.0  # of a loop, from which on its length is told
LOOK_SECONDS, LOOK_STEPS = 5.0, 3  # after which it is known


def tracker_of(given: Tracker, progress: bool | None, advice: str = "") -> Tracker:
    """Return what shows the progress of loops.

    Args:
        given: the caller's own; kept unless it is `untracked`.
        progress: True for bars, False for silence, None for bars in a notebook and one line about long loops elsewhere.
        advice: what that line ends with, such as what would be shorter.
    """
    if given is not untracked or progress is False:
        return given
    if shows_bars(progress):
        return with_bar

    def tell(iterable: Iterable[T], description: str, state: Resumable | None = None) -> Iterator[T]:
        return telling_length(iterable, description, advice)

    return tell


def events_with_bar(on_event: Callable[[CellEvent], None], progress: bool | None) -> Callable[[CellEvent], None]:
    """Return what is told of cells, with a bar over them where `progress` asks for one, as in `tracker_of`."""
    if not shows_bars(progress):
        return on_event
    bar = _bars()(desc="cells", unit="cell")

    def show(event: CellEvent) -> None:
        on_event(event)
        bar.total, bar.n = event.total, event.ended
        bar.set_description(event.cell.title)
        if event.ended == event.total:
            bar.close()

    return show


def shows_bars(progress: bool | None) -> bool:
    """Return whether bars are asked for: by True, or by None in a notebook."""
    return in_notebook() if progress is None else progress


def in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook."""
    shell = sys.modules.get("IPython")
    return shell is not None and type(shell.get_ipython()).__name__ == "ZMQInteractiveShell"


def with_bar(iterable: Iterable[T], description: str, state: Resumable | None = None) -> Iterator[T]:
    """Yield the items and move a bar, which disappears at the end."""
    yield from _bars()(iterable, desc=description, leave=False)


def _bars() -> Callable[..., Any]:
    """Return tqdm's bars: widgets in a notebook that can show them, else lines of text, which are written seldom."""
    if in_notebook() and find_spec("ipywidgets") is not None:
        from tqdm.notebook import tqdm as widgets

        return widgets
    from tqdm.std import tqdm

    return partial(tqdm, mininterval=0.5)


def telling_length(iterable: Iterable[T], description: str, advice: str = "") -> Iterator[T]:
    """Yield the items; where all of them will take over five minutes, warn of it once, as soon as that is seen."""
    total, watch, is_told = len(iterable) if isinstance(iterable, Sized) else 0, Stopwatch(), False
    for done, item in enumerate(iterable):
        if not is_told and done >= LOOK_STEPS and (seconds := watch.seconds) > LOOK_SECONDS:
            is_told = True
            whole = seconds / done * total
            if whole > LONG_SECONDS:
                words = f"{whole / 60:.0f} minutes" if whole < 7200 else f"{whole / 3600:.1f} hours"
                warnings.warn(f"{description}: {total:,} steps will take about {words} here{advice}", stacklevel=2)
        yield item
