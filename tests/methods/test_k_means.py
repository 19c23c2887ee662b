"""Tests of k-means selection, against a loop over centres and rows."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ddbench.errors import BadInputError
from ddbench.method import RunContext, make_method
from ddbench.methods.k_means import nearest_to_centers


def naive_nearest(rows: list[list[float]], centers: list[list[float]]) -> list[int]:
    chosen: list[int] = []
    for center in centers:
        free = [i for i in range(len(rows)) if i not in chosen]
        chosen.append(min(free, key=lambda i: sum((x - y) ** 2 for x, y in zip(rows[i], center, strict=True))))
    return chosen


@pytest.mark.parametrize("seed", range(5))
def test_the_nearest_rows_equal_the_exhaustive_search(seed):
    generator = torch.Generator().manual_seed(seed)
    rows, centers = (torch.randn(count, 4, dtype=torch.float64, generator=generator) for count in (15, 12))
    assert nearest_to_centers(rows, centers).tolist() == naive_nearest(rows.tolist(), centers.tolist())


def test_rows_are_distinct_even_where_centers_coincide():
    rows = torch.tensor([[0.0], [1.0], [5.0]])
    assert nearest_to_centers(rows, torch.tensor([[0.1], [0.1], [0.1]])).tolist() == [0, 1, 2]


def clustered(context: RunContext, toy, folder, seed: int):
    from safetensors.torch import save_file

    # Features of class k: its images, in order, near 0, 10 and 20 in turn.
    features = torch.zeros(len(toy), 2)
    for label in range(3):
        for position, index in enumerate(toy.of_class(label).tolist()):
            features[index] = torch.tensor([10.0 * (position % 3), 0.01 * position])
    save_file({"features": features}, folder / "features.safetensors")
    generator = torch.Generator().manual_seed(seed)
    method = make_method("k_means")
    distilled = method.distill(toy, 3, replace(context, generator=generator, prepared=folder))
    return features, distilled.provenance["selected_indices"]


def test_every_cluster_of_every_class_gives_its_most_central_image(toy, context, tmp_path):
    features, indices = clustered(context, toy, tmp_path, 0)
    assert toy.labels[indices].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    for label in range(3):
        members = toy.of_class(label)
        for cluster in (0.0, 10.0, 20.0):
            rows = members[features[members, 0] == cluster]
            gaps = (features[rows] - features[rows].mean(0)).square().sum(1)
            chosen = [i for i in indices if int(toy.labels[i]) == label and features[i, 0] == cluster]
            assert len(chosen) == 1
            assert gaps[rows.tolist().index(chosen[0])] <= gaps.min() + 1e-6


def test_the_seed_decides_the_start_and_the_global_generator_is_not_used(toy, context, tmp_path):
    before = torch.get_rng_state()
    assert clustered(context, toy, tmp_path, 3)[1] == clustered(context, toy, tmp_path, 3)[1]
    assert torch.equal(torch.get_rng_state(), before)


def test_restarts_must_be_positive():
    with pytest.raises(BadInputError, match="restarts"):
        make_method("k_means", {"restarts": 0})
