"""Several machines, through Ray: an existing cluster (`--address`), or this machine as one, started and stopped.

The machines need no common file system: sets to use again travel with a cell, and what a cell makes travels back to the
run that writes it. Each machine needs ddbench of the same version, the data sets where the run has them, and its own
cache folder, where what cells share is prepared once.
"""

from __future__ import annotations

import os
import re
import socket
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from threading import Event, Thread
from types import ModuleType, TracebackType
from typing import Any

from ddbench.errors import BadInputError, DDBenchError
from ddbench.host.threads import threads_at_hand
from ddbench.records import Result
from ddbench.registry import RUNNERS
from ddbench.runner import Fault, Needs, Outcome, Runner, RunnerOptions, Task, Work

Files = dict[str, bytes]
CLIENT = "ray://"  # before the address of a cluster that this machine is no part of

# Tasks beyond what there is room for, which tell a cluster that grows by itself that it should.
WAITING_TASKS = 1
LOOK_SECONDS = 2.0  # between looks at the cluster
LOST_CLUSTER_SECONDS = 20.0  # without an answer of its head, after which it counts as gone
SHARE_OF_NODE = 0.95  # of a machine's memory that a cell may ask for

UV_COPIES = "RAY_ENABLE_UV_RUN_RUNTIME_ENV"  # Ray's own name of a variable, and of the constant made of it

# Ray's own 15 starves a cell beside anything else, by a factor of thirty; the runner `local` gives way to nobody.
NICENESS = {"RAY_worker_niceness": "0"}


@RUNNERS.register("ray")
class RayRunner(Runner):
    """Runs cells on a Ray cluster.

    A cell whose process or machine is lost is a fault, told apart from one that failed: the run tries it again. Cells
    are given as many processors as they have threads, or a GPU.
    """

    at_once = 1_000_000

    def __init__(self, options: RunnerOptions) -> None:
        super().__init__(options)
        if options.jobs not in (None, 1, "auto"):
            raise BadInputError("--jobs says how many cells one machine runs; a Ray cluster knows: leave it out")
        if ":" in str(options.device):
            raise BadInputError(f"{options.device} is a GPU of one machine; with --runner ray take --device cuda")
        self._ray: ModuleType = _import_ray()
        self._running: dict[Any, Task] = {}
        self._cluster: _Cluster = _Cluster(self._ray)
        self._board: Any = None
        self._remote: Any = None

    def check(self) -> None:
        """Raise BadInputError where nothing answers at the address."""
        place = (self.options.address or "").removeprefix(CLIENT)
        if ":" in place and not _answers(place):  # Ray itself would try for minutes
            raise _no_cluster(self.options.address, "nothing answers there")

    def __enter__(self) -> RayRunner:
        self.check()
        _connect(self._ray, self.options)
        self._board = self._ray.remote(num_cpus=0)(_Board).remote()
        # An error on a GPU outlasts the cell that made it: each has a process of its own there.
        on_gpu = self.options.device.type == "cuda"
        self._remote = self._ray.remote(max_calls=1)(_do) if on_gpu else self._ray.remote(_do)
        self._cluster.watch(self.options.address)
        if on_gpu and self._cluster.largest["GPU"] < self.options.devices:
            self._ray.shutdown()
            raise BadInputError(
                f"no machine of the Ray cluster has {self.options.devices} GPUs for a cell; take --device cpu"
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cluster.ended.set()
        self._running.clear()
        self._ray.shutdown()  # ends what its tasks run in; to cancel one that is just ending can crash Ray 2.x

    def has_room(self, needs: Needs) -> bool:
        """Return whether the cluster has processors or GPUs for a task that nothing has been promised."""
        name = "GPU" if needs.gpus else "CPU"
        taken = sum(task.needs.gpus if needs.gpus else task.needs.threads for task in self._running.values())
        return taken < self._cluster.resources.get(name, 0) + WAITING_TASKS

    def start(self, task: Task) -> None:
        """Send a task to the cluster."""
        remote = self._remote.options(max_retries=0, name=task.name, **self._cluster.limits_of(task.needs))
        reuse = None if task.reuse is None else _read_folder(task.reuse)
        reference = remote.remote(task.name, task.work, reuse, self._board, version("ddbench"))
        self._running[reference] = task

    def wait(self, seconds: float) -> list[Outcome]:
        """Return what has ended, and tell what the tasks report."""
        if self._cluster.is_gone:
            raise BadInputError("the Ray cluster is gone; start it and run the same command again to continue")
        if not self._running:  # what is lost is not tried again at once
            Event().wait(seconds)
            return []
        ended, _ = self._ray.wait(list(self._running), num_returns=1, timeout=seconds)
        self._pass_reports()  # what a task has said has arrived when it has ended
        return [self._outcome_of(self._running.pop(reference), reference) for reference in ended]

    def roomier(self, needs: Needs) -> Needs | None:
        """Return needs of twice the memory where a machine has as much, else None."""
        asked = 2 * (needs.memory_bytes or self._cluster.largest["memory"])
        fits = asked <= self._cluster.largest["memory"]
        return Needs(needs.threads, needs.gpus, asked) if fits else None

    def _outcome_of(self, task: Task, reference: Any) -> Outcome:  # noqa: ANN401 - Ray's own
        errors = self._ray.exceptions
        try:
            result, files = self._ray.get(reference)
        except errors.OutOfMemoryError:
            return _fault(task, "out_of_memory", "its machine had too little memory; add a larger one to the cluster")
        except errors.RayTaskError as error:
            raise _no_machine_for_cells(error) from error
        except errors.RayError as error:
            reason = f"its machine or process was lost ({type(error).__name__}); run again to try again"
            return _fault(task, "lost", reason)
        _write_folder(task.folder, files)
        return Outcome(task, result)

    def _pass_reports(self) -> None:
        with suppress(self._ray.exceptions.RayError):  # of a board whose machine is gone: nothing is shown then
            said = self._ray.get(self._board.take.remote(), timeout=LOOK_SECONDS)
            for task in self._running.values():
                if task.name in said:
                    task.report(said[task.name])


class _Cluster:
    """How large the cluster is, and whether it is there, as a thread sees it: who asks a cluster that is gone waits.

    Attributes:
        resources: of all machines together, by Ray's names.
        largest: the most that a machine has of each: processors, GPUs, bytes of memory.
        ended: set to end the thread.
    """

    def __init__(self, ray: ModuleType) -> None:
        self._ray = ray
        self.resources: dict[str, float] = {}
        self.largest: dict[str, int] = {"CPU": 0, "GPU": 0, "memory": 0}
        self._machines: list[dict[str, int]] = []  # what each has of the same
        self.ended = Event()
        self._silent_looks = 0

    @property
    def is_gone(self) -> bool:
        """Whether its head has not answered for so long."""
        return self._silent_looks * LOOK_SECONDS >= LOST_CLUSTER_SECONDS

    def watch(self, address: str | None) -> None:
        """Look at it now, and from now on every other second; a client's way to it is the address that it was given."""
        is_client = address is not None and address.startswith(CLIENT)
        address = (address or "").removeprefix(CLIENT) if is_client else self._ray.get_runtime_context().gcs_address
        self._look()
        Thread(target=self._keep_looking, args=(address,), name="ray cluster", daemon=True).start()

    def _keep_looking(self, address: str) -> None:
        while not self.ended.wait(LOOK_SECONDS):
            self._silent_looks = 0 if _answers(address) else self._silent_looks + 1
            if not self._silent_looks:
                with suppress(self._ray.exceptions.RayError):
                    self._look()

    def limits_of(self, needs: Needs) -> dict[str, int]:
        """Return what a task asks for: no more than some machine has together, or it would wait for ever.

        Memory comes before processors: with fewer of those a task takes longer, with less memory it fails.
        """
        machines = [machine for machine in self._machines if machine["GPU"] >= needs.gpus]
        limits = {"num_cpus": 0, "num_gpus": needs.gpus}
        if needs.memory_bytes is not None:
            most = max((machine["memory"] for machine in machines), default=0)
            limits["memory"] = min(needs.memory_bytes, most)
            machines = [machine for machine in machines if machine["memory"] >= limits["memory"]]
        if not needs.gpus:  # numbers follow from the threads, which are not cut, and from no place
            limits["num_cpus"] = min(needs.threads, max([1, *(machine["CPU"] for machine in machines)]))
        return limits

    def _look(self) -> None:
        self.resources = self._ray.cluster_resources()
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        shares = {"CPU": 1.0, "GPU": 1.0, "memory": SHARE_OF_NODE}
        self._machines = [
            {name: int(share * node.get(name, 0)) for name, share in shares.items()}
            for node in nodes
            if node.get("CPU") or node.get("GPU")
        ]
        for name in shares:
            self.largest[name] = max((machine[name] for machine in self._machines), default=0)


class _Board:
    """What running tasks say of themselves, until the run takes it."""

    def __init__(self) -> None:
        self._said: dict[str, dict[str, Any]] = {}

    def put(self, name: str, said: Mapping[str, Any]) -> None:
        self._said.setdefault(name, {}).update(said)

    def take(self) -> dict[str, dict[str, Any]]:
        said, self._said = self._said, {}
        return said


def _do(name: str, work: Work, reuse: Files | None, board: Any, of_version: str) -> tuple[Result, Files]:  # noqa: ANN401
    """Do a task on a machine of the cluster, and return its result with the files that it has made."""
    if version("ddbench") != of_version:
        raise BadInputError(
            f"{socket.gethostname()} has ddbench {version('ddbench')}, the run {of_version}; install the same on both"
        )

    ray = _import_ray()
    last: list[Any] = []

    def report(said: Mapping[str, Any]) -> None:
        last[:] = [board.put.remote(name, dict(said))]

    with tempfile.TemporaryDirectory(prefix="ddbench-ray-") as scratch:
        folder, given = Path(scratch) / "cell", Path(scratch) / "given"
        _write_folder(folder, {})
        _write_folder(given, reuse or {})
        result = work(folder, None if reuse is None else given, report)
        with suppress(ray.exceptions.RayError):  # of a board that is gone
            ray.get(last, timeout=LOOK_SECONDS)
        return result, _read_folder(folder)


def _connect(ray: ModuleType, options: RunnerOptions) -> None:
    """Connect to the cluster, or start this machine as one; raises BadInputError where there is none."""
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # what Ray warns that it will do anyway
    if options.address is None:
        for name, value in NICENESS.items():
            os.environ.setdefault(name, value)
        # Not without an address: Ray would connect to a cluster that it finds running on this machine.
        ray.init(address="local", num_cpus=threads_at_hand(), include_dashboard=False, **quiet)
        return
    try:
        ray.init(address=options.address, **quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise _no_cluster(options.address, error) from error


def _no_cluster(address: str | None, reason: object) -> BadInputError:
    advice = "start one with `ray start --head`, or leave --address out"
    return BadInputError(f"no Ray cluster at {address} ({reason}); {advice}")


def _no_machine_for_cells(error: Any) -> DDBenchError:  # noqa: ANN401 - Ray's own
    """Return what a machine says that could not run a task, or what is wrong with it."""
    if isinstance(error.cause, DDBenchError):
        return error.cause
    reason, place = str(error.cause).partition("\n")[0], re.search(r"ip=([0-9a-f.:]+)", str(error))
    return BadInputError(
        f"{place[1] if place else 'a machine'} of the Ray cluster cannot run cells: {reason}; it needs ddbench "
        f"{version('ddbench')}, the packages of this machine and room for temporary files"
    )


def _import_ray() -> ModuleType:
    """Return Ray, told not to copy what `uv run` runs in.

    Else, where the run was started by `uv run`, it would send the working folder to every machine, and its workers
    would install and import what they find there in place of what is installed.
    """
    is_wanted = os.environ.setdefault(UV_COPIES, "0") not in ("0", "false", "False")
    try:
        import ray
        from ray._private import ray_constants
    except ImportError as error:
        raise BadInputError("the runner ray needs Ray: pip install 'ddbench[ray]'") from error
    setattr(ray_constants, UV_COPIES, is_wanted)  # read when Ray is imported, which may have been before
    return ray


def _answers(address: str) -> bool:
    """Return whether the head of a cluster takes connections."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=LOOK_SECONDS):
            return True
    except (OSError, ValueError):
        return False


def _read_folder(folder: Path) -> Files:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def _write_folder(folder: Path, files: Files) -> None:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _fault(task: Task, fault: Fault, reason: str) -> Outcome:
    return Outcome(task, None, fault, reason)
