"""Speed measured before work: what is measured, how often, and how it is scaled."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ddbench import load_dataset
from ddbench.engine.passes import NetworkEngine
from ddbench.forecast.calibration import PLAIN, Calibration, Speed
from ddbench.work import FORWARD, META, TRAINING, Passes


@pytest.fixture
def calibration():
    return Calibration(torch.device("cpu"), load_dataset("digits").info)


def test_seconds_are_steps_and_images_at_a_speed_measured_once(calibration):
    forward = Passes("convnet-d1-w8", 1000, 10, FORWARD)
    first = calibration.seconds([forward])
    assert first > 0
    assert calibration.seconds([forward]) == first
    assert calibration.seconds([forward, forward]) == pytest.approx(2 * first)
    assert calibration.seconds([Passes("convnet-d1-w8", 1000, 1, FORWARD)]) >= first
    assert calibration.seconds([Passes("convnet-d1-w8", 0, 10, FORWARD)]) == 0
    training = calibration.seconds([Passes("convnet-d1-w8", 1000, 10, TRAINING)])
    assert calibration.seconds([Passes("convnet-d1-w8", 1000, 10, META)]) == pytest.approx(3 * training)


@pytest.mark.parametrize(
    ("few", "many", "speed"),
    [
        (2.0, 5.0, Speed(1.0, 0.125)),
        (4.0, 4.0, Speed(4.0, 0.0)),  # images cost nothing beside the step
        (5.0, 4.0, Speed(4.0, 0.0)),  # noise: more images took less
        (0.5, 4.0, Speed(0.0, 0.125)),  # noise: a step would cost less than nothing
    ],
)
def test_noise_makes_no_part_negative(calibration, monkeypatch, few, many, speed):
    monkeypatch.setattr(calibration, "_time", lambda run, count, steps: many if count == 32 else few)
    assert calibration._measure("convnet-d1-w8", PLAIN, trains=False, is_native=False) == speed


def test_measuring_draws_nothing_from_the_global_generator(calibration):
    before = torch.get_rng_state()
    calibration.seconds([Passes("convnet-d1-w8", 10, 10, TRAINING)])
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.compiler
@pytest.mark.parametrize("cost", [FORWARD, TRAINING])
def test_native_passes_are_measured_in_native_form_and_others_as_they_are(calibration, monkeypatch, cost):
    passed = []
    monkeypatch.setattr(NetworkEngine, "form_of", lambda self, network: passed.append(self) or network)
    plan = replace(PLAIN, precision="bf16")
    calibration.seconds([Passes("convnet-d1-w8", 100, 10, cost, is_native=True)], plan)
    assert passed
    assert all(engine.is_native and engine.precision == "bf16" for engine in passed)
    passed.clear()
    calibration.seconds([Passes("convnet-d1-w8", 100, 10, cost)])
    assert passed
    assert not any(engine.is_native for engine in passed)
