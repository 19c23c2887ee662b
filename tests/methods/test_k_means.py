"""Tests of k-means, against clusters that are known and a search over all images."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from ddbench.errors import BadInputError
from ddbench.method import make_method
from ddbench.methods._coresets.features import FEATURES_FILE
from ddbench.methods.herding import herd
from ddbench.methods.k_means import nearest_to_centers


def naive_nearest(features: list[list[float]], centers: list[list[float]]) -> list[int]:
    chosen: list[int] = []
    for center in centers:
        gaps = {
            i: sum((a - b) ** 2 for a, b in zip(row, center, strict=True))
            for i, row in enumerate(features)
            if i not in chosen
        }
        chosen.append(min(gaps, key=gaps.__getitem__))
    return chosen


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32), rows=st.sampled_from((4, 12, 60)), width=st.integers(1, 6), count=st.integers(1, 4))
def test_choices_are_those_of_the_exhaustive_search(seed, rows, width, count):
    draws = torch.Generator().manual_seed(seed)
    features = torch.randn(rows, width, dtype=torch.float64, generator=draws)
    centers = torch.randn(count, width, dtype=torch.float64, generator=draws)
    assert nearest_to_centers(features, centers).tolist() == naive_nearest(features.tolist(), centers.tolist())


@settings(deadline=None, max_examples=40)
@given(rows=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=10))
def test_choices_are_distinct_even_where_features_and_centres_are_not(rows):
    features = torch.tensor(rows, dtype=torch.float32)
    assert sorted(nearest_to_centers(features, features).tolist()) == list(range(len(rows)))


def test_each_cluster_gives_the_image_nearest_to_its_mean(toy, context, tmp_path):
    # Of each class the images stand, in turn, in two groups that lie far apart, of at least three: two would tie.
    draws = torch.Generator().manual_seed(2)
    rank = torch.tensor([int((toy.labels[:i] == toy.labels[i]).sum()) for i in range(27)])
    group = rank % 2
    features = 100.0 * torch.nn.functional.one_hot(group, 4) + torch.randn(27, 4, generator=draws)
    save_file({"features": features}, tmp_path / FEATURES_FILE)
    distilled = make_method("k_means").distill(toy, 2, replace(context, prepared=tmp_path))
    expected = set()
    for label in range(3):
        for part in range(2):
            members = [i for i in range(27) if (int(toy.labels[i]), int(group[i])) == (label, part)]
            rows = features[members].double()
            expected.add(members[naive_nearest(rows.tolist(), [rows.mean(0).tolist()])[0]])
    chosen = distilled.provenance["selected_indices"]
    assert len(chosen) == 6
    assert set(chosen) == expected
    assert toy.labels[chosen].tolist() == distilled.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert torch.equal(distilled.images, toy.images[chosen])


def test_one_image_per_class_is_the_one_nearest_to_the_class_mean_as_in_herding(toy, toy_features, prepared):
    chosen = make_method("k_means").distill(toy, 1, prepared).provenance["selected_indices"]
    for label, index in enumerate(chosen):
        members = toy.of_class(label)
        assert index == int(members[herd(toy_features[members], 1)[0]])


def test_the_seed_decides_where_clustering_starts(toy, prepared):
    def chosen(seed: int) -> list[int]:
        ctx = replace(prepared, generator=torch.Generator().manual_seed(seed))
        return make_method("k_means", {"restarts": 1}).distill(toy, 4, ctx).provenance["selected_indices"]

    assert chosen(0) == chosen(0)
    assert any(chosen(seed) != chosen(0) for seed in range(1, 6))


@pytest.mark.parametrize("ipc", [6, 7])
def test_as_many_clusters_as_images_still_give_distinct_images(ipc, toy, prepared):
    chosen = make_method("k_means").distill(toy, ipc, prepared).provenance["selected_indices"]
    assert len(set(chosen)) == 3 * ipc


def test_no_restarts_are_refused():
    with pytest.raises(BadInputError, match="setting restarts cannot be 0: Input should be greater than 0"):
        make_method("k_means", {"restarts": 0})
