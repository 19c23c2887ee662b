"""Tests of MGD3: the guidance term, where it acts, and that images come nearer to their modes."""

from __future__ import annotations

import pytest
import torch

from ddbench.dataset import load_dataset
from ddbench.diffusion.guidance import GuidedStep
from ddbench.diffusion.sampling import draw_images
from ddbench.errors import BadInputError
from ddbench.method import config_of, make_method
from ddbench.methods.mgd3 import towards_modes
from ddbench.runs.distill import distill
from tests._killing import distil_toy

pytestmark = pytest.mark.usefixtures("own_cache")
SMOKE = {**make_method("mgd3").smoke_settings, "guidance": 1.0}


def test_the_defaults_are_those_of_the_paper():
    found = config_of(make_method("mgd3"))
    assert (found["mode_guidance"], found["stop_guidance"], found["sampling_steps"]) == (0.1, 25, 50)
    assert (found["guidance"], found["sampler"], found["steps"]) == (4.0, "ddpm", 0)


def test_the_term_equals_a_naive_one_in_float64():
    draws = torch.Generator().manual_seed(0)
    modes = {label: torch.randn(3, 2, 4, 4, generator=draws) for label in (5, 9)}
    clean = torch.randn(2, 2, 4, 4, generator=draws)
    deviation = torch.rand(2, 2, 4, 4, generator=draws)
    found = towards_modes(modes, 0.7, 25)(GuidedStep([9, 5], [2, 0], 26, clean, deviation))
    for place, (label, index) in enumerate(((9, 2), (5, 0))):
        for at in torch.cartesian_prod(torch.arange(2), torch.arange(4), torch.arange(4)).tolist():
            goal, now, spread = (float(t[tuple(at)]) for t in (modes[label][index], clean[place], deviation[place]))
            assert float(found[(place, *at)]) == pytest.approx(0.7 * spread * (goal - now), rel=1e-5, abs=1e-6)


def test_the_first_24_of_50_steps_are_guided():
    modes = {0: torch.ones(1, 1, 1, 1)}
    one = torch.ones(1, 1, 1, 1)
    guide = towards_modes(modes, 0.1, 25)
    guided = [left for left in reversed(range(50)) if guide(GuidedStep([0], [0], left, one, one)) is not None]
    assert guided == list(range(49, 25, -1))


def test_without_weight_the_images_are_those_of_dit_bit_for_bit():
    settings = {name: value for name, value in SMOKE.items() if name != "stop_guidance"}
    plain = distill("dit", "digits", 3, 5, settings)
    assert torch.equal(distill("mgd3", "digits", 3, 5, {**SMOKE, "mode_guidance": 0.0}).images, plain.images)
    assert not torch.equal(distill("mgd3", "digits", 3, 5, SMOKE).images, plain.images)


def test_guidance_brings_images_nearer_to_their_modes_and_its_reverse_does_not(monkeypatch):
    seen = {}

    def watched(modes, scale, stop):
        seen.update(modes)
        return towards_modes(modes, scale * sign, stop)

    monkeypatch.setattr("ddbench.methods.mgd3.towards_modes", watched)
    # Long enough trained for a prediction to follow its noisy sample, as guidance presumes.
    settings = {**SMOKE, "scratch_steps": 150, "sampling_steps": 20, "stop_guidance": 10}

    def distance(weight: float) -> float:
        made = distill("mgd3", "digits", 4, config={**settings, "mode_guidance": weight})
        inputs = made.images.view(10, 4, 1, 8, 8) / 127.5 - 1
        return float(torch.stack([(inputs[label] - modes).square().mean() for label, modes in seen.items()]).mean())

    sign = 1
    distances = [distance(weight) for weight in (0.0, 0.2, 0.8)]
    sign = -1
    reverse = distance(0.2)
    assert reverse > distances[0] > distances[1] > distances[2]


def test_seeds_give_other_images_and_the_same_seed_the_same():
    first, again, other = (distill("mgd3", "digits", 2, seed=seed, config=SMOKE).images for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_batches_of_any_size_draw_the_same_images():
    settings = {**SMOKE, "scratch_steps": 20, "mode_guidance": 0.5}
    first, second = (
        distill("mgd3", "digits", 2, config={**settings, "sampling_batch_size": size}).images.int() for size in (1, 32)
    )
    assert (first - second).abs().max() <= 1  # a float's rounding
    assert ((first != second).sum() < first.numel() / 100).item()


def test_an_interrupted_run_draws_the_rest_and_ends_with_the_same_set(monkeypatch):
    settings = {**SMOKE, "sampling_batch_size": 1, "mode_guidance": 0.5}
    whole, calls = distil_toy("mgd3", 4, settings, 8), []

    def stopping(*arguments, **options):
        calls.append(options["index"])
        if len(calls) == 6:
            raise KeyboardInterrupt
        return draw_images(*arguments, **options)

    monkeypatch.setattr("ddbench.diffusion.method.draw_images", stopping)
    with pytest.raises(KeyboardInterrupt):
        distil_toy("mgd3", 4, settings, 8)
    resumed = distil_toy("mgd3", 4, settings, 8)
    assert len(calls) == 3 * 4 + 1  # the sixth twice
    assert torch.equal(resumed.images, whole.images)


def test_as_many_modes_as_a_class_has_images_and_no_more():
    train = load_dataset("digits").train
    smallest = int(train.class_counts().min())
    assert make_method("mgd3", SMOKE).unsupported(train, smallest) is None
    assert f"ipc must be 1..{smallest}" in make_method("mgd3", SMOKE).unsupported(train, smallest + 1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sampler": "dpm++"}, "mode guidance is scaled by the noise of sampler=ddpm, got sampler=dpm++"),
        ({"sampling_steps": 20}, "stop_guidance must be at most sampling_steps, got 25 and 20"),
        ({"stop_guidance": -1}, "setting stop_guidance cannot be -1"),
        ({"mode_guidance": -0.1}, "setting mode_guidance cannot be -0.1"),
    ],
)
def test_settings_that_cannot_be_are_refused_in_one_line(settings, message):
    with pytest.raises(BadInputError) as caught:
        make_method("mgd3", settings)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
