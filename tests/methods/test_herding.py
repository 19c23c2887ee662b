"""Tests of herding, against a search that computes every mean anew, and of the features it selects by."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor

from ddbench.method import make_method
from ddbench.methods._coresets.features import FEATURES_FILE
from ddbench.methods.herding import herd
from ddbench.runs.distill import distill
from ddbench.runs.preparation import prepared_key
from ddbench.seeding import make_generator


def naive_herd(features: list[list[float]], count: int) -> list[int]:
    width = range(len(features[0]))
    target = [sum(row[d] for row in features) / len(features) for d in width]
    chosen: list[int] = []
    for _ in range(count):
        gaps = {}
        for candidate in range(len(features)):
            if candidate not in chosen:
                rows = [features[i] for i in [*chosen, candidate]]
                mean = [sum(row[d] for row in rows) / len(rows) for d in width]
                gaps[candidate] = sum((mean[d] - target[d]) ** 2 for d in width)
        chosen.append(min(gaps, key=gaps.__getitem__))
    return chosen


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 12), width=st.integers(1, 6), offset=st.sampled_from((0, 5)))
def test_choices_are_those_of_the_exhaustive_search(seed, count, width, offset):
    draws = torch.Generator().manual_seed(seed)
    features = offset + torch.randn(12, width, dtype=torch.float64, generator=draws)
    assert herd(features, count).tolist() == naive_herd(features.tolist(), count)


@settings(deadline=None, max_examples=40)
@given(rows=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=10))
def test_choices_are_distinct_even_where_features_are_not(rows):
    features = torch.tensor(rows, dtype=torch.float32)
    assert sorted(herd(features, len(rows)).tolist()) == list(range(len(rows)))


def test_smaller_choices_begin_larger_ones(toy_features):
    longest = herd(toy_features, 20).tolist()
    assert all(herd(toy_features, count).tolist() == longest[:count] for count in range(1, 20))


def test_features_are_left_as_they_are(toy_features):
    before = toy_features.clone()
    herd(toy_features, 5)
    assert torch.equal(toy_features, before)


@pytest.mark.parametrize("ipc", [1, 4])
def test_the_set_holds_the_choices_of_every_class(ipc, toy, toy_features, prepared):
    distilled = make_method("herding").distill(toy, ipc, prepared)
    expected = []
    for label in range(3):
        members = [i for i in range(27) if int(toy.labels[i]) == label]
        expected += [members[i] for i in naive_herd(toy_features[members].double().tolist(), ipc)]
    assert distilled.provenance["selected_indices"] == expected
    assert torch.equal(distilled.images, toy.images[expected])
    assert distilled.labels.tolist() == toy.labels[expected].tolist()
    assert (distilled.ipc, distilled.space) == (ipc, "pixels")


SMALL = {"feature_network": "convnet-d1-w4", "feature_epochs": 2}


def test_features_are_the_trained_networks_embeddings_of_all_images_in_order(toy, context):
    made: list[Tensor] = []
    for seed in (3, 3, 4):
        folder = context.cache_dir / str(len(made))
        folder.mkdir()
        ctx = replace(context, generator=make_generator(seed), cache_dir=folder)
        assert make_method("herding", SMALL).prepare(toy, ctx) == folder
        made.append(load_file(folder / FEATURES_FILE)["features"])
    first, again, other = made
    assert first.shape == (27, 64)
    assert first.dtype == torch.float32
    assert first.isfinite().all()
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)


def test_features_separate_the_classes_they_were_trained_on(digits, context):
    some = replace(digits, images=digits.images[:300], labels=digits.labels[:300])
    make_method("herding", {"feature_network": "convnet-d1-w8", "feature_epochs": 3}).prepare(some, context)
    features = load_file(context.cache_dir / FEATURES_FILE)["features"]
    centres = torch.stack([features[some.of_class(label)].mean(0) for label in range(10)])
    nearest = torch.cdist(features, centres).argmin(1)
    assert (nearest == some.labels).float().mean() > 0.7


def test_every_method_by_features_reads_the_same_prepared_folder(toy, context):
    names = ("herding", "k_center", "k_means", "moderate")
    assert {make_method(name).prepare_name for name in names} == {"features"}
    keys = {prepared_key(name, make_method(name), toy, 0).digest for name in names}
    assert len(keys) == 1


def test_features_are_made_once_for_every_ipc_and_method(own_cache):
    phases = [
        next(
            phase
            for phase in distill(name, "digits", ipc, 0, SMALL, "cpu").provenance["phases"]
            if phase["name"] == "prepare"
        )
        for name, ipc in (("herding", 1), ("herding", 2), ("k_center", 1))
    ]
    assert [phase["cached"] for phase in phases] == [False, True, True]
    assert phases[1]["reading"] == phases[0]["reading"]
    assert len(list(own_cache.glob("prepared/*/" + FEATURES_FILE))) == 1


def test_distilling_without_prepared_features_says_what_to_run(toy, context):
    with pytest.raises(RuntimeError, match="features are made by prepare"):
        make_method("herding").distill(toy, 1, context)
