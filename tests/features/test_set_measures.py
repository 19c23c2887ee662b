"""Tests of the measures of one class: against double loops in Python, and what holds for any set."""

import math

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ddbench.features import set_measures
from ddbench.features.set_measures import (
    NEIGHBOURS,
    best_matches,
    diversity,
    expected_coverage,
    frechet_distance,
    manifold_measures,
    measure_class,
    neighbour_radii,
)

seeds = st.integers(0, 2**32)
sizes = st.integers(1, 9)


def draw(seed, *shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def measure(real, distilled):
    return measure_class(real, neighbour_radii(real), distilled)


def distance(a, b):
    return math.sqrt(sum((x - y) ** 2 for x, y in zip(a, b, strict=True)))


def cosine(a, b):
    zero = [0.0] * len(a)
    return sum(x * y for x, y in zip(a, b, strict=True)) / (distance(a, zero) * distance(b, zero))


def naive_radius(points, i):
    others = sorted(distance(points[i], other) for j, other in enumerate(points) if j != i)
    return others[min(NEIGHBOURS, len(others)) - 1]


def naive_percentile(values, fraction):
    ordered, place = sorted(values), fraction * (len(values) - 1)
    low, high = ordered[math.floor(place)], ordered[math.ceil(place)]
    return low + (high - low) * (place - math.floor(place))


def naive_measures(real, distilled):
    """The definitions word for word, for lists of at least two rows each."""
    best = [max(cosine(x, y) for y in distilled) for x in real]
    pairs = [[1 - cosine(x, y) for j, y in enumerate(distilled) if j != i] for i, x in enumerate(distilled)]
    real_balls = [naive_radius(real, i) for i in range(len(real))]
    distilled_balls = [naive_radius(distilled, j) for j in range(len(distilled))]
    holds = [[distance(x, y) <= radius for y in distilled] for x, radius in zip(real, real_balls, strict=True)]
    held = [any(distance(x, y) <= radius for y, radius in zip(distilled, distilled_balls, strict=True)) for x in real]
    k = min(NEIGHBOURS, len(real) - 1)
    return {
        "representativeness": sum(best) / len(best),
        "representativeness_p10": naive_percentile(best, 0.1),
        "diversity": sum(map(sum, pairs)) / sum(map(len, pairs)),
        "diversity_nearest": sum(map(min, pairs)) / len(pairs),
        "precision": sum(map(any, zip(*holds, strict=True))) / len(distilled),
        "recall": sum(held) / len(real),
        "density": sum(map(sum, holds)) / (k * len(distilled)),
        "coverage": sum(map(any, holds)) / len(real),
    }


@pytest.mark.parametrize("chunk_entries", [1, 40, 2**22])
@pytest.mark.parametrize(("real_size", "distilled_size"), [(20, 8), (7, 2), (3, 4), (2, 2)])
def test_every_measure_is_its_definition(real_size, distilled_size, chunk_entries, monkeypatch):
    monkeypatch.setattr(set_measures, "CHUNK_ENTRIES", chunk_entries)
    values = set()
    for seed in range(5):
        real, distilled = draw(seed, real_size, 3), draw(seed + 100, distilled_size, 3)
        found = measure(real, distilled)
        assert found == pytest.approx(naive_measures(real.tolist(), distilled.tolist()), abs=1e-9)
        values |= {found["precision"], found["recall"], found["coverage"]}
    assert values - {0.0, 1.0}, "the cases must tell definitions apart"


@settings(deadline=None)
@given(seeds, st.integers(2, 12), sizes)
def test_the_order_of_images_is_of_no_meaning(seed, real_size, distilled_size):
    real, distilled = draw(seed, real_size, 3), draw(seed + 1, distilled_size, 3)
    generator = torch.Generator().manual_seed(seed)
    mixed = measure(
        real[torch.randperm(real_size, generator=generator)],
        distilled[torch.randperm(distilled_size, generator=generator)],
    )
    assert mixed == pytest.approx(measure(real, distilled), abs=1e-12)


@settings(deadline=None)
@given(seeds, st.integers(2, 12), st.booleans())
def test_the_real_images_themselves_score_one(seed, size, has_copies):
    real = draw(seed, size, 3)
    real = torch.cat([real, real]) if has_copies else real
    found = measure(real, real.clone())
    assert found["representativeness"] == pytest.approx(1)
    assert found["representativeness_p10"] == pytest.approx(1)
    assert (found["precision"], found["recall"], found["coverage"]) == (1, 1, 1)


@settings(deadline=None)
@given(seeds, st.integers(2, 12), sizes)
def test_one_more_image_never_lowers_representativeness_or_coverage(seed, real_size, distilled_size):
    real, distilled = draw(seed, real_size, 3), draw(seed + 1, distilled_size + 1, 3)
    fewer, more = measure(real, distilled[:-1]), measure(real, distilled)
    for name in ("representativeness", "representativeness_p10", "coverage"):
        assert more[name] >= fewer[name] - 1e-12


@settings(deadline=None)
@given(seeds, st.integers(2, 12), st.integers(2, 9))
def test_measures_stay_in_their_ranges(seed, real_size, distilled_size):
    found = measure(draw(seed, real_size, 2), draw(seed + 1, distilled_size, 2))
    assert all(-1 <= found[name] <= 1 for name in ("representativeness", "representativeness_p10"))
    assert all(0 <= found[name] <= 2 for name in ("diversity", "diversity_nearest"))
    assert all(0 <= found[name] <= 1 for name in ("precision", "recall", "coverage"))
    assert found["representativeness_p10"] <= 1
    assert found["diversity_nearest"] <= found["diversity"] + 1e-12
    assert found["density"] >= 0


@settings(deadline=None)
@given(seeds, st.integers(2, 12), sizes)
def test_a_common_scale_changes_nothing(seed, real_size, distilled_size):
    real, distilled = draw(seed, real_size, 3), draw(seed + 1, distilled_size, 3)
    assert measure(8 * real, 8 * distilled) == pytest.approx(measure(real, distilled), abs=1e-9)


def test_a_single_image_has_no_diversity_and_no_recall():
    found = measure(draw(0, 10, 3), draw(1, 1, 3))
    assert set(found) == {"representativeness", "representativeness_p10", "precision", "density", "coverage"}


def test_a_class_without_images_represents_and_covers_nothing():
    found = measure(draw(0, 10, 3), torch.zeros(0, 3))
    assert found == {"representativeness": -1, "representativeness_p10": -1, "coverage": 0}


def test_a_single_real_image_has_no_manifold():
    real = draw(0, 1, 3)
    assert neighbour_radii(real).tolist() == [0]
    assert set(measure(real, draw(1, 1, 3))) == {"representativeness", "representativeness_p10"}


def test_equal_images_have_no_diversity():
    assert diversity(draw(0, 1, 3).repeat(4, 1)) == pytest.approx({"diversity": 0, "diversity_nearest": 0}, abs=1e-12)


def test_the_cosine_with_zeros_is_zero():
    assert best_matches(draw(0, 4, 3), torch.zeros(1, 3, dtype=torch.float64)).tolist() == [0] * 4


def test_an_image_on_the_surface_of_a_ball_lies_in_it_whatever_its_last_bits():
    real = draw(0, 12, 16)
    radii = neighbour_radii(real)
    exact = manifold_measures(real, radii, real[:3])
    for seed in range(5):
        assert manifold_measures(real, radii, real[:3] + 1e-6 * draw(seed, 3, 16)) == exact


def test_a_sample_of_the_real_images_covers_what_the_paper_expects():
    """Naeem et al., lemma 2: 1 - (N-1)...(N-k) / (M+N-1)...(M+N-k) for M and N draws from one distribution."""
    count, drawn = 200, 40
    missed = math.prod((count - i) / (drawn + count - i) for i in range(1, NEIGHBOURS + 1))
    found = [measure(draw(seed, count, 4), draw(seed + 1000, drawn, 4))["coverage"] for seed in range(30)]
    assert sum(found) / len(found) == pytest.approx(1 - missed, abs=0.02)


def naive_frechet(real, generated):
    """The definition with scipy's root of a matrix."""
    means = [rows.mean(0) for rows in (real, generated)]
    covariances = [np.cov(rows.numpy(), rowvar=False) for rows in (real, generated)]
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
    return float((means[0] - means[1]).square().sum()) + np.trace(covariances[0] + covariances[1] - 2 * root)


@pytest.mark.parametrize(("num_real", "num_generated"), [(40, 12), (12, 40), (30, 30)])
def test_the_frechet_distance_is_its_definitions(num_real, num_generated):
    real, generated = draw(1, num_real, 6), 0.5 * draw(2, num_generated, 6) + 1
    expected = naive_frechet(real, generated)
    assert frechet_distance(real, generated) == pytest.approx(expected, rel=1e-6)  # scipy's root has 8 digits


def test_the_frechet_distance_of_one_set_to_itself_is_zero_and_of_a_shifted_one_the_shift():
    rows = draw(3, 20, 50)  # fewer images than features
    assert frechet_distance(rows, rows) == pytest.approx(0, abs=1e-5)
    assert frechet_distance(rows, rows + 2) == pytest.approx(50 * 4, rel=1e-6)


@given(seed=seeds, num_real=st.integers(2, 9), num_generated=st.integers(2, 9))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_the_frechet_distance_is_no_less_than_that_of_the_means_and_symmetric(seed, num_real, num_generated):
    real, generated = draw(seed, num_real, 4), draw(seed + 1, num_generated, 4)
    found = frechet_distance(real, generated)
    assert found >= float((real.mean(0) - generated.mean(0)).square().sum()) - 1e-9
    assert frechet_distance(generated, real) == pytest.approx(found, rel=1e-7, abs=1e-9)


@pytest.mark.parametrize(("num_real", "num_generated"), [(60, 20), (137, 50), (4, 3)])
def test_images_drawn_like_the_real_ones_cover_what_is_expected(num_real, num_generated):
    covered = []
    for seed in range(40):
        real, generated = draw(seed, num_real, 3), draw(1000 + seed, num_generated, 3)
        covered.append(manifold_measures(real, neighbour_radii(real), generated)["coverage"])
    expected = expected_coverage(num_real, num_generated)
    assert sum(covered) / len(covered) == pytest.approx(expected, abs=4 * 0.5 / math.sqrt(40 * num_real) + 0.02)


def test_more_images_cover_more_and_none_nothing():
    found = [expected_coverage(5000, count) for count in (0, 10, 50, 5000)]
    assert found[0] == 0
    assert found == sorted(found)
    assert found[1] == pytest.approx(0.00995, abs=1e-4)
