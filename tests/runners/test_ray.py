"""A real Ray cluster on this machine, a head and two workers in processes of their own, killed in the middle."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from ddbench.errors import BadInputError
from ddbench.runner import Needs, RunnerOptions, Task, make_runner
from ddbench.runners.ray import NICENESS, UV_COPIES, RayRunner, _Cluster
from ddbench.runs.results_store import read_results
from ddbench.runs.suite import load_suite
from ddbench.runs.suite_runner import run_suite
from tests.runs.test_suite_runner import SELECTS, write_suite

pytestmark = pytest.mark.usefixtures("own_cache")
pytest.importorskip("ray")
CPU = torch.device("cpu")
FIELDS_OF_PLACE = {"phases", "machine", "started_at", "digest", "metrics"}
OF_TIME = ("seconds", "bytes")


class Cluster:
    """A head without processors and workers of one each, started by Ray's own command, killed at the end."""

    def __init__(self, folder: Path, workers: int) -> None:
        from ray.cluster_utils import Cluster as Nodes

        self.folder = folder
        self.nodes = Nodes(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        self.address = self.nodes.address
        self.workers = [self.add_worker() for _ in range(workers)]

    def add_worker(self):
        """A worker with a cache folder of its own, as another machine has it."""
        cache = self.folder / f"cache-{len(list(self.folder.glob('cache-*')))}"
        cache.mkdir()
        return self.nodes.add_node(num_cpus=1, env_vars={"DDBENCH_CACHE_DIR": str(cache), **NICENESS})

    def kill(self, worker) -> None:
        """Kill all processes of a worker's machine, as a power cut does."""
        for kind in worker.all_processes.values():
            for info in kind:
                info.process.kill()

    def close(self) -> None:
        self.nodes.shutdown()


@pytest.fixture
def cluster(tmp_path):
    made = Cluster(tmp_path, 2)
    yield made
    made.close()


def contents(results):
    """All that is to be equal wherever a cell ran."""
    found = {}
    for result in results:
        kept = result.model_dump(exclude=FIELDS_OF_PLACE)
        kept["metrics"] = [m.model_dump() for m in result.metrics if not m.name.endswith(OF_TIME)]
        found[result.key] = kept
    return found


def sets(root, results):
    """The bytes of all distilled sets."""
    return {r.key: (root / r.key / "distilled" / "distilled.safetensors").read_bytes() for r in results}


def forty_cells(path):
    return write_suite(path, methods=["random_real", SELECTS], distill_seeds=10, ipc=[1, 2], networks=["mlp-w4"])


@pytest.mark.long
def test_forty_cells_give_the_same_bytes_on_a_cluster_and_one_whose_machine_is_killed_is_done_again(tmp_path, cluster):
    suite = forty_cells(tmp_path / "s.yaml")
    alone = run_suite(suite, tmp_path / "alone")
    events = []

    def see(event):
        events.append(event)
        if sum(seen.result is not None for seen in events) == 10 and event.result is not None:
            cluster.kill(cluster.workers[0])

    runner = make_runner("ray", RunnerOptions(CPU, None, cluster.address))
    together = run_suite(suite, tmp_path / "r", None, see, runner=runner)
    assert len(together) == 40
    assert contents(together) == contents(alone)
    assert sets(tmp_path / "r", together) == sets(tmp_path / "alone", alone)
    ended = Counter(event.cell.key for event in events if event.result is not None)
    assert ended == Counter(dict.fromkeys((result.key for result in alone), 1))
    assert {result.key for result in read_results([tmp_path / "r"])} == set(ended)


def start_run(suite, root, address):
    command = [sys.executable, "-m", "ddbench", "run", str(suite), "--results", str(root), "--runner", "ray"]
    return subprocess.Popen([*command, "--address", address], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def wait_for(root, count):
    deadline = time.monotonic() + 200
    while len(list(root.glob("[!.]*/result.json"))) < count:
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.long
def test_a_run_that_is_killed_goes_on_and_without_its_cluster_it_says_so_in_one_line(tmp_path, cluster):
    suite, root = forty_cells(tmp_path / "s.yaml"), tmp_path / "r"
    run = start_run(suite, root, cluster.address)
    wait_for(root, 5)
    run.kill()
    run.communicate()
    kept = {path.parent.name: path.stat().st_mtime_ns for path in root.glob("[!.]*/result.json")}
    assert len(kept) < 30
    longer = write_suite(tmp_path / "longer.yaml", distill_seeds=40, networks=["convnet-d1-w8"], students=20)
    run = start_run(longer, root, cluster.address)
    wait_for(root, len(kept) + 2)
    cluster.nodes.head_node.kill_gcs_server(check_alive=False)
    _, said = run.communicate(timeout=200)
    assert run.returncode == 2, said
    assert said.strip().splitlines()[-1] == (
        "ddbench: the Ray cluster is gone; start it and run the same command again to continue"
    )
    assert "Traceback" not in said
    done = run_suite(suite, root)
    assert {result.status for result in done} == {"ok"}
    assert len(done) == 40
    assert {key: (root / key / "result.json").stat().st_mtime_ns for key in kept} == kept


@pytest.mark.slow
@pytest.mark.parametrize("students", [1, 2000], ids=["cells that are just ending", "cells of minutes"])
def test_interrupted_it_leaves_nothing_running(tmp_path, cluster, students):
    suite = write_suite(tmp_path / "s.yaml", distill_seeds=40, students=students, networks=["mlp-w4"])
    root = tmp_path / "r"
    run = start_run(suite, root, cluster.address)
    if students == 1:
        wait_for(root, 3)
    else:
        wait_until(lambda: running_tasks(suite))
    run.send_signal(signal.SIGINT)
    _, said = run.communicate(timeout=200)
    assert run.returncode == 130, said
    assert said.strip().splitlines()[-1] == "ddbench: interrupted; rerun the same command to continue"
    assert not list(root.glob(".running/*"))
    wait_until(lambda: not running_tasks(suite))


def wait_until(met):
    deadline = time.monotonic() + 200
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def running_tasks(suite):
    """The titles of Ray's processes that do a cell of a suite."""
    keys = {cell.key for cell in load_suite(suite).cells()}
    titles = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            titles.append((process / "cmdline").read_bytes().decode(errors="replace"))
    return [title for title in titles if title.startswith("ray::") and any(key in title for key in keys)]


def cluster_of(*machines):
    """What a run knows of a cluster of such machines."""
    nodes = [{"Alive": True, "Resources": machine} for machine in machines]
    found = _Cluster(SimpleNamespace(nodes=lambda: nodes, cluster_resources=dict))
    found._look()
    return found


@pytest.mark.parametrize(
    ("needs", "asked"),
    [
        (Needs(2), {"num_cpus": 2, "num_gpus": 0}),
        (Needs(64), {"num_cpus": 8, "num_gpus": 0}),
        (Needs(4, 0, 90), {"num_cpus": 4, "num_gpus": 0, "memory": 90}),
        (Needs(4, 0, 100), {"num_cpus": 2, "num_gpus": 0, "memory": 100}),
        (Needs(4, 0, 5000), {"num_cpus": 2, "num_gpus": 0, "memory": 950}),
        (Needs(1, 1), {"num_cpus": 0, "num_gpus": 1}),
        (Needs(1, 1, 100), {"num_cpus": 0, "num_gpus": 1, "memory": 47}),
    ],
)
def test_a_task_asks_for_no_more_than_one_machine_has(needs, asked):
    large = {"CPU": 2, "memory": 1000}
    many = {"CPU": 8, "memory": 100}
    with_gpu = {"CPU": 1, "GPU": 1, "memory": 50}
    assert cluster_of(large, many, with_gpu).limits_of(needs) == asked
    assert cluster_of().limits_of(Needs(4, 0, 100)) == {"num_cpus": 1, "num_gpus": 0, "memory": 0}


@pytest.mark.slow
def test_with_nothing_running_it_waits_and_does_not_spin():
    runner = RayRunner(RunnerOptions(CPU))
    began = time.perf_counter()
    assert runner.wait(0.3) == []
    assert time.perf_counter() - began > 0.25


@pytest.mark.slow
def test_no_cluster_is_one_line():
    with pytest.raises(BadInputError, match=r"no Ray cluster at 127\.0\.0\.1:9"):
        make_runner("ray", RunnerOptions(CPU, None, "127.0.0.1:9")).__enter__()


class NotThere:
    """Work of a module that the other machine has not, such as one of another version of ddbench."""

    def __reduce__(self):
        return __import__, ("no_such_module",)


def full(folder, reuse, report):
    raise OSError(errno.ENOSPC, "No space left on device", str(folder))


def mistaken(folder, reuse, report):
    raise BadInputError("what the machine says itself")


@pytest.mark.slow
def test_a_machine_that_cannot_run_a_task_is_one_line(tmp_path):
    said = []
    with make_runner("ray", RunnerOptions(CPU)) as runner:
        for work in (NotThere(), full, mistaken):
            runner.start(Task("one", work, Needs(), tmp_path, None, print))
            with pytest.raises(BadInputError) as told:
                wait_until(lambda: runner.wait(1))
            said.append(str(told.value))
    for line, reason in zip(said, ("No module named 'no_such_module'", "No space left on device"), strict=False):
        assert re.fullmatch(rf"[0-9.]+ of the Ray cluster cannot run cells: .*{reason}.*; it needs ddbench .*", line)
    assert said[2] == "what the machine says itself"


def test_what_uv_runs_in_is_not_copied(monkeypatch):
    """Else a run started by `uv run`, as these tests are, sends its working folder to every machine."""
    constants = pytest.importorskip("ray._private.ray_constants")
    monkeypatch.delenv(UV_COPIES, raising=False)
    monkeypatch.setattr(constants, UV_COPIES, True)
    make_runner("ray", RunnerOptions(CPU))
    assert getattr(constants, UV_COPIES) is False


@pytest.mark.slow
def test_a_cluster_that_runs_here_already_is_left_alone(tmp_path, cluster, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    suite = write_suite(tmp_path / "s.yaml")
    results = run_suite(suite, tmp_path / "r", runner=make_runner("ray", RunnerOptions(CPU)))
    assert {result.status for result in results} == {"ok"}


@pytest.mark.slow
def test_jobs_are_of_one_machine():
    with pytest.raises(BadInputError, match="--jobs says how many cells one machine runs"):
        make_runner("ray", RunnerOptions(CPU, 3))


@pytest.mark.slow
def test_on_one_machine_it_starts_and_stops_a_ray_of_its_own(tmp_path):
    suite = write_suite(tmp_path / "s.yaml", distill_seeds=3)
    alone = run_suite(suite, tmp_path / "alone")
    here = run_suite(suite, tmp_path / "r", runner=make_runner("ray", RunnerOptions(CPU)))
    assert contents(here) == contents(alone)
    assert load_suite(suite).name == "small"
    assert not [path for path in Path("/proc").iterdir() if path.name.isdigit() and _is_raylet_of(path, os.getpid())]


def _is_raylet_of(process, parent):
    try:
        words, status = (process / "cmdline").read_bytes(), (process / "status").read_text()
    except OSError:
        return False
    return b"raylet" in words and f"PPid:\t{parent}\n" in status
