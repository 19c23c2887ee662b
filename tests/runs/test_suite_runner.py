"""Whole suites: resume, failures, and runs that are killed."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import warnings

import pytest
import yaml

from ddbench import run_suite
from ddbench.errors import BadInputError, DDBenchError
from ddbench.registry import METHODS
from ddbench.runs.distill import RunOptions
from ddbench.runs.results_store import Store, read_results
from ddbench.runs.suite import load_suite
from ddbench.runs.suite_runner import CellProcess

pytestmark = pytest.mark.usefixtures("own_cache")
CPU = RunOptions(device="cpu")
SELECTS = {"name": "herding", "settings": {"feature_network": "convnet-d1-w8", "feature_epochs": 1}}


def write_suite(path, **changes):
    content = {
        "name": "small",
        "protocol": "quick",
        "datasets": ["digits"],
        "networks": ["convnet-d1-w8"],
        "methods": ["random_real"],
        "ipc": [1],
        "distill_seeds": 2,
    }
    path.write_text(yaml.safe_dump({**content, **changes}))
    return path


def test_suite_writes_one_whole_folder_per_cell(tmp_path):
    results = run_suite(write_suite(tmp_path / "s.yaml"), tmp_path / "results", CPU)
    assert [result.status for result in results] == ["ok", "ok"]
    folders = sorted(path.name for path in (tmp_path / "results").iterdir())
    assert folders == sorted(result.key for result in results)
    for folder in folders:
        inside = {path.name for path in (tmp_path / "results" / folder).iterdir()}
        assert inside == {"result.json", "distilled", "log.txt"}


def test_rerun_runs_nothing_again_and_two_runs_agree(tmp_path):
    suite = write_suite(tmp_path / "s.yaml")
    first = run_suite(suite, tmp_path / "a", CPU)
    events = []
    again = run_suite(suite, tmp_path / "a", CPU, events.append)
    assert again == first
    assert all(event.was_there for event in events)
    other = run_suite(suite, tmp_path / "b", CPU)
    assert [r.metric("test_accuracy") for r in other] == [r.metric("test_accuracy") for r in first]


@pytest.mark.parametrize("damage", ["altered", "cut", "sibling's"])
def test_a_result_that_cannot_be_trusted_is_set_aside_and_its_cell_run_again(tmp_path, damage):
    suite, root = write_suite(tmp_path / "s.yaml"), tmp_path / "results"
    first = run_suite(suite, root, CPU)
    path, other = (root / result.key / "result.json" for result in first)
    text = path.read_text()
    changed = {
        "altered": re.sub(r'"students": \d', '"students": 9', text),
        "cut": text[:99],
        "sibling's": other.read_text(),
    }
    assert changed[damage] != text
    path.write_text(changed[damage])
    events = []
    with pytest.warns(UserWarning, match="its cell does not count as done") as caught:
        again = run_suite(suite, root, CPU, events.append)
    assert len(caught) == 1
    assert f"a run sets its folder aside as .damaged-{first[0].key}" in str(caught[0].message)
    assert [event.was_there for event in events if event.result] == [False, True]
    assert [result.metric("test_accuracy") for result in again] == [r.metric("test_accuracy") for r in first]
    assert (root / f".damaged-{first[0].key}" / "result.json").read_text() == changed[damage]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [event.was_there for event in second_events(suite, root)] == [True, True]


def second_events(suite, root):
    events = []
    run_suite(suite, root, CPU, events.append)
    return events


@pytest.mark.parametrize("damage", ["flipped", "of another seed"])
def test_a_set_of_a_killed_run_is_used_again_only_where_it_is_whole_and_this_cells(tmp_path, damage):
    suite, root = write_suite(tmp_path / "s.yaml"), tmp_path / "results"
    first = run_suite(suite, root, CPU)
    (key, other), killed = (result.key for result in first), 2**22 + 1
    left = root / f".tmp-{key}-{killed}" / "distilled"
    shutil.copytree(root / (key if damage == "flipped" else other) / "distilled", left)
    if damage == "flipped":
        content = (left / "distilled.safetensors").read_bytes()
        (left / "distilled.safetensors").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    shutil.rmtree(root / key)
    reason = "its checksum differs" if damage == "flipped" else "is of other work"
    with pytest.warns(UserWarning, match=f"a distilled set is not used again, the cell distils its own: .*{reason}"):
        again = run_suite(suite, root, CPU)
    assert [result.metric("test_accuracy") for result in again] == [r.metric("test_accuracy") for r in first]
    assert not list(root.glob(".*"))


def test_suite_says_how_many_students_are_trained_at_once_and_every_result_records_it(tmp_path):
    small = {"students": 2, "distill_seeds": 1}
    alone = run_suite(write_suite(tmp_path / "a.yaml", **small), tmp_path / "a", CPU)[0]
    together = run_suite(write_suite(tmp_path / "b.yaml", students_at_once=2, **small), tmp_path / "b", CPU)[0]
    assert (alone.engine["students_at_once"], together.engine["students_at_once"]) == (1, 2)
    assert together.engine["students_together"] == "side by side"
    assert together.key == alone.key
    found, expected = (result.metric("test_accuracy").values for result in (together, alone))
    assert found == pytest.approx(expected, abs=0.01)


def test_cells_that_differ_in_network_share_one_distilled_set(tmp_path, monkeypatch):
    calls = []
    distill = METHODS.get("random_real").distill
    monkeypatch.setattr(
        METHODS.get("random_real"), "distill", lambda *arguments: calls.append(1) or distill(*arguments)
    )
    suite = write_suite(tmp_path / "s.yaml", networks=["convnet-d1-w8", "mlp"], distill_seeds=1)
    results = run_suite(suite, tmp_path / "r", CPU)
    assert len(results) == 2
    assert len(calls) == 1


def test_failed_cells_are_kept_and_tried_again(tmp_path, monkeypatch):
    suite = write_suite(tmp_path / "s.yaml", methods=["random_real", SELECTS])
    with monkeypatch.context() as patch:

        def fail(*_):
            raise ValueError("on purpose")

        patch.setattr(METHODS.get("random_real"), "distill", fail)
        first = run_suite(suite, tmp_path / "r", CPU)
    assert [r.status for r in first] == ["failed", "failed", "ok", "ok"]
    assert {r.reason for r in read_results([tmp_path / "r"]) if r.status == "failed"} == {"ValueError: on purpose"}
    second = run_suite(suite, tmp_path / "r", CPU)
    assert [r.status for r in second] == ["ok"] * 4
    assert second[2:] == first[2:]


def test_missing_data_and_unwritable_results_are_told_before_anything_runs(tmp_path):
    suite = write_suite(tmp_path / "s.yaml", datasets=["digits", "cifar10"])
    with pytest.raises(DDBenchError, match="cifar10"):
        run_suite(suite, tmp_path / "r", RunOptions(device="cpu", data_dir=tmp_path / "nothing"))
    assert not (tmp_path / "r").exists()
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(BadInputError, match="choose a writable folder"):
        run_suite(write_suite(tmp_path / "t.yaml"), blocked / "results", CPU)


# Runs a suite, and says so in the middle of the fourth distillation, which then never ends.
PROGRAM = """
import sys, time
from ddbench import METHODS, run_suite
method = METHODS.get("random_real")
plain, begun = method.distill, []
def distill(*args):
    begun.append(args)
    if len(begun) == 4:
        print("in the middle", flush=True)
        time.sleep(3600)
    return plain(*args)
method.distill = distill
run_suite(sys.argv[1], sys.argv[2])
"""


@pytest.mark.slow
def test_killed_run_leaves_whole_cells_only_and_is_continued(tmp_path):
    suite = write_suite(tmp_path / "s.yaml", distill_seeds=6)
    results = tmp_path / "r"
    command = [sys.executable, "-c", PROGRAM, str(suite), str(results)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert b"in the middle\n" in iter(process.stdout.readline, b"")
        process.kill()
    assert process.returncode == -signal.SIGKILL
    finished = {path.parent.name: path.stat().st_mtime_ns for path in results.glob("[!.]*/result.json")}
    assert len(finished) == 3
    assert list(results.glob(".tmp-*"))
    assert {result.key for result in read_results([results])} == set(finished)
    done = run_suite(suite, results, CPU)
    assert [result.status for result in done] == ["ok"] * 6
    after = {path.parent.name: path.stat().st_mtime_ns for path in results.glob("[!.]*/result.json")}
    assert {key: after[key] for key in finished} == finished
    assert not list(results.glob(".tmp-*"))
    for result in done:
        assert Store(results).distilled_folder(result) is not None


@pytest.mark.slow
def test_cells_of_a_gpu_share_a_process_until_one_fails(tmp_path, own_cache):
    class Recorded(CellProcess):
        """Keeps the process that each cell was run in."""

        def __init__(self):
            super().__init__()
            self.seen = []

        def run(self, cell, options, folder, reuse):
            found = super().run(cell, options, folder, reuse)
            self.seen.append(next(iter(self._pool._processes)) if self._pool else 0)
            return found

    def cells(**changes):
        return load_suite(write_suite(tmp_path / "s.yaml", **changes)).cells()

    huge = [{"name": "random_real"}, {"name": "dm", "settings": {"network": "convnet-d1-w8", "steps": 1}}]
    good, dm = cells(methods=huge, distill_seeds=1)
    with Recorded() as process:
        results = []
        for number, cell in enumerate((good, dm, dm.model_copy(update={"network": "convnet-d9"}), good)):
            folder = tmp_path / str(number)
            folder.mkdir()
            results.append(process.run(cell, CPU, folder, None))
        assert [result.status for result in results] == ["ok", "ok", "failed", "ok"]
        first, second, ended, new = process.seen
        assert first == second != os.getpid()
        assert ended == 0
        assert new not in (0, first)
        os.kill(new, signal.SIGKILL)
        folder = tmp_path / "killed"
        folder.mkdir()
        killed = process.run(good, CPU, folder, None)
    assert (killed.status, killed.reason[:35]) == ("failed", "the cell's process was killed from ")
