"""What killed processes leave: how their temporary files and folders are named, told from living ones, and removed.

A name says which process writes it: the machine, its boot and the process. Only what is surely dead is removed: a
process of this machine and boot that has ended, or something that nobody has touched for a day.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from ddbench.host.clock import seconds_since

DAY = 24 * 3600.0
BEAT_SECONDS = 600.0  # between signs of life of a folder that is being filled
LONGEST_NAME = 120  # of a target's name as part of a temporary one: file systems end at 255 bytes
_WRITER = r"(?:(?P<host>[A-Za-z0-9_.]+)-(?P<boot>[0-9a-f]{12})-)?(?P<process>[0-9]+)(?P<old>-old)?"
_ANY = re.compile(rf"\.tmp-(?P<target>.+?)-{_WRITER}")


@cache
def this_place() -> str:
    """Return `HOST-BOOT`: the machine's name, and 12 hexadecimal digits of it, its boot and its space of processes.

    Machines that share a folder differ in it, and so do containers that share a machine; process numbers of another
    place say nothing here.
    """
    host = socket.gethostname()
    parts = [host]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
    with suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))  # noqa: PTH115 - not a path
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
    return f"{re.sub('[^A-Za-z0-9_.]+', '_', host)[:24] or 'host'}-{digest}"


def staging_path(target: Path) -> Path:
    """Return the temporary name beside `target` that this process writes to before it takes the target's place."""
    return target.with_name(f".tmp-{_short(target.name)}-{this_place()}-{os.getpid()}")


def all_leftovers(folder: Path) -> dict[str, list[Path]]:
    """Return what killed processes left in a folder, by the names of what they wrote, long ones shortened."""
    found: dict[str, list[Path]] = {}
    for path, name in _matching(folder, _ANY):
        if int(name["process"]) != os.getpid() and _is_dead(path, name, mine=True):
            found.setdefault(name["target"], []).append(path)
    return found


def leftovers(target: Path) -> list[Path]:
    """Return the temporary files and folders of `target` whose process was killed."""
    names = re.compile(rf"\.tmp-{re.escape(_short(target.name))}-{_WRITER}")
    return [path for path, name in _matching(target.parent, names) if _is_dead(path, name, mine=True)]


def remove_leftovers(target: Path) -> None:
    """Remove what killed processes left of `target`; one killed between two renames gets its old folder back."""
    for leftover in leftovers(target):
        _remove(leftover, target)


def clear_leftovers(folder: Path, spare: Callable[[Path], bool] = lambda path: False) -> list[Path]:
    """Remove what killed processes left in one folder, of whatever target, and return what went.

    Args:
        folder: of ddbench's own, such as a cache: names are judged by their form alone.
        spare: says of what is dead whether it stays nevertheless.
    """
    gone = []
    for path, name in _matching(folder, _ANY):
        if _is_dead(path, name, mine=False) and not spare(path):
            _remove(path, path.with_name(name["target"]))
            gone.append(path)
    return gone


@contextmanager
def beating(folder: Path) -> Iterator[None]:
    """Give a folder a sign of life every ten minutes while the block runs, for other machines to see."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(BEAT_SECONDS):
            with suppress(OSError):
                os.utime(folder)

    thread = threading.Thread(target=beat, name="beat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()


def _short(name: str) -> str:
    """Return a name, of a long one its beginning and a digest."""
    if len(os.fsencode(name)) <= LONGEST_NAME:
        return name
    digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:12]
    return f"{os.fsencode(name)[: LONGEST_NAME - 13].decode('utf-8', 'ignore')}.{digest}"


def _matching(folder: Path, names: re.Pattern[str]) -> list[tuple[Path, re.Match[str]]]:
    try:
        with os.scandir(folder) as entries:
            found = [(folder / entry.name, names.fullmatch(entry.name)) for entry in entries]
    except OSError:
        return []
    return [(path, name) for path, name in found if name is not None]


def _is_dead(path: Path, name: re.Match[str], *, mine: bool) -> bool:
    """Return whether nobody writes a temporary file any more; `mine` means that this process itself does not."""
    process = int(name["process"])
    here = name["host"] is None or f"{name['host']}-{name['boot']}" == this_place()
    if here and process == os.getpid():
        return mine
    if here and not is_process_alive(process):
        # Names of older versions do not say which machine they are of: of this one, unless the folder is shared.
        return name["host"] is not None or mine or _is_untouched(path)
    return not here and _is_untouched(path)


def _is_untouched(path: Path) -> bool:
    """Return whether nothing in a file or folder has changed for a day."""
    times = []
    for found in (path, *path.rglob("*")):
        with suppress(OSError):
            times.append(found.lstat().st_mtime)
    return bool(times) and seconds_since(max(times)) > DAY


def is_process_alive(process: int) -> bool:
    """Return whether a process of this place has not ended."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _remove(leftover: Path, target: Path) -> None:
    if leftover.name.endswith("-old") and not target.exists():
        with suppress(OSError):
            leftover.rename(target)
    elif leftover.is_dir() and not leftover.is_symlink():
        shutil.rmtree(leftover, ignore_errors=True)
    else:
        with suppress(OSError):
            leftover.unlink()
