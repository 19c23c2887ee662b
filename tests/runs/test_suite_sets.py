"""Tests of suites with distilled sets beside methods."""

import pytest
import torch

from ddbench.dataset import load_dataset
from ddbench.distilled.dataset import DistilledDataset
from ddbench.errors import BadInputError, DDBenchError
from ddbench.forecast.suite_forecast import forecast_suite
from ddbench.runs.distill import RunOptions, distill
from ddbench.runs.results_store import Store
from ddbench.runs.suite import Suite, load_suite
from ddbench.runs.suite_runner import run_suite

HEAD = "name: trial\nprotocol: quick\nnetworks: [mlp-w4]\ndatasets: [digits]\nstudents: 1\n"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DDBENCH_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def real():
    return load_dataset("digits")


@pytest.fixture
def write(tmp_path):
    def write(text):
        (tmp_path / "suite.yaml").write_text(HEAD + text)
        return load_suite(tmp_path / "suite.yaml")

    return write


def foreign(real, path, shift=0.0, count=1):
    rows = torch.cat([real.train.of_class(label)[:2] for label in range(10)])
    images, labels = real.train.normalised(rows) + shift, real.train.labels[rows]
    torch.save({"data": [[images, labels]] * count, "accs_all_exps": {}}, path)
    return path


def test_sets_and_methods_stand_in_one_run_and_a_rerun_does_nothing(write, real, tmp_path):
    source = foreign(real, tmp_path / "res_DM_D_C_2ipc.pt", count=2)
    distill("herding", real, 2).save(tmp_path / "own")
    suite = write(
        "ipc: [2]\nmethods: [random_real]\n"
        f"sets:\n- {{path: {source}, as: dc, method: authors}}\n- {tmp_path / 'own'}\n"
    )
    events = []
    results = run_suite(suite, tmp_path / "results", on_event=events.append)
    assert [(r.method, r.distill_seed, r.status) for r in results] == [
        ("random_real", 0, "ok"),
        ("authors", 0, "ok"),
        ("authors", 1, "ok"),
        ("herding", 0, "ok"),
    ]
    assert len({result.key for result in results}) == 4
    events.clear()
    again = run_suite(suite, tmp_path / "results", on_event=events.append)
    assert all(event.was_there for event in events)
    assert again == results
    forecast = forecast_suite(suite, Store(tmp_path / "results"), RunOptions())
    assert [cell.state for cell in forecast] == ["done"] * 4


def test_another_content_under_the_same_path_is_another_cell(write, real, tmp_path):
    source = tmp_path / "res_DM_D_C_2ipc.pt"
    suite = write(f"sets: [{{path: {foreign(real, source)}, as: dc}}]\n")
    first = run_suite(suite, tmp_path / "results")
    foreign(real, source, shift=0.5)
    second = run_suite(suite, tmp_path / "results")
    assert first[0].key != second[0].key
    assert len(Store(tmp_path / "results").results()) == 2


def test_a_set_that_ddbench_made_has_the_cell_of_its_method(write, real, tmp_path):
    distill("random_real", real, 2).save(tmp_path / "own")
    made = run_suite(write("ipc: [2]\nmethods: [random_real]\n"), tmp_path / "a")
    given = run_suite(write(f"sets: [{tmp_path / 'own'}]\n"), tmp_path / "b")
    assert given[0].key == made[0].key
    assert given[0].metric("test_accuracy") == made[0].metric("test_accuracy")


def test_a_forecast_of_sets_is_of_their_evaluation(write, real, tmp_path):
    source = foreign(real, tmp_path / "res_DM_D_C_2ipc.pt")
    (cell,) = forecast_suite(write(f"sets: [{{path: {source}, as: dc}}]\n"), Store(tmp_path / "none"), RunOptions())
    assert set(cell.phases) == {"evaluate"}


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        ("[nowhere]", "nowhere is not a distilled set; name its folder, or say what it is with `as: FORMAT`"),
        ("[{path: nowhere, as: dc}]", "nowhere does not exist"),
        ("[{path: set, as: xyz}]", "unknown importer 'xyz'"),
        ("[{as: dc}]", r"key 'sets\.0\.path' is missing"),
        ("[{path: set, form: dc}]", r"unknown key 'sets\.0\.form'"),
        ("[{path: set, logits: 1}]", r"sets\.0\.logits"),
        ("[{path: set, as: dc, method: dm}]", "dm is a method of ddbench"),
        ("[3]", r"sets\.0: .*got 3"),
    ],
)
def test_wrong_sets_are_refused_in_one_line_before_anything_runs(write, tmp_path, sets, message, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DDBenchError, match=message) as caught:
        run_suite(write(f"sets: {sets}\n"), tmp_path / "results")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "results").exists()


def test_a_set_of_another_data_set_is_refused(write, real, tmp_path):
    made = DistilledDataset(torch.zeros(4, 1, 8, 8), torch.tensor([0, 0, 1, 1]), 2, 2, provenance={"dataset": "toy"})
    made.save(tmp_path / "toy")
    with pytest.raises(BadInputError, match="was made from toy, which is not a data set of the suite"):
        run_suite(write(f"sets: [{tmp_path / 'toy'}]\n"), tmp_path / "results")


def test_a_suite_needs_methods_or_sets():
    with pytest.raises(BadInputError, match="methods: the suite lists neither methods nor sets"):
        Suite(name="x", protocol="quick", datasets=("digits",), ipc=(1,))
