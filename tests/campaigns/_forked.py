"""The command line in processes that are forked from one that has imported everything: a tenth of a second each.

`python -m tests.campaigns._forked` is that process. It reads a request a line and answers with the child's number,
then with how it ended.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
CAPSET = {"x86_64": 126, "aarch64": 91}
POINTS = ("mkdir", "rename", "replace", "fsync", "unlink", "rmdir", "utime")
USED = (  # none of those that load large libraries and are not called
    *(
        "cli.main",
        "cli.progress",
        "claims",
        "claims.recording",
        "forecast.suite_forecast",
        "report.page",
        "report.plots",
    ),
    *("tables.comparison_table", "runs.suite_runner", "evaluators.accuracy", "evaluators.wall_clock"),
    *("evaluators.peak_memory", "methods.random_real", "methods.dm", "methods.mtt", "datasets.digits"),
    *("networks.convnet", "protocols.quick"),
)
DEAF = ("<closed>", "<pipe>")  # a stream that is closed, and a pipe whose reader has gone


@dataclass
class Call:
    """A call of the command line and where it takes place.

    Attributes:
        arguments: of `ddbench`.
        folder: the working folder.
        stdout, stderr: paths, or one of `DEAF`.
        environment: variables that differ.
        encoding: of both streams.
        file_bytes: a limit on the size of files; None for none.
        is_root_of_all: False for a process that permissions bind, whoever runs the tests.
        small_disk: a folder on which a file system of 64 KiB is mounted, filled but for `free_bytes`, for the call
            alone; what it leaves there is then copied to a folder of that name with `.seen`.
        free_bytes: of the small disk; -1 for one that is read-only.
        dies_at: `rename:3` kills the process before the third `os.rename`, `rename+3` after it; `count` only writes how
            often each of `POINTS` is passed to `points.json`; empty for none.
        dies_by: signal of that.
        keeps_every_state: checkpoints are written at every step of a loop.
        seconds: after which it is killed as hanging.
    """

    arguments: list[str]
    folder: str
    stdout: str
    stderr: str
    environment: dict[str, str] = field(default_factory=dict)
    encoding: str = "utf-8"
    file_bytes: int | None = None
    is_root_of_all: bool = True
    small_disk: str = ""
    free_bytes: int = 0
    dies_at: str = ""
    dies_by: int = signal.SIGKILL
    keeps_every_state: bool = False
    seconds: float = 120


class Forks:
    """The client: starts the process that forks, and asks it for calls."""

    def __enter__(self) -> Forks:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self._server = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tests.campaigns._forked"],
            cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._server.stdout.readline() == "ready\n"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stdin.close()
        self._server.wait(30)
        self._server.stdout.close()

    def start(self, call: Call) -> int:
        """Begin a call and return its process."""
        self._server.stdin.write(json.dumps(asdict(call)) + "\n")
        self._server.stdin.flush()
        return int(self._server.stdout.readline())

    def end(self) -> int | None:
        """Wait for the call that was begun and return its exit code, negative for a signal, None where it hung."""
        return json.loads(self._server.stdout.readline())

    def run(self, call: Call) -> int | None:
        """Begin a call and wait for it."""
        self.start(call)
        return self.end()


def _serve() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    _import_all()
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        call = Call(**json.loads(line))
        process = os.fork()
        if process == 0:
            _be(call)
        print(process, file=answers, flush=True)
        print(json.dumps(_wait(process, call.seconds)), file=answers, flush=True)


def _import_all() -> None:
    """Import what commands import when they run, and take the first steps that load more."""
    from importlib import import_module

    import torch

    for name in USED:
        import_module(f"ddbench.{name}")
    parameter = torch.zeros(1, requires_grad=True)
    torch.optim.SGD([parameter], lr=0.0).step()
    import_module("matplotlib.backends.backend_svg")
    import_module("matplotlib.backends.backend_pdf")
    torch.set_num_threads(1)


def _wait(process: int, seconds: float) -> int | None:
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.003)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return None


def _be(call: Call) -> None:
    """Become a process of the command line, and end."""
    code, points = 70, {}
    try:
        points = _move_to(call)
        sys.argv = ["ddbench", *call.arguments]
        from ddbench.cli.main import main

        code = main()
        if sys.stderr is not None:
            sys.stderr.flush()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 1
    finally:
        if points:
            Path("points.json").write_text(json.dumps({name: calls[0] for name, calls in points.items()}))
        if call.small_disk:
            shutil.copytree(call.small_disk, f"{call.small_disk}.seen", symlinks=True)
        os._exit(code)


def _move_to(call: Call) -> dict[str, list[int]]:
    """Go to the place of a call; returns counts of what the process does, where they are asked for."""
    sys.stdin.close()
    _set_streams(call)
    os.chdir(call.folder)
    os.environ.update(call.environment)
    if call.small_disk:
        _mount(Path(call.small_disk), call.free_bytes)
    if not call.is_root_of_all:
        _drop_capabilities()
    if call.file_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (call.file_bytes, resource.RLIM_INFINITY))
    for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        signal.signal(number, usual)  # a shell that runs this in the background has them ignored
    if call.keeps_every_state:
        _keep_every_state()
    if call.dies_at == "count":
        return _count_points()
    if call.dies_at:
        _die_at(call.dies_at, call.dies_by)
    return {}


def _set_streams(call: Call) -> None:
    for number, name, place in ((1, "stdout", call.stdout), (2, "stderr", call.stderr)):
        if place == "<closed>":
            os.close(number)
            setattr(sys, name, None)
            continue
        if place == "<pipe>":
            read, write = os.pipe()
            os.close(read)
        else:
            write = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(write, number)
        os.close(write)
        stream = open(number, "w", encoding=call.encoding, buffering=1 if number == 2 else -1, closefd=False)  # noqa: SIM115
        setattr(sys, name, stream)


def can_mount() -> bool:
    """Return whether a process here may have file systems of its own."""
    process = os.fork()
    if process == 0:
        os._exit(0 if ctypes.CDLL(None).unshare(0x20000) == 0 else 1)
    return os.waitpid(process, 0)[1] == 0


def _mount(folder: Path, free_bytes: int) -> None:
    """Mount a small file system for this process alone, with what lay in the folder, and fill or close it."""
    libc = ctypes.CDLL(None, use_errno=True)
    kept = folder.with_name(f"{folder.name}.kept")
    shutil.copytree(folder, kept, symlinks=True)
    assert libc.unshare(0x20000) == 0  # CLONE_NEWNS
    assert libc.mount(b"none", b"/", None, 0x44000, None) == 0  # MS_REC | MS_PRIVATE
    assert libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", 0, b"size=4m") == 0
    shutil.copytree(kept, folder, symlinks=True, dirs_exist_ok=True)
    if free_bytes < 0:
        assert libc.mount(b"none", os.fsencode(folder), None, 0x21, None) == 0  # MS_REMOUNT | MS_RDONLY
        return
    disk = os.statvfs(folder)
    (folder / "filler").write_bytes(bytes(max(0, disk.f_bavail * disk.f_frsize - free_bytes)))


def _drop_capabilities() -> None:
    """Give up what lets root pass over permissions."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    data = (ctypes.c_uint32 * 6)()
    assert ctypes.CDLL(None).syscall(CAPSET[os.uname().machine], header, data) == 0


def _die_at(point: str, number: int) -> None:
    """Kill this process just before or just after it does something for the n-th time."""
    after = "+" in point
    name, _, count = point.partition("+" if after else ":")
    _watch(name, lambda calls: calls == int(count) and not after, lambda calls: calls == int(count) and after, number)


def _watch(name: str, before: Callable[[int], bool], after: Callable[[int], bool], number: int) -> list[int]:
    plain, calls = getattr(os, name), [0]

    def counted(*args: object, **options: object) -> object:
        calls[0] += 1
        now = calls[0]
        if before(now):
            os.kill(os.getpid(), number)
        result = plain(*args, **options)
        if after(now):
            os.kill(os.getpid(), number)
        return result

    setattr(os, name, counted)
    return calls


def _count_points() -> dict[str, list[int]]:
    return {name: _watch(name, lambda calls: False, lambda calls: False, 0) for name in POINTS}


def _keep_every_state() -> None:

    from ddbench.runs import distill

    plain = distill.RunOptions.__init__
    distill.RunOptions.__init__ = lambda *args, **options: plain(*args, **{"checkpoint_seconds": 0.0, **options})


if __name__ == "__main__":
    _serve()
