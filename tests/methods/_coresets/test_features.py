"""Tests of the features that herding, k-center and k-means select by."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from ddbench.method import make_method
from ddbench.methods._coresets import features
from ddbench.methods._coresets.features import FEATURES_FILE, NETWORK_FILE
from ddbench.methods.herding import herd
from ddbench.methods.k_center import choose_centers
from ddbench.network import InputShape, make_network
from ddbench.protocol import Schedule
from ddbench.students.loop import TrainingPlan, TrainingSet, train_student

SMALL = {"feature_network": "convnet-d1-w4", "feature_epochs": 2}


def prepared(name, toy, context, folder, network="convnet-d1-w4"):
    folder.mkdir(exist_ok=True)
    generator = torch.Generator().manual_seed(0)
    method = make_method(name, {**SMALL, "feature_network": network})
    found = method.prepare(toy, replace(context, generator=generator, cache_dir=folder))
    return method, replace(context, prepared=found)


def test_features_are_the_trained_networks_embeddings_of_all_images_in_order(toy, context, tmp_path):
    _, ready = prepared("herding", toy, context, tmp_path / "a")
    kept = load_file(ready.prepared / FEATURES_FILE)["features"]
    generator = torch.Generator().manual_seed(0)
    network = make_network("convnet-d1-w4", InputShape.of(toy.info), generator)
    plan = TrainingPlan(Schedule(epochs=2, drop_at=1), lr=0.01, batch_size=128, augmentation="")
    train_student(network, TrainingSet(toy.normalised(), toy.labels, toy.info), plan, generator)
    torch.testing.assert_close(kept, network.eval().embed(toy.normalised()).detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "select"), [("herding", herd), ("k_center", choose_centers)])
def test_selection_works_class_by_class_and_smaller_sets_begin_larger_ones(name, select, toy, context, tmp_path):
    method, ready = prepared(name, toy, context, tmp_path / "a")
    kept = load_file(ready.prepared / FEATURES_FILE)["features"]
    rows = {}
    for ipc in (1, 4, 7):
        distilled = method.distill(toy, ipc, ready)
        indices = torch.tensor(distilled.provenance["selected_indices"])
        assert torch.equal(distilled.images, toy.images[indices])
        rows[ipc] = indices.view(3, ipc)
        for label in range(3):
            members = toy.of_class(label)
            assert torch.equal(rows[ipc][label], members[select(kept[members], ipc)])
    assert torch.equal(rows[4][:, :1], rows[1])
    assert torch.equal(rows[7][:, :4], rows[4])


class Watched:
    """Images that say which of them are read at once."""

    def __init__(self, images):
        self.images, self.shape, self.read = images, images.shape, []

    def __getitem__(self, indices):
        self.read.append(indices.tolist())
        return self.images[indices]


@pytest.mark.parametrize("network", ["convnet-d1-w4", "convnet-d1-w4-bn"])
@pytest.mark.parametrize("name", ["herding", "k_center", "k_means", "moderate"])
def test_features_too_many_to_keep_are_made_class_by_class_and_choose_the_same(
    name, network, toy, context, tmp_path, monkeypatch
):
    method, ready = prepared(name, toy, context, tmp_path / "kept", network)
    expected = method.distill(toy, 2, replace(ready, generator=torch.Generator().manual_seed(1)))
    monkeypatch.setattr(features, "KEPT_BYTES", 27 * 64 * 4 - 1)
    method, ready = prepared(name, toy, context, tmp_path / "not kept", network)
    assert [path.name for path in ready.prepared.iterdir()] == [NETWORK_FILE]
    watched = Watched(toy.images)
    train = replace(toy, images=watched)
    found = method.distill(train, 2, replace(ready, generator=torch.Generator().manual_seed(1)))
    assert torch.equal(found.images, expected.images)
    assert found.provenance["selected_indices"] == expected.provenance["selected_indices"]
    assert watched.read == [*(toy.of_class(label).tolist() for label in range(3)), found.provenance["selected_indices"]]


def test_a_resumed_choice_goes_on_behind_the_classes_that_are_done(toy, context, tmp_path):
    method, ready = prepared("k_means", toy, context, tmp_path / "a")
    states = []

    def keep(iterable, description, state):
        for item in iterable:
            yield item
            states.append(state.save_state())

    def resume(iterable, description, state):
        state.load_state(states[1])
        yield from list(iterable)[2:]

    whole = method.distill(toy, 3, replace(ready, track=keep, generator=torch.Generator().manual_seed(5)))
    resumed = method.distill(toy, 3, replace(ready, track=resume, generator=torch.Generator().manual_seed(6)))
    assert len(states) == 3
    assert resumed.provenance["selected_indices"] == whole.provenance["selected_indices"]


@pytest.mark.parametrize("is_kept", [True, False])
def test_declared_memory_is_that_of_all_features_or_of_one_class(is_kept, toy, monkeypatch):
    if not is_kept:
        monkeypatch.setattr(features, "KEPT_BYTES", 27 * 64 * 4 - 1)
    work = make_method("herding", SMALL).work(toy, 1)
    assert work.distill.held_bytes == (27 if is_kept else features.WORKING_COPIES * 11) * 64 * 4
    passes = [[part.images for part in phase.passes] for phase in (work.prepare, work.distill)]
    assert passes == ([[54, 27], []] if is_kept else [[54], [27]])
