"""Tests of the moderate coreset, against the authors' slice of the sorted distances written as a loop."""

from __future__ import annotations

import statistics

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ddbench.methods import moderate
from ddbench.methods.moderate import middle


def naive_middle(features: list[list[float]], count: int) -> list[float]:
    """The distances of the rows that are chosen: of equal ones rounding decides which comes first."""
    center = [statistics.median(column) for column in zip(*features, strict=True)]
    distances = [sum((a - b) ** 2 for a, b in zip(row, center, strict=True)) ** 0.5 for row in features]
    start = round((len(features) - count) / 2)
    return sorted(distances)[start : start + count]


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32), rows=st.integers(1, 13), width=st.integers(1, 5), data=st.data())
def test_choices_are_those_of_the_loop(seed, rows, width, data):
    count = data.draw(st.integers(1, rows))
    features = torch.randn(rows, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    chosen = middle(features, count)
    distances = (features[chosen] - features.quantile(0.5, dim=0)).norm(dim=1)
    assert len(set(chosen.tolist())) == count
    assert distances.tolist() == pytest.approx(naive_middle(features.tolist(), count))


def test_neither_the_nearest_nor_the_farthest_is_chosen():
    features = torch.tensor([[0.0], [0.1], [1.0], [1.1], [9.0], [-9.5], [0.05]])
    assert set(middle(features, 3).tolist()) == {0, 2, 3}


def test_the_median_of_more_values_than_torch_takes_at_once_is_that_of_parts(monkeypatch):
    features = torch.randn(9, 7, generator=torch.Generator().manual_seed(0))
    expected = middle(features, 4)
    monkeypatch.setattr(moderate, "QUANTILE_VALUES", 20)
    assert torch.equal(middle(features, 4), expected)
    monkeypatch.undo()
    wide = torch.zeros(3, moderate.QUANTILE_VALUES // 3 + 1)
    wide[1:, -1] = torch.tensor([1.0, 5.0])
    assert middle(wide, 1).tolist() == [0]
