"""What claims are judged against: folders, files, saved benchmark runs, and what is wrong with them."""

import json

import pytest

from ddbench.claims import read_sources
from ddbench.errors import BadInputError
from ddbench.runs.results_store import Store, write_lines, write_result
from tests.claims._made import make_results


@pytest.fixture
def folder(tmp_path):
    """A folder of recorded runs: a machine's results, and one saved benchmark run."""
    machine = tmp_path / "results" / "machine"
    write_lines(make_results([90.0, 91.0]), machine / "a.jsonl")
    entry = {"fullname": "t.py::test_a", "extra_info": {"ratio": 2.0}, "stats": {"mean": 1.0}}
    (machine / "bench.json").write_text(json.dumps({"benchmarks": [entry]}))
    return tmp_path / "results"


def test_folder_of_recorded_runs_is_read_whole(folder):
    found = read_sources([folder])
    assert [result.distill_seed for result in found.results] == [0, 1]
    assert [(saved.name, saved.noted) for saved in found.benchmarks] == [("t.py::test_a", {"ratio": 2.0})]


def test_results_folder_and_single_files_are_read(folder, tmp_path):
    store = Store(tmp_path / "store")
    for result in make_results([90.0]):
        with store.writing(result.key) as staging:
            write_result(result, staging)
    assert len(read_sources([store.root]).results) == 1
    assert len(read_sources([store.root, folder / "machine" / "a.jsonl"]).results) == 3
    assert len(read_sources([folder / "machine" / "bench.json"]).benchmarks) == 1


def test_newer_schema_half_written_and_empty_sources_are_refused(folder, tmp_path):
    lines = folder / "machine" / "a.jsonl"
    whole = lines.read_text()
    lines.write_text(whole[:-30])
    with pytest.raises(BadInputError, match=r"a\.jsonl, line 2 is not a ddbench result"):
        read_sources([folder])
    lines.write_text(whole.replace('"students"', '"of_tomorrow":1,"students"'))
    with pytest.raises(BadInputError, match="'of_tomorrow', which this version does not know: a newer one wrote it"):
        read_sources([folder])
    (tmp_path / "empty").mkdir()
    for nothing in (tmp_path / "empty", tmp_path / "none"):
        with pytest.raises(BadInputError):
            read_sources([nothing])
    (folder / "machine" / "bench.json").write_text('{"benchmarks": [{}]}')
    lines.write_text(whole)
    with pytest.raises(
        BadInputError,
        match=r"bench\.json is not a run saved by pytest-benchmark: key 'benchmarks.0.fullname' is missing",
    ):
        read_sources([folder])
