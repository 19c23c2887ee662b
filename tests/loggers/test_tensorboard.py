"""TensorBoard's own reader finds in the event files what the run has logged."""

from __future__ import annotations

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.metadata import SESSION_START_INFO_TAG
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from tests.loggers._logged import TITLE, assert_same_numbers, pixels_of


@pytest.fixture(scope="module")
def logged(run_once):
    return run_once("tensorboard")


@pytest.fixture(scope="module")
def events(logged):
    accumulator = EventAccumulator(str(logged.logs / "tensorboard" / TITLE), size_guidance={"images": 0, "scalars": 0})
    return accumulator.Reload()


def test_a_run_is_one_folder_of_its_name(logged):
    assert [path.name for path in (logged.logs / "tensorboard").iterdir()] == [TITLE]


def test_losses_are_there_by_step(logged, events):
    found = {event.step: event.value for event in events.Scalars("loss")}
    assert list(logged.losses) == [0, 100, 200]
    assert found == {step: float(np.float32(loss)) for step, loss in logged.losses.items()}


def test_images_are_there_by_step_and_the_set_at_the_end(logged, events):
    assert [event.step for event in events.Images("images")] == [0, 100, 200]
    (last,) = events.Images("distilled")
    assert np.array_equal(pixels_of(last.encoded_image_string), logged.picture)


def test_settings_are_hyperparameters(logged, events):
    content = events.PluginTagToContent("hparams")[SESSION_START_INFO_TAG]
    found = HParamsPluginData.FromString(content).session_start_info.hparams
    values = {name: getattr(value, value.WhichOneof("kind")) for name, value in found.items()}
    assert {name: values[name] for name in logged.settings} == logged.settings


def test_metrics_and_costs_are_those_of_the_result(logged, events):
    found = {name: events.Scalars(name)[0].value for name in events.Tags()["scalars"] if name.startswith("result/")}
    assert found == {name: float(np.float32(value)) for name, value in logged.values.items()}
    assert {"result/test_accuracy", "result/test_accuracy/1", "result/distill/seconds"} <= set(found)


def test_numbers_are_those_of_a_run_without_it(logged, run_once):
    assert_same_numbers(logged, run_once())
    assert logged.result.engine == {**run_once().result.engine, "loggers": "tensorboard"}
