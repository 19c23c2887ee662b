"""Tests of the feature space: what it is made from, and whose features it gives."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ddbench import load_dataset
from ddbench.augment.zca import fit_zca, whiten
from ddbench.distilled.dataset import DistilledDataset
from ddbench.features.feature_space import (
    as_normalised,
    default_extractor,
    find_feature_space,
    measure_set,
    train_extractor,
)

SMALL = "convnet-d1-w8"

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture(scope="module")
def real():
    """The 8x8 digits."""
    return load_dataset("digits")


def test_the_extractor_depends_on_the_data_set_alone(real, context, own_cache, monkeypatch):
    first = find_feature_space(SMALL, real.train, context)
    monkeypatch.setenv("DDBENCH_CACHE_DIR", f"{own_cache}-other")
    context.generator.manual_seed(1)
    again = find_feature_space(SMALL, real.train, context)
    assert (again.fingerprint, again.folder.name) == (first.fingerprint, first.folder.name)
    found = []
    for changes in ({"fingerprint": "c1-another"}, {"layout": "another"}):
        info = replace(real.info, **changes)
        found.append(find_feature_space(SMALL, replace(real.train, info=info), context))
    assert len({space.folder.name for space in (first, *found)}) == 3
    assert found[0].fingerprint == first.fingerprint  # the same pixels here: seeds are those of old results
    assert found[1].fingerprint != first.fingerprint


def test_real_features_are_those_of_the_network(real, context):
    space = find_feature_space(SMALL, real.train, context)
    indices = real.train.of_class(4)
    features, radii = space.real_class(4)
    with torch.no_grad():
        expected = space.network.embed(real.train.normalised(indices))
    torch.testing.assert_close(features, expected)
    assert radii.shape == (len(indices),)


def test_whitening_is_undone_and_pixels_are_not_clipped(real):
    whitening = fit_zca(real.train)
    pixels = torch.linspace(-1, 2, 10 * 64).view(10, 1, 8, 8)
    distilled = DistilledDataset(whiten(pixels, whitening), torch.arange(10), 10, 1, "zca", whitening=whitening)
    images = as_normalised(distilled, real.info, torch.device("cpu")).images
    torch.testing.assert_close(images, real.info.normalise(pixels), rtol=1e-3, atol=1e-3)


def test_training_images_that_are_not_held_give_the_same_features(real, context, own_cache, monkeypatch):
    class Source:
        """Gives images when asked for some."""

        shape = real.train.images.shape

        def __getitem__(self, indices):
            return real.train.images[indices]

    held = find_feature_space(SMALL, real.train, context)
    monkeypatch.setenv("DDBENCH_CACHE_DIR", f"{own_cache}-other")
    read = find_feature_space(SMALL, replace(real.train, images=Source()), context)
    assert read.fingerprint == held.fingerprint
    torch.testing.assert_close(read.real_class(2), held.real_class(2))


@pytest.mark.parametrize(
    ("size", "name"), [(8, "d1"), (16, "d2"), (28, "d3"), (32, "d3"), (64, "d4"), (128, "d5"), (224, "d6"), (2, "d1")]
)
def test_the_default_convnet_is_as_deep_as_the_images_allow(size, name, real):
    assert default_extractor(replace(real.info, image_size=size)) == f"convnet-{name}"


def test_another_seed_trains_another_network_and_the_evaluators_stays(real, context):
    space = find_feature_space(SMALL, real.train, context)
    again, other = (train_extractor(SMALL, real.train, context, seed=seed).state_dict() for seed in (0, 1))
    for name, tensor in space.network.state_dict().items():
        assert torch.equal(again[name], tensor)
        assert not torch.equal(other[name], tensor)


def test_the_real_images_themselves_are_their_own_measure(real, context):
    space = find_feature_space("pixels", real.train, context)
    whole = DistilledDataset(real.train.images, real.train.labels, 10, None, "pixels")
    found = measure_set(whole, real.info, space, context)
    assert (found["precision"], found["recall"], found["coverage"]) == (1, 1, 1)
