"""Recorded baselines: what becomes a claim, and that regressions planted on real runs are caught."""

import itertools

import pytest

from ddbench.claims import judge, load_claims
from ddbench.claims.recording import record, write_recording
from ddbench.errors import BadInputError
from ddbench.host.files import baselines_dir
from ddbench.records import Phase, Reading
from ddbench.runs.results_store import read_results
from tests.claims._made import make_result, make_results

QUIET = [2.0, 2.02, 1.98, 2.01, 1.99]
GOOD = [92.0, 92.6, 91.8, 92.4, 92.2]


def runs(percents=GOOD, seconds=QUIET, **changes):
    pairs = zip(percents, seconds, strict=True)
    return [make_result(seed, percent, seconds=cost, **changes) for seed, (percent, cost) in enumerate(pairs)]


def recorded(tmp_path, results):
    path = tmp_path / "recorded.toml"
    recording = record(results, "a family")
    write_recording(recording, path)
    return path, recording


def test_recorded_file_holds_the_runs_it_was_made_from(tmp_path):
    settings = {"steps": 20, "rate": 1e-6, "name": 'a "b"', "list": [1, 2], "deep": {"x": True}, "none": None}
    path, recording = recorded(tmp_path, runs(config=settings, dataset="image_folder,size=64", git_commit="abc"))
    file = load_claims(path)
    assert [claim.id for claim in file.claims] == [
        "dm-image_folder-size=64-ipc10-accuracy",
        "dm-image_folder-size=64-ipc10-distill-seconds",
        "dm-image_folder-size=64-ipc10-distill-processor-seconds",
        "dm-image_folder-size=64-ipc10-distill-peak-host-bytes",
    ]
    assert recording.count == 4
    assert file.recorded_from == {"commits": "abc"}
    entry = file.claims[0].cell
    assert entry.settings == {key: value for key, value in settings.items() if value is not None}
    assert (entry.protocol, entry.students, entry.fingerprint) == ("quick@f58e2342656b", 1, "data")
    assert file.claims[0].recorded == pytest.approx(GOOD)
    assert file.claims[1].recorded == QUIET
    verdicts = judge(path, runs(config=settings, dataset="image_folder,size=64"))
    assert {verdict.verdict for verdict in verdicts} == {"supported"}


def test_recorded_file_holds_content_and_layout_and_judges_results_of_either(tmp_path):
    new = {"dataset_fingerprint": "c1-a", "dataset_layout": "data"}
    path, _ = recorded(tmp_path, runs(**new))
    entry = load_claims(path).claims[0].cell
    assert (entry.fingerprint, entry.layout) == ("c1-a", "data")
    for changes in (new, {"dataset_fingerprint": "data"}):
        assert {verdict.verdict for verdict in judge(path, runs(**changes))} == {"supported"}
    other = {**new, "dataset_fingerprint": "c1-b"}
    assert {verdict.verdict for verdict in judge(path, runs(**other))} == {"not comparable"}


def test_runs_on_two_data_sets_of_one_name_are_two_entries(tmp_path):
    two = [
        run.model_copy(update={"key": f"{name}{run.key}", "dataset_fingerprint": name})
        for name in ("c1-a", "c1-b")
        for run in runs()
    ]
    path, _ = recorded(tmp_path, two)
    assert len(load_claims(path).claims) == 8


def test_entries_that_a_name_cannot_tell_apart_get_a_hash(tmp_path):
    path, _ = recorded(tmp_path, [*runs(), *runs(config={"steps": 5})])
    ids = [claim.id for claim in load_claims(path).claims]
    assert len(set(ids)) == 8
    assert all(name.startswith("dm-digits-ipc10-") for name in ids)


def test_what_cannot_hold_anything_is_left_out_and_said(tmp_path):
    path, recording = recorded(tmp_path, [*runs(seconds=[1.0, 9.0, 2.0, 30.0, 4.0]), *runs(ipc=1)[:2]])
    assert [claim.id for claim in load_claims(path).claims] == [
        "dm-digits-ipc10-accuracy",
        "dm-digits-ipc10-distill-peak-host-bytes",
    ]
    assert "dm on digits, ipc 1: fewer than 3 runs" in recording.left_out
    assert "dm on digits, ipc 10: distill seconds: its runs spread too much for a useful limit" in recording.left_out
    with pytest.raises(BadInputError, match=r"nothing can be recorded: .*fewer than 3 runs"):
        record(runs()[:2], "f")


def test_memory_of_a_gpu_is_recorded_instead_of_the_hosts(tmp_path):
    reading = Reading(seconds=2.0, peak_allocated_bytes=2**30, peak_host_bytes=2**30)
    path, _ = recorded(tmp_path, runs(phases=(Phase(name="distill", reading=reading),)))
    assert [claim.id for claim in load_claims(path).claims][-1] == "dm-digits-ipc10-distill-peak-allocated-bytes"


def test_short_phases_are_not_timed(tmp_path):
    path, _ = recorded(tmp_path, runs(seconds=[0.01] * 5))
    assert [claim.id for claim in load_claims(path).claims][1:] == ["dm-digits-ipc10-distill-peak-host-bytes"]


def test_real_runs_pass_the_gate_of_the_others_nineteen_times_of_twenty():
    """Splits of real seeds, five recorded and three new ones: unchanged code, so hardly one may fail."""
    everything = read_results([baselines_dir() / "results" / "epyc_2_cores" / "digits_minimax.jsonl"])
    runs = [result for result in everything if (result.method, result.ipc) == ("random_real", 10)]
    assert len(runs) == 8
    failed = []
    for new in list(itertools.combinations(range(8), 3))[::4]:
        old = [run for index, run in enumerate(runs) if index not in new]
        recording = record(old, "split")
        failed.append(_fails(recording, [runs[index] for index in new]))
    assert len(failed) == 14
    assert sum(failed) <= 1


def _fails(recording, new):
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "c.toml"
        write_recording(recording, path)
        return any(verdict.verdict != "supported" for verdict in judge(path, new))


def test_made_results_of_one_spread_pass_their_own_record(tmp_path):
    path, _ = recorded(tmp_path, make_results(GOOD))
    assert {verdict.verdict for verdict in judge(path, make_results([92.1, 91.9, 92.5]))} == {"supported"}
