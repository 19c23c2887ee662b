"""Checkpoints: the states of the loops of work that was killed, and what was spent on it so far.

Each has a folder. For each loop that hands `ctx.track` a state, the folder holds one checkpoint, written to
a temporary name and renamed; `spent.json` holds the reading of all interrupted attempts. A loop shorter than the time
between checkpoints leaves nothing on disk, or the reading alone where the results of loops are kept by what runs them.
Both say what they are of and have a digest: a damaged checkpoint, or another's, is a warning and its loop starts over.
"""

from __future__ import annotations

import json
import re
import shutil
import warnings
from collections.abc import Iterable, Iterator, Sized
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from filelock import FileLock, Timeout
from torch import Tensor

from ddbench.errors import DataMismatchError, DivergenceError
from ddbench.host.clock import Pace
from ddbench.host.files import digest_of, make_folder, write_text
from ddbench.host.kept_files import read_kept, remove, save_kept
from ddbench.host.meter import Meter
from ddbench.records import Reading

if TYPE_CHECKING:
    from ddbench.method import Resumable, Tracker

T = TypeVar("T")

CHECKPOINT_SECONDS = 120.0
UNFINISHED_FOLDER = ".unfinished"  # in the folder of kept work: checkpoints of an attempt that has not ended
SPENT_FILE = "spent.json"
LOCK_FILE = "lock"


class Checkpoints:
    """Those of one attempt: their folder, the meter that runs over it, and a tracker that keeps and restores states.

    Where two processes do the same, the first to need the folder has it and the other keeps nothing.

    Args:
        folder: where checkpoints go; made when the first is written.
        meter: measures the attempt that runs now.
        show: shows the progress of loops.
        every_seconds: time between checkpoints.
        keeps_parts: the result of a loop is on disk before the next begins, as experts are: what each loop cost is kept
            at its end, however short it was, and its checkpoint goes when the next loop begins.
    """

    def __init__(
        self,
        folder: Path,
        meter: Meter,
        show: Tracker,
        every_seconds: float = CHECKPOINT_SECONDS,
        *,
        keeps_parts: bool = False,
    ) -> None:
        self.folder = folder
        self._meter = meter
        self._show = show
        self._pace = Pace(every_seconds)
        self._keeps_parts = keeps_parts
        self._lock = FileLock(folder / LOCK_FILE, blocking=False)
        self._earlier = _read_spent(folder) if folder.is_dir() and self._owns_folder() else None

    def track(self, iterable: Iterable[T], description: str, state: Resumable | None = None) -> Iterator[T]:
        """Yield the items that are still to be done; a `Tracker`."""
        if state is None:
            yield from self._show(iterable, description)
            return
        path = self.folder / f"{_slug(description)}.safetensors"
        total = str(len(iterable)) if isinstance(iterable, Sized) else ""
        done = _restore(path, total, state) if self._lock.is_locked else 0
        if self._keeps_parts and self._lock.is_locked:
            self._drop_others(path)
        for index, item in enumerate(self._show(iterable, description)):
            if index < done:
                continue
            yield item
            if self._pace.is_due() and self._owns_folder():
                self._keep(path, state.save_state(), {"done": str(index + 1), "total": total})
        if self._lock.is_locked or (self._keeps_parts and self._owns_folder()):
            self._keep_spent()

    def total(self) -> Reading:
        """Return what all attempts took together; the meter's block must have ended."""
        return self._earlier.plus(self._meter.reading) if self._earlier else self._meter.reading

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the folder where the attempt is done or would only diverge again; else a later attempt finds it."""
        if self._lock.is_locked and (error is None or isinstance(error, DivergenceError)):
            shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.release()

    def _drop_others(self, path: Path) -> None:
        for other in self.folder.glob("*.safetensors"):
            if other != path:
                other.unlink()

    def _owns_folder(self) -> bool:
        if not self._lock.is_locked:
            make_folder(self.folder)
            with suppress(Timeout):
                self._lock.acquire()
        return self._lock.is_locked

    def _keep(self, path: Path, state: dict[str, Tensor], progress: dict[str, str]) -> None:
        save_kept(state, path, progress)
        self._keep_spent()

    def _keep_spent(self) -> None:
        now = self._meter.so_far()
        spent = self._earlier.plus(now) if self._earlier else now
        interrupted = spent.model_copy(update={"interruptions": spent.interruptions + 1})
        content = {"of": _place(self.folder), "reading": interrupted.model_dump(mode="json")}
        write_text(self.folder / SPENT_FILE, json.dumps({**content, "digest": digest_of(content)}) + "\n")


def _restore(path: Path, total: str, state: Resumable) -> int:
    """Bring `state` back from a checkpoint and return the number of items done, 0 where there is none or a damaged one.

    Raises:
        DataMismatchError: the checkpoint is whole and the work cannot go on from it, as after a change of its code.
    """
    if not path.exists():
        return 0
    try:
        tensors, progress = read_kept(path)
        done = int(progress["done"])
        if progress["total"] != total:
            raise DataMismatchError(f"{path} is of {progress['total']} steps instead of {total}")
    except (DataMismatchError, KeyError, ValueError, OSError) as error:
        warnings.warn(f"a checkpoint cannot be resumed, its loop starts over: {error}", stacklevel=3)
        remove(path)
        return 0
    try:
        state.load_state(tensors)
    except (KeyError, ValueError, RuntimeError) as error:
        raise DataMismatchError(
            f"the checkpoint {path} cannot be resumed: {' '.join(str(error).split())[:200]}; remove it to start over"
        ) from error
    return done


def _read_spent(folder: Path) -> Reading | None:
    """Return what interrupted attempts took; where that is lost, an interruption without time: so much is known."""
    path = folder / SPENT_FILE
    lost = Reading(seconds=0.0, interruptions=1)
    if not path.exists():  # killed between the first checkpoint and the first account
        return lost if any(folder.glob("*.safetensors")) else None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        digest = content.pop("digest")
        if digest == digest_of(content) and content["of"] == _place(folder):
            return Reading.model_validate(content["reading"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # not JSON, or something else
        pass
    warnings.warn(f"{path} is damaged or of other work; what was spent before the interruption is lost", stacklevel=3)
    remove(path)
    return lost


def _place(folder: Path) -> str:
    return f"{folder.parent.name}/{folder.name}"


def _slug(description: str) -> str:
    return re.sub("[^a-z0-9]+", "-", description.lower()).strip("-")
