"""Whole suites: resume, failures, and runs that are killed."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import warnings

import numpy as np
import pytest
import yaml
from PIL import Image

from ddbench import run_suite
from ddbench.errors import BadInputError, DataMismatchError, DDBenchError
from ddbench.forecast.suite_forecast import forecast_suite
from ddbench.host import file_digests
from ddbench.host.cached_work import cached_work
from ddbench.host.file_digests import digest_files, recomputed_digests
from ddbench.image_files.class_folders import list_class_folders
from ddbench.registry import METHODS
from ddbench.runs import distill as distilling
from ddbench.runs.distill import RunOptions
from ddbench.runs.results_store import Store, read_results, write_result
from ddbench.runs.suite import load_suite
from ddbench.tables.table import make_table

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
    folders = sorted(path.name for path in (tmp_path / "results").iterdir() if not path.name.startswith("."))
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
    assert {event.index: event.was_there for event in events if event.result} == {0: False, 1: True}
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
    with pytest.warns(UserWarning, match=f"a distilled set cannot be reused, so the cell distils its own: .*{reason}"):
        again = run_suite(suite, root, CPU)
    assert [result.metric("test_accuracy") for result in again] == [r.metric("test_accuracy") for r in first]
    assert sorted(path.name for path in root.glob(".*")) == [".locks", ".running"]


def test_suite_says_how_many_students_are_trained_at_once_and_every_result_records_it(tmp_path):
    small = {"students": 2, "distill_seeds": 1}
    alone = run_suite(write_suite(tmp_path / "a.yaml", **small), tmp_path / "a", CPU)[0]
    together = run_suite(write_suite(tmp_path / "b.yaml", students_at_once=2, **small), tmp_path / "b", CPU)[0]
    assert (alone.engine["students_at_once"], together.engine["students_at_once"]) == (1, 2)
    assert together.engine["students_together"] == "side by side"
    assert together.key == alone.key
    found, expected = (result.metric("test_accuracy").values for result in (together, alone))
    assert found == pytest.approx(expected, abs=0.01)


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


def test_a_network_that_no_data_set_has_images_for_is_told_before_anything_runs(tmp_path):
    suite = write_suite(tmp_path / "s.yaml", networks=["convnet-d1-w8", "convnet-q9"])
    with pytest.raises(BadInputError, match="no option 'q9'"):
        run_suite(suite, tmp_path / "results", CPU)
    assert not (tmp_path / "results").exists()


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


def make_folder(root, write, *, size=16):
    """Two classes whose stripes lie, three training and two test pictures of each."""
    for split, count in (("train", 3), ("test", 2)):
        for label, name in enumerate(("level", "upright")):
            for index in range(count):
                pixels = np.full((size, size), 20 * index, dtype=np.uint8)
                pixels[:: 2 + label] = 200
                write(pixels, root / split / name / f"{index}.png")
    return root


@pytest.fixture
def write_picture():
    def write(pixels, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)

    return write


@pytest.fixture
def pictures(tmp_path, write_picture):
    return make_folder(tmp_path / "pictures", write_picture)


def folder_suite(path, *folders, **changes):
    specs = [f"image_folder:{folder},size=16" for folder in folders]
    return load_suite(write_suite(path, datasets=specs, distill_seeds=1, **changes))


def swap_labels(folder):
    for split in ("train", "test"):
        (folder / split / "level").rename(folder / split / "x")
        (folder / split / "upright").rename(folder / split / "level")
        (folder / split / "x").rename(folder / split / "upright")


def test_a_folder_whose_pictures_changed_is_run_again_and_the_old_result_stays(tmp_path, pictures, write_picture):
    suite, store = folder_suite(tmp_path / "s.yaml", pictures), tmp_path / "r"
    (first,) = run_suite(suite, store, CPU)
    assert run_suite(suite, store, CPU) == [first]
    swap_labels(pictures)
    (swapped,) = run_suite(suite, store, CPU)
    write_picture(np.full((16, 16), 7, dtype=np.uint8), pictures / "test" / "level" / "0.png")
    (changed,) = run_suite(suite, store, CPU)
    kept = read_results([store])
    assert {result.key for result in kept} == {first.key, swapped.key, changed.key}
    assert len({result.dataset_fingerprint for result in kept}) == len({result.key for result in kept}) == 3
    assert {result.dataset_layout for result in kept} == {first.dataset_layout}
    assert first in kept


def test_a_folder_that_was_copied_or_touched_is_not_run_again(tmp_path, pictures):
    suite = folder_suite(tmp_path / "s.yaml", pictures)
    (first,) = run_suite(suite, tmp_path / "r", CPU)
    for path in pictures.rglob("*.png"):
        path.write_bytes(path.read_bytes())
    assert run_suite(suite, tmp_path / "r", CPU) == [first]


def test_two_folders_of_one_name_are_two_data_sets(tmp_path, pictures, write_picture):
    other = make_folder(tmp_path / "elsewhere" / "pictures", write_picture)
    swap_labels(other)
    suite = folder_suite(tmp_path / "s.yaml", pictures, other)
    first, second = run_suite(suite, tmp_path / "r", CPU)
    assert first.dataset == second.dataset
    assert first.dataset_fingerprint != second.dataset_fingerprint
    assert len(make_table([first, second]).panels) == 2


def test_a_dry_run_knows_what_a_run_would_do(tmp_path, pictures):
    suite, store = folder_suite(tmp_path / "s.yaml", pictures), Store(tmp_path / "r")
    run_suite(suite, store.root, CPU)
    assert [forecast.state for forecast in forecast_suite(suite, store, CPU)] == ["done"]
    swap_labels(pictures)
    assert [forecast.state for forecast in forecast_suite(suite, store, CPU)] == [""]


def test_a_folder_that_changes_while_the_suite_runs_fails_its_cell(tmp_path, pictures):
    suite = folder_suite(tmp_path / "s.yaml", pictures)

    def change(event):
        if event.result is None:
            swap_labels(pictures)

    (failed,) = run_suite(suite, tmp_path / "r", CPU, change)
    assert failed.status == "failed"
    assert failed.reason.endswith("changed while the suite ran; run it again")
    (done,) = run_suite(suite, tmp_path / "r", CPU)
    assert done.status == "ok"
    assert done.key != failed.key


@pytest.mark.parametrize("fingerprint", ["c1-0123456789abcdef", "0123456789abcdef"], ids=["content", "layout"])
def test_an_official_set_of_other_content_than_recorded_stops_the_run(tmp_path, fingerprint):
    suite, store = write_suite(tmp_path / "s.yaml", distill_seeds=1), Store(tmp_path / "r")
    (first,) = run_suite(suite, store.root, CPU)
    with store.writing(first.key) as folder:
        write_result(first.model_copy(update={"dataset_fingerprint": fingerprint}), folder)
    for look in (
        lambda: run_suite(suite, store.root, CPU),
        lambda: forecast_suite(load_suite(suite), store, CPU),
    ):
        with pytest.raises(DataMismatchError, match=rf"is of digits with the fingerprint {fingerprint}, but its files"):
            look()
    assert store.get(first.key).dataset_fingerprint == fingerprint


def test_a_result_of_an_older_version_stands_where_its_layout_does(tmp_path):
    suite, store = write_suite(tmp_path / "s.yaml", distill_seeds=1), Store(tmp_path / "r")
    (first,) = run_suite(suite, store.root, CPU)
    older = first.model_copy(update={"dataset_fingerprint": first.dataset_layout, "dataset_layout": ""})
    with store.writing(first.key) as folder:
        write_result(older, folder)
    assert run_suite(suite, store.root, CPU) == [older]


def test_a_kept_digest_that_lies_is_found_out_by_verify(tmp_path, pictures, monkeypatch):
    monkeypatch.setattr(file_digests, "RECENT_SECONDS", -1.0)
    suite = folder_suite(tmp_path / "s.yaml", pictures)
    (first,) = run_suite(suite, tmp_path / "r", CPU)
    path = pictures / "test" / "level" / "0.png"
    before = digest_files([path])
    Image.fromarray(np.full((16, 16), 9, dtype=np.uint8)).save(path)
    # As if nothing could be seen of it: the digests of the changed file's split are those of the old one.
    split, _ = list_class_folders(sorted((pictures / "test").iterdir()))
    new = digest_files(split)
    lie = new.digests.replace(digest_files([path]).digests, before.digests)
    assert lie != new.digests
    with cached_work(file_digests._key_of(new.paths)) as work:
        (work.folder / file_digests.DIGESTS_FILE).write_bytes(lie)
        work.keep()
    file_digests._known.clear()
    assert run_suite(suite, tmp_path / "r", CPU) == [first]
    distilling._loaded.clear()  # as in a process of its own
    with recomputed_digests(), pytest.warns(UserWarning, match="were wrong and have been replaced"):
        (again,) = run_suite(suite, tmp_path / "r", CPU)
    assert again.dataset_fingerprint != first.dataset_fingerprint
