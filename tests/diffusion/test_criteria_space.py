"""Tests of the spaces that the criteria compare samples in."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from ddbench.diffusion.codec import PixelCodec
from ddbench.diffusion.criteria_space import INPUTS, CentredSpace, mean_dissimilarity, space_maker
from ddbench.diffusion.inputs import PixelInputs
from ddbench.errors import BadInputError

CPU = torch.device("cpu")
pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture(scope="module")
def inputs(digits):
    """Its images of two classes, in [-1, 1]."""
    return PixelInputs(digits, [3, 8], PixelCodec())


def all_of(inputs):
    count = len(inputs.labels)
    return inputs.take(torch.arange(count), torch.zeros(count, dtype=torch.bool), None)


def naive_dissimilarity(samples, labels):
    means = []
    for label in sorted(set(labels.tolist())):
        own = samples[labels == label]
        cosines = F.cosine_similarity(own[:, None], own[None], dim=2)
        pairs = [1 - cosines[i, j] for i in range(len(own)) for j in range(len(own)) if i != j]
        means.append(sum(pairs) / len(pairs))
    return float(sum(means) / len(means))


def test_the_papers_space_is_the_flat_inputs_with_unit_one(inputs):
    clean = all_of(inputs)[:5]
    assert torch.equal(INPUTS.project(clean), clean.flatten(1))
    assert (INPUTS.unit, INPUTS.dim) == (1, None)


def test_the_mean_dissimilarity_is_that_of_all_pairs():
    samples = torch.randn(11, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = torch.tensor([0, 1, 1, 2, 2, 2, 2, 1, 0, 0, 2])
    assert mean_dissimilarity(samples, labels) == pytest.approx(naive_dissimilarity(samples, labels), rel=1e-12)
    assert mean_dissimilarity(samples[:1], labels[:1]) == 1


@pytest.mark.parametrize("name", ["centred", "features"])
def test_real_images_are_centred_and_a_unit_is_two_average_ones_of_a_class(name, inputs, digits, context):
    space = space_maker(name, digits, context)(inputs)
    chosen = torch.cat([(inputs.labels == label).nonzero()[:64, 0] for label in (3, 8)])
    samples = space.project(all_of(inputs)[chosen])
    assert samples.shape == (128, space.dim)
    torch.testing.assert_close(samples.mean(0), torch.zeros(space.dim), atol=1e-4, rtol=0)
    assert samples.std(0, correction=0).max() <= 1.001  # less where a coordinate hardly varies
    assert space.unit == pytest.approx(naive_dissimilarity(samples.double(), inputs.labels[chosen]), rel=1e-5)
    flat = mean_dissimilarity(all_of(inputs)[chosen].flatten(1), inputs.labels[chosen])
    assert space.unit > 2 * flat  # what the images have in common no longer counts


@pytest.mark.parametrize("name", ["inputs", "centred", "features"])
def test_gradients_reach_the_images_and_nothing_else(name, inputs, digits, context):
    space = space_maker(name, digits, context)(inputs)
    clean = all_of(inputs)[:3].requires_grad_()
    space.project(clean).square().sum().backward()
    assert clean.grad.flatten(1).any(1).all()
    if name == "features":
        assert not any(parameter.requires_grad for parameter in space._network.parameters())


def test_a_space_depends_on_the_images_alone(inputs, digits, context):
    clean = all_of(inputs)[:4]
    first = space_maker("features", digits, context)(inputs).project(clean)
    context.generator.manual_seed(99)
    assert torch.equal(space_maker("features", digits, context)(inputs).project(clean), first)


def test_pixels_that_never_change_count_for_little(inputs):
    space, clean = CentredSpace(inputs, CPU), all_of(inputs)
    constant = clean.flatten(1).std(0) == 0
    assert constant.any()
    moved = clean[:1].clone().flatten(1)
    moved[:, constant] += 0.1
    shift = (space.project(moved.view(1, 1, 8, 8)) - space.project(clean[:1])).abs()
    assert shift.isfinite().all()
    assert shift.max() < 10


def test_images_that_do_not_differ_are_no_measure(digits):
    class Same(PixelInputs):
        def take(self, indices, flips, noise):
            return super().take(torch.zeros_like(indices), flips, noise)

    with pytest.raises(BadInputError, match=r"too little to compare samples by; use criteria_space=inputs$"):
        CentredSpace(Same(digits, [3, 8], PixelCodec()), CPU)


def test_what_a_space_holds_goes_to_the_device(inputs, digits, context):
    space = space_maker("features", digits, context)(inputs)
    assert space.to(torch.device("meta")) is space
    assert space.project(all_of(inputs)[:2].to("meta")).device.type == "meta"
    assert INPUTS.to(torch.device("meta")) is INPUTS
