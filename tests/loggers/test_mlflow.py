"""MLflow's own client finds in the database what the run has logged."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from tests.loggers._logged import TITLE, assert_same_numbers, pixels_of


@pytest.fixture(scope="module")
def logged(run_once):
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        return run_once("mlflow")


@pytest.fixture(scope="module")
def client(logged):
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{logged.logs / 'mlflow' / 'mlflow.db'}")


@pytest.fixture(scope="module")
def run(client):
    experiment = client.get_experiment_by_name("ddbench")
    (found,) = client.search_runs([experiment.experiment_id])
    return found


def test_a_run_has_its_title_and_is_finished(run):
    assert (run.info.run_name, run.info.status) == (TITLE, "FINISHED")


def test_losses_are_there_by_step(logged, client, run):
    found = {metric.step: metric.value for metric in client.get_metric_history(run.info.run_id, "loss")}
    assert list(logged.losses) == [0, 100, 200]
    assert found == logged.losses


def test_images_are_there_by_step_and_the_set_at_the_end(logged, run):
    folder = Path(run.info.artifact_uri.removeprefix("file://")) / "images"
    assert folder.is_relative_to(logged.logs / "mlflow")
    names = [re.fullmatch(r"images[+%]step[+%](\d+)[+%].*\.png", path.name) for path in folder.iterdir()]
    assert sorted(int(found[1]) for found in names if found) == [0, 100, 200]
    (last,) = folder.glob("distilled*.png")
    assert np.array_equal(pixels_of(last), logged.picture)


def test_settings_are_its_parameters(logged, run):
    assert {name: run.data.params[name] for name in logged.settings} == {
        name: str(value) for name, value in logged.settings.items()
    }


def test_metrics_and_costs_are_those_of_the_result(logged, run):
    found = {name: value for name, value in run.data.metrics.items() if name.startswith("result/")}
    assert found == logged.values


def test_numbers_are_those_of_a_run_without_it(logged, run_once):
    assert_same_numbers(logged, run_once())
    assert logged.result.engine == {**run_once().result.engine, "loggers": "mlflow"}
