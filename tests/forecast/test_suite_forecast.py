"""Forecasts of a suite: what will run, where the seconds come from, and that nothing runs."""

from __future__ import annotations

import pytest

from ddbench.forecast import calibration
from ddbench.forecast.suite_forecast import PhaseForecast, forecast_suite
from ddbench.host.machine import describe_machine, resolve_device
from ddbench.method import METHODS
from ddbench.records import Metric, Phase, Reading, Result
from ddbench.runs.cell import run_cell
from ddbench.runs.distill import RunOptions
from ddbench.runs.results_store import Store, write_result
from ddbench.runs.suite import Suite

pytestmark = pytest.mark.usefixtures("own_cache", "brief_measurements")
CPU = RunOptions(device="cpu")
FEATURES = {"feature_network": "convnet-d1-w8", "feature_epochs": 1}


def make_suite(*methods, **changes):
    fields = {"name": "s", "protocol": "quick", "datasets": ["digits"], "networks": ["convnet-d1-w8"], "ipc": [1]}
    return Suite.model_validate({**fields, "methods": methods, **changes})


def keep(store, cell, seconds, status="ok", **changes):
    """Keep a result of a cell as an earlier run would have, with given seconds of its phases."""
    from ddbench import load_dataset

    info = load_dataset("digits").info
    fields = cell.model_dump(exclude={"evaluators", "cross_networks", "dataset_fingerprint"})
    result = Result(
        key=cell.key,
        **{**fields, **changes},
        dataset_fingerprint=info.fingerprint,
        status=status,
        metrics=(Metric(name="test_accuracy", unit="fraction", higher_is_better=True, values=(0.5,)),),
        phases=tuple(Phase(name=name, reading=Reading(seconds=value)) for name, value in seconds.items()),
        machine=describe_machine(resolve_device("cpu")),
    )
    with store.writing(cell.key) as folder:
        write_result(result, folder)
    return result


@pytest.fixture
def brief_measurements(monkeypatch):
    """How fast networks are is not asked here: less is measured than a user's forecast needs."""
    monkeypatch.setattr(calibration, "ROUNDS", 1)
    monkeypatch.setattr(calibration, "MOST_STEPS", 2)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "results")


def test_declared_work_is_calibrated_and_nothing_is_run_or_written(store, own_cache, monkeypatch):
    for method in ("random_real", "herding"):
        monkeypatch.setattr(METHODS.get(method), "distill", lambda *_: pytest.fail("a dry run must not distil"))
    forecasts = forecast_suite(make_suite("random_real", {"name": "herding", "settings": FEATURES}), store, CPU)
    random_real, herding = forecasts
    assert random_real.phases["distill"] == PhaseForecast(0.0, 0, "calibrated")
    assert set(random_real.phases) == {"distill", "evaluate"}
    assert set(herding.phases) == {"prepare", "distill", "evaluate"}
    assert herding.phases["prepare"].seconds > 0
    assert random_real.phases["evaluate"] == herding.phases["evaluate"]
    # 150 epochs of 10 images, three forward passes each, and one of the 360 test images
    assert random_real.phases["evaluate"].flops == (3 * 150 * 10 + len_test()) * 11776
    assert random_real.peak_bytes > 100 * 2**20  # what this process holds already
    assert random_real.state == ""
    assert random_real.num_unknown == 0
    assert not store.root.exists()
    assert not (own_cache / "prepared").exists()


def len_test():
    from ddbench import load_dataset

    return len(load_dataset("digits").test)


def test_work_that_cells_share_is_counted_once(store):
    suite = make_suite(
        {"name": "herding", "settings": FEATURES},
        {"name": "k_center", "settings": FEATURES},
        networks=["convnet-d1-w8", "mlp"],
    )
    bases = [{n: p.basis for n, p in f.phases.items()} for f in forecast_suite(suite, store, CPU)]
    assert [found.get("prepare") for found in bases] == ["calibrated", None, "shared", None]
    assert [found["distill"] for found in bases] == ["calibrated", "shared", "calibrated", "shared"]
    assert {found["evaluate"] for found in bases} == {"calibrated"}


def test_a_teacher_that_methods_and_seeds_share_is_counted_once(store):
    teacher = {"teacher_network": "convnet-d1-w8-bn", "teacher_epochs": 2}
    suite = make_suite(
        {"name": "rded", "settings": teacher, "distill_seeds": 2},
        {"name": "sre2l", "settings": {**teacher, "steps": 3}},
    )
    found = [forecast.phases["prepare"] for forecast in forecast_suite(suite, store, CPU)]
    assert [phase.basis for phase in found] == ["calibrated", "shared", "shared"]
    assert found[0].seconds > 0


def test_a_finished_suite_is_done_and_work_that_is_kept_is_there(store, tmp_path):
    suite = make_suite({"name": "herding", "settings": FEATURES})
    (cell,) = suite.cells()
    folder = tmp_path / "cell"
    folder.mkdir()
    run_cell(cell, CPU, folder)  # its result is lost, the features stay
    (forecast,) = forecast_suite(suite, store, CPU)
    assert forecast.phases["prepare"] == PhaseForecast(0.0, 0, "there")
    keep(store, cell, {})
    (forecast,) = forecast_suite(suite, store, CPU)
    assert (forecast.state, forecast.phases, forecast.seconds) == ("done", {}, 0)
    keep(store, cell, {}, status="out_of_memory")
    (forecast,) = forecast_suite(suite, store, CPU)
    assert forecast.state == "again, was out of memory"
    assert forecast.phases


def test_earlier_results_of_this_machine_count_before_a_calibration(store):
    suite = make_suite("random_real", ipc=[1, 2], distill_seeds=2)
    first, *_ = cells = suite.cells()
    kept = keep(store, first, {"distill": 0.5, "evaluate": 40.0})
    forecasts = forecast_suite(suite, store, CPU)
    assert [forecast.state for forecast in forecasts] == ["done", "", "", ""]
    assert forecasts[1].phases["evaluate"].seconds == 40.0
    assert forecasts[1].phases["distill"].seconds == 0.5
    assert {phase.basis for forecast in forecasts[1:] for phase in forecast.phases.values()} == {"earlier"}
    # twice the images in as many steps: between as long and twice as long, and noise
    assert 20 < forecasts[2].phases["evaluate"].seconds < 120
    assert cells[2].ipc == 2
    with store.writing(first.key) as folder:
        write_result(kept.model_copy(update={"machine": {"id": "another"}}), folder)
    bases = {p.basis for forecast in forecast_suite(suite, store, CPU)[1:] for p in forecast.phases.values()}
    assert bases == {"calibrated"}


def test_a_method_that_declares_nothing_is_unknown_until_the_same_work_was_done(store, monkeypatch):
    monkeypatch.setattr(METHODS.get("random_real"), "work", lambda *_: None)
    suite = make_suite("random_real", distill_seeds=2)
    (forecast, _) = forecast_suite(suite, store, CPU)
    assert forecast.phases["distill"] == PhaseForecast(None, 0, "unknown")
    assert (forecast.num_unknown, forecast.peak_bytes) == (1, None)
    keep(store, suite.cells()[0], {"distill": 7.0, "evaluate": 1.0})
    forecast = forecast_suite(suite, store, CPU)[1]
    assert forecast.phases["distill"] == PhaseForecast(7.0, 0, "earlier")
    other = make_suite("random_real", ipc=[2])
    assert forecast_suite(other, store, CPU)[0].phases["distill"].basis == "unknown"


def test_a_cell_that_cannot_be_done_is_told_with_its_reason(store):
    (forecast,) = forecast_suite(make_suite("random_real", ipc=[5000]), store, CPU)
    assert forecast.state.startswith("will be skipped: random_real on digits: ipc must be 1..")
    assert forecast.phases == {}


def test_several_networks_are_trained_and_a_teacher_labels(store):
    plain, crossed = (
        forecast_suite(make_suite("random_real", **changes), store, CPU)[0].phases["evaluate"].flops
        for changes in ({}, {"evaluators": ["accuracy", "cross_architecture"], "cross_networks": ["convnet-d1-w8"]})
    )
    assert crossed == 2 * plain
