"""Cells on this machine: side by side they give what they give alone, and each worker has what is its own."""

from __future__ import annotations

import os
import signal
import time
from threading import Timer

import pytest
import torch

from ddbench.errors import BadInputError
from ddbench.runner import Needs, RunnerOptions, Task, make_runner
from ddbench.runners import local
from ddbench.runners.local import LocalRunner
from ddbench.runs.cell import unfinished_result
from ddbench.runs.distill import RunOptions
from ddbench.runs.suite import Cell
from ddbench.runs.suite_runner import run_suite
from tests.runs.test_suite_runner import SELECTS, write_suite

CPU = torch.device("cpu")
pytestmark = pytest.mark.usefixtures("own_cache")
CELL = Cell(
    method="m",
    config={},
    dataset="digits",
    ipc=1,
    network="n",
    protocol="p",
    protocol_hash="",
    distill_seed=0,
    eval_seed=0,
    students=1,
)
DM = {"name": "dm", "settings": {"network": "convnet-d1-w8", "steps": 3}}


def metrics(results):
    """What results say, times and memory aside."""
    return [[m for m in r.metrics if m.unit not in ("seconds", "bytes", "s", "B")] for r in results]


@pytest.mark.slow
def test_cells_side_by_side_give_the_bits_they_give_alone(tmp_path):
    suite = write_suite(tmp_path / "s.yaml", methods=["random_real", DM, SELECTS], networks=["convnet-d1-w8", "mlp-w4"])
    alone = run_suite(suite, tmp_path / "alone")
    events = []
    with_jobs = make_runner("local", RunnerOptions(CPU, 3))
    together = run_suite(suite, tmp_path / "together", None, events.append, runner=with_jobs)
    assert {result.status for result in together} == {"ok"}
    assert metrics(together) == metrics(alone)
    assert [r.engine for r in together] == [r.engine for r in alone]
    assert [event.ended for event in events if event.result] == list(range(1, len(alone) + 1))
    begun = [event.index for event in events if event.result is None]
    assert sorted(begun) == list(range(len(alone)))
    began_beside = max(
        sum(e.result is None for e in events[:n]) - sum(e.result is not None for e in events[:n])
        for n in range(len(events))
    )
    assert began_beside > 1
    for one, other in zip(alone, together, strict=True):
        for name in ("distilled.safetensors",):
            folders = [tmp_path / where / r.key / "distilled" for where, r in (("alone", one), ("together", other))]
            assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()


@pytest.mark.slow
def test_a_preparation_that_cells_share_is_made_once(tmp_path, own_cache):
    suite = write_suite(tmp_path / "s.yaml", methods=[SELECTS], ipc=[1, 2, 3], distill_seeds=1)
    results = run_suite(suite, tmp_path / "r", runner=make_runner("local", RunnerOptions(CPU, 3)))
    assert sorted(result.phase("prepare").cached for result in results) == [False, True, True]


def test_one_job_on_a_processor_is_done_in_this_process(tmp_path):
    runner = make_runner("local", RunnerOptions(CPU))
    assert runner.here
    assert runner.at_once == 1
    with runner:
        assert runner.has_room(Needs(64))
        runner.start(Task("one", lambda folder, reuse, report: os.getpid(), Needs(), tmp_path, None, print))
        assert not runner.has_room(Needs())
        assert runner.wait(0)[0].result == os.getpid()


def test_auto_fills_the_threads_and_the_memory_and_never_waits_with_nothing_running(monkeypatch):
    monkeypatch.setattr(local, "threads_at_hand", lambda: 4)
    monkeypatch.setattr(local, "memory_at_hand", lambda: 1000)
    runner = LocalRunner(RunnerOptions(CPU, "auto"))
    assert not runner.here
    assert runner.has_room(Needs(8, 0, 5000))

    def run(*needs):
        runner._working = {index: Task("", None, need, None, None, None) for index, need in enumerate(needs)}

    run(Needs(2), Needs(1))
    assert runner.has_room(Needs(1))
    assert not runner.has_room(Needs(2))
    run(Needs(1, 0, 500))
    assert runner.has_room(Needs(1, 0, 300))
    assert not runner.has_room(Needs(1, 0, 301))
    runner._working = {}
    four = LocalRunner(RunnerOptions(CPU, 4))
    four._working = {index: Task("", None, Needs(4), None, None, None) for index in range(3)}
    assert four.has_room(Needs(4))
    four._working = {}


@pytest.mark.parametrize(
    ("visible", "index", "jobs", "devices", "gpus"),
    [
        (None, None, "auto", 1, ["0", "1", "2"]),
        ("4,GPU-abc", None, "auto", 1, ["4", "GPU-abc"]),
        ("4,5,6", 1, 1, 1, ["5"]),
        ("4,5,6", None, "auto", 2, ["4,5"]),
        ("4,5,6", 1, 1, 2, ["5,6"]),
    ],
)
def test_each_worker_sees_its_own_gpus_of_those_that_cells_may_have(visible, index, jobs, devices, gpus, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    runner = LocalRunner(RunnerOptions(torch.device("cuda", index), jobs, devices=devices))
    assert runner._gpus == gpus
    assert not runner.here
    with pytest.raises(BadInputError, match=f"at most {len(gpus)}, as the GPUs allow"):
        LocalRunner(RunnerOptions(torch.device("cuda", index), 9, devices=devices))
    with pytest.raises(BadInputError, match="--devices must be at most"):
        LocalRunner(RunnerOptions(torch.device("cuda", index), jobs, devices=4))


@pytest.mark.slow
def test_a_worker_that_is_killed_while_it_has_nothing_to_do_is_replaced(tmp_path):
    def task(name):
        (tmp_path / name).mkdir()
        return Task(name, _process_number, Needs(), tmp_path / name, None, print)

    with LocalRunner(RunnerOptions(CPU, 2)) as runner:
        runner.start(task("one"))
        (first,) = _until_ended(runner)
        os.kill(first.result.students, signal.SIGKILL)
        time.sleep(1)
        runner.start(task("two"))
        (second,) = _until_ended(runner)
    assert second.fault in (None, "killed")
    assert second.result is None or second.result.students != first.result.students


def _until_ended(runner):
    deadline = time.monotonic() + 100
    while not (outcomes := runner.wait(1)):
        assert time.monotonic() < deadline
    return outcomes


def _process_number(folder, reuse, report):
    return unfinished_result(CELL, RunOptions(device="cpu"), "skipped", "", "").model_copy(
        update={"students": os.getpid()}
    )


def test_an_address_is_of_a_cluster():
    with pytest.raises(BadInputError, match="--address goes with a cluster and not with the runner local"):
        make_runner("local", RunnerOptions(CPU, 1, "auto"))


@pytest.mark.slow
def test_told_to_end_it_ends_its_workers_and_keeps_the_sets_they_made(tmp_path):
    suite = write_suite(tmp_path / "s.yaml", methods=[SELECTS], distill_seeds=4, students=400)

    def interrupt_when_sets_are_there():
        deadline = time.monotonic() + 100
        while time.monotonic() < deadline:
            if len(list((tmp_path / "r").glob(".tmp-*/distilled/distilled.json"))) == 2:
                os.kill(os.getpid(), signal.SIGINT)
                return
            time.sleep(0.05)

    timer = Timer(0, interrupt_when_sets_are_there)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        run_suite(suite, tmp_path / "r", RunOptions(), runner=make_runner("local", RunnerOptions(CPU, 2)))
    timer.join()
    assert len(list((tmp_path / "r").glob(".rescued-*/distilled.json"))) == 2
    assert not list((tmp_path / "r" / ".running").iterdir())
