"""Tests of the store: results written and read, damage named, duplicates kept, unfinished folders not seen."""

import json
import shutil

import pytest
import torch

from ddbench.distilled.dataset import DistilledDataset
from ddbench.errors import BadInputError
from ddbench.host.leftovers import staging_path, this_place
from ddbench.records import Metric, Result
from ddbench.runs.results_store import (
    DISTILLED_FOLDER,
    RESULT_FILE,
    Store,
    content_digest,
    read_results,
    write_lines,
    write_result,
)


def make_result(key="0123456789abcdef", **changes):
    fields = {
        "key": key,
        "method": "dm",
        "dataset": "digits",
        "ipc": 1,
        "network": "mlp",
        "students": 1,
        "distill_seed": 0,
        "eval_seed": 0,
        "config": {"steps": 3},
        "protocol": "quick",
        "protocol_hash": "abc",
        "status": "ok",
        "started_at": "2026-01-01T00:00:00+00:00",
    }
    return Result(**{**fields, **changes})


def write(root, *results):
    store = Store(root)
    for result in results:
        with store.writing(result.key) as folder:
            write_result(result, folder)
    return store


def test_written_result_is_read_back(tmp_path):
    result = make_result(reason="ünicode\nand lines", config={"steps": 3, "names": ["a"]})
    store = write(tmp_path / "results", result)
    assert store.get(result.key) == result
    assert store.results() == [result]
    assert store.get("another") is None


def test_prepare_makes_the_folder_or_says_why_not(tmp_path):
    Store(tmp_path / "a" / "b").prepare()
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(BadInputError, match="cannot write to folder"):
        Store(tmp_path / "file" / "b").prepare()


def test_results_come_oldest_first_whatever_the_order_of_folders(tmp_path):
    times = {"aa": "2026-01-03T00:00:00+00:00", "bb": "2026-01-01T00:00:00+00:00", "cc": "2026-01-01T00:00:00+00:00"}
    store = write(tmp_path, *(make_result(key, started_at=time) for key, time in times.items()))
    assert [result.key for result in store.results()] == ["bb", "cc", "aa"]


def test_rewritten_cell_replaces_the_old_one_whole(tmp_path):
    store = write(tmp_path, make_result(status="failed"))
    (tmp_path / make_result().key / "log.txt").touch()
    write(tmp_path, make_result())
    assert [result.status for result in store.results()] == ["ok"]
    assert [path.name for path in (tmp_path / make_result().key).iterdir()] == [RESULT_FILE]


def test_cell_that_fails_while_written_is_not_there(tmp_path):
    store = Store(tmp_path)
    with pytest.raises(RuntimeError), store.writing("key") as folder:  # noqa: PT012 - what it leaves is the test
        write_result(make_result("key"), folder)
        raise RuntimeError
    assert store.get("key") is None
    assert list(tmp_path.iterdir()) == []


def test_hidden_temporary_folders_are_not_read(tmp_path):
    store = write(tmp_path, make_result())
    shutil.copytree(tmp_path / make_result().key, tmp_path / f".tmp-{make_result().key}-1")
    (tmp_path / ".tmp-half-1").mkdir()
    (tmp_path / ".tmp-half-1" / RESULT_FILE).write_text('{"key": "ha')
    assert store.results() == [make_result()]


def test_folder_single_cell_and_lines_give_the_same(tmp_path):
    write(tmp_path / "results", make_result())
    write_lines([make_result()], tmp_path / "new" / "recorded.jsonl")
    sources = [tmp_path / "results", tmp_path / "results" / make_result().key, tmp_path / "new" / "recorded.jsonl"]
    assert [read_results([source]) for source in sources] == [[make_result()]] * 3


def test_merging_is_copying_and_duplicates_are_kept(tmp_path):
    write(tmp_path / "one", make_result("aa"), make_result("bb"))
    write(tmp_path / "two", make_result("bb"), make_result("cc"))
    both = read_results([tmp_path / "one", tmp_path / "two"])
    assert [result.key for result in both] == ["aa", "bb", "bb", "cc"]
    shutil.copytree(tmp_path / "two" / "cc", tmp_path / "one" / "cc")
    assert [result.key for result in Store(tmp_path / "one").results()] == ["aa", "bb", "cc"]


def test_lines_survive_characters_that_some_readers_take_for_line_ends(tmp_path):
    results = [make_result("aa", reason="a\u2028b\x85c\x0bd\re\nf"), make_result("bb")]
    write_lines(results, tmp_path / "a.jsonl")
    assert read_results([tmp_path / "a.jsonl"]) == results


def test_blank_lines_and_windows_line_ends_are_fine(tmp_path):
    text = f"\r\n{make_result('aa').model_dump_json()}\r\n\r\n{make_result('bb').model_dump_json()}"
    (tmp_path / "a.jsonl").write_bytes(text.encode())
    assert [result.key for result in read_results([tmp_path / "a.jsonl"])] == ["aa", "bb"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe\x00",
        make_result().model_dump_json().encode()[:-9],
        json.dumps({**make_result().model_dump(mode="json"), "status": "great"}).encode(),
    ],
    ids=["empty", "broken", "list", "null", "not text", "truncated", "unknown status"],
)
def test_damaged_result_is_named_in_one_line(tmp_path, content):
    store = write(tmp_path, make_result("aa"), make_result("bb"))
    damaged = tmp_path / "bb" / RESULT_FILE
    damaged.write_bytes(content)
    with pytest.raises(BadInputError, match=r"is not a ddbench result: .*; remove it") as caught:
        store.results()
    assert str(damaged) in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.warns(UserWarning, match=r"is not a ddbench result: .*; its cell does not count as done") as warned:
        assert store.get("bb") is None
    assert len(warned) == 1
    assert store.get("aa") == make_result("aa")


@pytest.mark.parametrize("value", ["-0.01", "1.01", "67.8", "NaN", "Infinity", "1e308"])
def test_an_accuracy_that_is_none_is_named_and_not_counted_with(tmp_path, value):
    right = Metric(name="test_accuracy", unit="fraction", higher_is_better=True, values=(0.5,))
    path = tmp_path / "a.jsonl"
    write_lines([make_result(metrics=(right,))], path)
    content = json.loads(path.read_text())
    del content["digest"]  # as of an older version, or of another program
    path.write_text(json.dumps(content).replace("[0.5]", f"[{value}]") + "\n")
    with pytest.raises(BadInputError, match=r"line 1 is not a ddbench result: .* remove it and run"):
        read_results([path])


def test_the_others_go_on_where_damage_is_told(tmp_path):
    write(tmp_path, make_result("aa"), make_result("bb"), make_result("cc"))
    (tmp_path / "bb" / RESULT_FILE).write_bytes(b"{")
    (tmp_path / "cc" / RESULT_FILE).unlink()
    (tmp_path / "cc" / RESULT_FILE).mkdir()
    told = []
    assert read_results([tmp_path], told.append) == [make_result("aa")]
    assert [line.split()[:2] for line in told] == [["left", "out:"]] * 2
    assert "must be a regular file, but is a folder" in told[1]


def test_where_nothing_can_be_read_that_is_an_error(tmp_path):
    write(tmp_path, make_result("aa"))
    (tmp_path / "aa" / RESULT_FILE).write_bytes(b"{")
    told = []
    with pytest.raises(BadInputError, match=r"no result in .* can be read; restore it from a copy"):
        read_results([tmp_path], told.append)
    assert len(told) == 1


KEYS = ("0123456789abcdef", "fedcba9876543210")


def change(path, **fields):
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_a_result_is_written_with_a_digest_of_what_it_holds_then(tmp_path):
    store = write(tmp_path, make_result(KEYS[0]))
    first = store.get(KEYS[0])
    assert len(first.digest) == 16
    assert first.standing == "whole"
    changed = first.model_copy(update={"reason": "copied, and the digest with it"})
    write(tmp_path / "again", changed)
    again = Store(tmp_path / "again").get(KEYS[0])
    assert again.standing == "whole"
    assert again.digest != first.digest
    write_lines([first], tmp_path / "a.jsonl")
    assert read_results([tmp_path / "a.jsonl"])[0].digest == first.digest


def test_numbers_that_are_not_finite_have_a_digest_too(tmp_path):
    config = {"lr": float("inf"), "rate": float("nan"), "small": 1e-300, "whole": 3.0}
    store = write(tmp_path, make_result(KEYS[0], config=config))
    assert store.get(KEYS[0]).standing == "whole"


def test_an_altered_result_is_marked_told_and_not_done(tmp_path):
    store = write(tmp_path, make_result(KEYS[0]))
    change(tmp_path / KEYS[0] / RESULT_FILE, students=7)
    told = []
    (found,) = read_results([tmp_path], told.append)
    assert (found.standing, found.is_altered, found.students) == ("altered", True, 7)
    assert len(told) == 1
    assert "was altered after it was written: its digest differs" in told[0]
    (quiet,) = store.results()
    assert quiet.is_altered
    with pytest.warns(UserWarning, match="was altered after it was written.*; its cell does not count as done"):
        assert store.get(KEYS[0]) is None


def test_an_altered_result_is_not_made_good_by_writing_it_again(tmp_path):
    write(tmp_path / "a", make_result(KEYS[0]))
    change(tmp_path / "a" / KEYS[0] / RESULT_FILE, students=7)
    (found,) = read_results([tmp_path / "a"])
    write(tmp_path / "b", found)
    write_lines([found], tmp_path / "c.jsonl")
    for source in (tmp_path / "b", tmp_path / "c.jsonl"):
        assert [result.standing for result in read_results([source])] == ["altered"]


def test_a_result_in_the_folder_of_another_cell_is_misplaced(tmp_path):
    store = write(tmp_path, *map(make_result, KEYS))
    shutil.copyfile(tmp_path / KEYS[1] / RESULT_FILE, tmp_path / KEYS[0] / RESULT_FILE)
    told = []
    found = read_results([tmp_path], told.append)
    assert sorted(result.standing for result in found) == ["misplaced", "whole"]
    assert f"is of cell {KEYS[1]}, not of the one whose folder it stands in" in told[0]
    with pytest.warns(UserWarning, match="its cell does not count as done"):
        assert store.get(KEYS[0]) is None
    assert [r.standing for r in read_results([shutil.copytree(tmp_path / KEYS[1], tmp_path / "my copy")])] == ["whole"]


def test_a_result_from_before_digests_is_read_and_stays_without_one(tmp_path):
    write(tmp_path, make_result(KEYS[0]))
    path = tmp_path / KEYS[0] / RESULT_FILE
    content = json.loads(path.read_text())
    del content["digest"]
    path.write_text(json.dumps(content))
    told = []
    (found,) = read_results([tmp_path], told.append)
    assert (found.standing, found.is_altered, told) == ("older", False, [])
    assert Store(tmp_path).get(KEYS[0]) == found
    write_lines([found], tmp_path / "a.jsonl")
    assert read_results([tmp_path / "a.jsonl"])[0].standing == "older"


def test_a_field_that_a_later_version_adds_leaves_digests_as_they_are(tmp_path):
    """The digest is of what stands in the file: a field of this version that an older one lacked is not in it."""
    write(tmp_path, make_result(KEYS[0]))
    path = tmp_path / KEYS[0] / RESULT_FILE
    content = json.loads(path.read_text())
    del content["foundation"]
    path.write_text(json.dumps({**content, "digest": content_digest(content)}))
    assert [result.standing for result in read_results([tmp_path])] == ["whole"]


def test_the_folder_of_a_result_that_cannot_be_used_is_set_aside_with_its_set(tmp_path):
    store = write(tmp_path, make_result(KEYS[0]))
    assert store.set_aside(KEYS[1]) is None
    distilled = DistilledDataset(torch.zeros(2, 1, 2, 2), torch.arange(2), num_classes=2, ipc=1)
    distilled.save(tmp_path / KEYS[0] / DISTILLED_FOLDER)
    aside = store.set_aside(KEYS[0])
    assert aside == tmp_path / f".damaged-{KEYS[0]}"
    assert (aside / RESULT_FILE).exists()
    assert store.get(KEYS[0]) is None
    assert torch.equal(DistilledDataset.load(store.rescue(KEYS[0])).labels, distilled.labels)
    write(tmp_path, make_result(KEYS[0]))
    assert len(store.results()) == 1


def test_damaged_line_is_named_with_its_number(tmp_path):
    (tmp_path / "a.jsonl").write_text(f"{make_result().model_dump_json()}\n{{\n")
    with pytest.raises(BadInputError, match=r"a\.jsonl, line 2 is not a ddbench result"):
        read_results([tmp_path / "a.jsonl"])


def test_a_folder_of_recorded_files_is_read_at_any_depth(tmp_path):
    write_lines([make_result()], tmp_path / "one_machine" / "a.jsonl")
    write_lines([make_result()], tmp_path / "other" / "deeper" / "b.jsonl")
    assert read_results([tmp_path]) == [make_result(), make_result()]


@pytest.mark.parametrize(("name", "message"), [("empty", "holds no results"), ("missing", "does not exist")])
def test_source_without_results_is_named(tmp_path, name, message):
    (tmp_path / "empty").mkdir()
    write(tmp_path / "good", make_result())
    with pytest.raises(BadInputError, match=f"{name} {message}; name a folder written by"):
        read_results([tmp_path / "good", tmp_path / name])


def test_distilled_set_of_a_result_is_found(tmp_path):
    result, store = make_result(), Store(tmp_path)
    distilled = DistilledDataset(torch.zeros(2, 1, 2, 2), torch.arange(2), num_classes=2, ipc=1)
    with store.writing(result.key) as folder:
        write_result(result, folder)
        distilled.save(folder / DISTILLED_FOLDER)
    found = store.distilled_folder(result)
    assert torch.equal(DistilledDataset.load(found).labels, distilled.labels)
    write(tmp_path, make_result("without"))
    assert store.distilled_folder(make_result("without")) is None


def test_the_set_of_a_run_killed_while_evaluating_is_rescued(tmp_path):
    store, key, killed = Store(tmp_path), "0123456789abcdef", 2**22 + 1  # above every process number
    distilled = DistilledDataset(torch.zeros(1, 1, 8, 8), torch.zeros(1, dtype=torch.int64), num_classes=1, ipc=1)
    assert store.rescue(key) is None
    distilled.save(tmp_path / f".tmp-{key}-{killed}" / DISTILLED_FOLDER)
    rescued = store.rescue(key)
    assert rescued is not None
    write(tmp_path, make_result(key))  # clears away what killed runs left
    assert store.rescue(key) == rescued
    assert torch.equal(DistilledDataset.load(rescued).images, distilled.images)
    assert [result.key for result in store.results()] == [key]
    store.forget_rescued(key)
    assert store.rescue(key) is None


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_the_set_of_a_run_told_to_end_while_evaluating_is_put_aside(tmp_path, error):
    store, key = Store(tmp_path), "0123456789abcdef"
    distilled = DistilledDataset(torch.zeros(1, 1, 8, 8), torch.zeros(1, dtype=torch.int64), num_classes=1, ipc=1)

    def run():
        with store.writing(key) as folder:
            distilled.save(folder / DISTILLED_FOLDER)
            raise error

    with pytest.raises(error):
        run()
    rescued = store.rescue(key)
    assert rescued is not None
    assert torch.equal(DistilledDataset.load(rescued).images, distilled.images)
    assert list(tmp_path.glob(".tmp-*")) == []


def test_preparing_clears_dead_staging_folders_but_not_those_with_a_set(tmp_path):
    store, place, killed = Store(tmp_path), this_place(), 2**22 + 1
    distilled = DistilledDataset(torch.zeros(1, 1, 8, 8), torch.zeros(1, dtype=torch.int64), num_classes=1, ipc=1)
    distilled.save(tmp_path / f".tmp-with-{place}-{killed}" / DISTILLED_FOLDER)
    (tmp_path / f".tmp-without-{place}-{killed}").mkdir()
    store.prepare()
    assert [path.name for path in tmp_path.iterdir()] == [f".tmp-with-{place}-{killed}"]
    assert store.rescue("with") is not None


def test_what_a_killed_process_of_the_same_number_left_is_taken_over(tmp_path):
    store, key = Store(tmp_path), "0" * 16
    left = staging_path(tmp_path / key)
    (left / "distilled").mkdir(parents=True)
    (left / "distilled" / "distilled.json").write_text("{}")
    with store.writing(key) as folder:
        assert list(folder.iterdir()) == []
        (folder / "result.json").write_text("{}")
    assert (tmp_path / f".rescued-{key}" / "distilled.json").is_file()
    assert [path.name for path in (tmp_path / key).iterdir()] == ["result.json"]
    assert not left.exists()


def test_what_killed_runs_left_of_a_cell_that_is_done_is_cleared_even_if_it_holds_a_set(tmp_path):
    for key, is_done in (("0" * 16, True), ("1" * 16, False)):
        left = tmp_path / f".tmp-{key}-{this_place()}-{2**22 + 1}" / "distilled"
        left.mkdir(parents=True)
        (left / "distilled.json").write_text("{}")
        if is_done:
            (tmp_path / key).mkdir()
            (tmp_path / key / "result.json").write_text("{}")
    Store(tmp_path).prepare()
    assert [path.name[5:21] for path in tmp_path.glob(".tmp-*")] == ["1" * 16]
