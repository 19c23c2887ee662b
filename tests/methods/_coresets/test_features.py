"""Tests of the features that herding, k-center and k-means select by."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from ddbench.method import make_method
from ddbench.methods._coresets.features import FEATURES_FILE
from ddbench.methods.herding import herd
from ddbench.methods.k_center import choose_centers
from ddbench.network import InputShape, make_network
from ddbench.protocol import Schedule
from ddbench.students.loop import TrainingPlan, TrainingSet, train_student

SMALL = {"feature_network": "convnet-d1-w4", "feature_epochs": 2}


def prepared(name, toy, context, folder, seed=0):
    folder.mkdir(exist_ok=True)
    generator = torch.Generator().manual_seed(seed)
    method = make_method(name, SMALL)
    found = method.prepare(toy, replace(context, generator=generator, cache_dir=folder))
    return method, replace(context, prepared=found)


def test_features_are_the_trained_networks_embeddings_of_all_images_in_order(toy, context, tmp_path):
    _, ready = prepared("herding", toy, context, tmp_path / "a")
    features = load_file(ready.prepared / FEATURES_FILE)["features"]
    generator = torch.Generator().manual_seed(0)
    network = make_network("convnet-d1-w4", InputShape.of(toy.info), generator)
    plan = TrainingPlan(Schedule(epochs=2, drop_at=1), lr=0.01, batch_size=128, augmentation="")
    train_student(network, TrainingSet(toy.normalised(), toy.labels, toy.info), plan, generator)
    torch.testing.assert_close(features, network.eval().embed(toy.normalised()).detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "select"), [("herding", herd), ("k_center", choose_centers)])
def test_selection_works_class_by_class_and_smaller_sets_begin_larger_ones(name, select, toy, context, tmp_path):
    method, ready = prepared(name, toy, context, tmp_path / "a")
    features = load_file(ready.prepared / FEATURES_FILE)["features"]
    rows = {}
    for ipc in (1, 4, 7):
        distilled = method.distill(toy, ipc, ready)
        indices = torch.tensor(distilled.provenance["selected_indices"])
        assert torch.equal(distilled.images, toy.images[indices])
        rows[ipc] = indices.view(3, ipc)
        for label in range(3):
            members = toy.of_class(label)
            assert torch.equal(rows[ipc][label], members[select(features[members], ipc)])
    assert torch.equal(rows[4][:, :1], rows[1])
    assert torch.equal(rows[7][:, :4], rows[4])
