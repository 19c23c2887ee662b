"""Tests of the network interface, and of what every family must do."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ddbench.errors import BadInputError, UnknownNameError
from ddbench.images import DatasetInfo
from ddbench.inputs.network_names import split_spec
from ddbench.network import InputShape, Network, make_network, parse_variant
from ddbench.registry import NETWORKS

# Smaller relatives of families whose plain name is slow to build or, for timm, not enough.
SPECS = {
    "resnet": "resnet10-bn",
    "resnet_ap": "resnet_ap10-w16",
    "timm": "timm/test_vit",
    "torchvision": "torchvision/shufflenet_v2_x0_5",
}
FAMILIES = pytest.mark.parametrize("spec", [SPECS.get(name, name) for name in NETWORKS.names()])
SHAPE = InputShape(3, 32, 10)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@FAMILIES
@pytest.mark.parametrize("shape", [SHAPE, InputShape(1, 28, 7), InputShape(3, 64, 3)], ids=str)
def test_forward_is_the_classifier_on_the_embedding(spec, shape, generator):
    if spec == SPECS["torchvision"] and shape.channels == 1:
        with pytest.raises(BadInputError, match="takes images of 3 channels, got 1; use a network of timm"):
            make_network(spec, shape, generator)
        return
    network = make_network(spec, shape, generator)
    images = torch.randn(2, shape.channels, shape.image_size, shape.image_size, generator=generator)
    for mode in (True, False):
        network.train(mode)
        embeddings = network.embed(images)
        logits = network(images)
        assert embeddings.ndim == 2
        assert logits.shape == (2, shape.num_classes)
        assert logits.isfinite().all()
        torch.testing.assert_close(network.classify(embeddings), logits)


@FAMILIES
def test_8_px_digits_fit_or_are_refused_in_one_line(spec, generator):
    shape = InputShape(1, 8, 10)
    if spec in ("lenet", "vgg", "resnet_ap10-w16", SPECS["torchvision"]):
        with pytest.raises(BadInputError, match="use") as caught:
            make_network(spec, shape, generator)
        assert "\n" not in str(caught.value)
    else:
        assert make_network(spec, shape, generator)(torch.zeros(2, 1, 8, 8)).shape == (2, 10)


@FAMILIES
def test_seed_decides_the_parameters_and_the_global_generator_is_untouched(spec):
    before = torch.get_rng_state()
    first, same, other = (make_network(spec, SHAPE, seeded(seed)) for seed in (1, 1, 2))
    first.train()(torch.randn(2, 3, 32, 32, generator=seeded(0)))
    assert torch.equal(torch.get_rng_state(), before)
    parameters = [[p.detach() for p in network.parameters()] for network in (first, same, other)]
    assert all(torch.equal(p, q) for p, q in zip(*parameters[:2], strict=True))
    assert not all(torch.equal(p, q) for p, q in zip(*parameters[::2], strict=True))


@FAMILIES
def test_global_seed_does_not_matter(spec):
    with torch.random.fork_rng(devices=[]):
        sums = []
        for seed in (1, 2):
            torch.manual_seed(seed)
            sums.append(sum(p.double().sum() for p in make_network(spec, SHAPE, seeded(0)).parameters()))
    assert sums[0] == sums[1]


@FAMILIES
def test_float64_works_and_images_receive_gradients(spec, generator):
    network = make_network(spec, SHAPE, generator).double()
    images = torch.randn(2, 3, 32, 32, generator=generator, dtype=torch.float64).requires_grad_()
    logits = network(images)
    assert logits.dtype == torch.float64
    logits.logsumexp(1).sum().backward()
    assert images.grad.isfinite().all()
    assert (images.grad.flatten(1).norm(dim=1) > 0).all()


@pytest.mark.gpu
def test_generators_of_gpus_are_untouched(generator):
    before = torch.cuda.get_rng_state()
    make_network("mlp", SHAPE, generator)
    assert torch.equal(torch.cuda.get_rng_state(), before)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("convnet-d3-w64", ("convnet", "d3-w64")),
        ("resnet18-bn-ap", ("resnet", "18-bn-ap")),
        ("resnet_ap10", ("resnet_ap", "10")),
        ("timm/vit_tiny_patch16_224", ("timm", "vit_tiny_patch16_224")),
        ("mlp", ("mlp", "")),
    ],
)
def test_the_longest_family_that_fits_is_taken(spec, expected):
    assert split_spec(spec) == expected


@pytest.mark.parametrize(
    ("spec", "advice"),
    [
        ("convnetd3", "did you mean convnet"),
        ("resnet_bp10", "resnet_ap"),
        ("vgg-", "did you mean vgg"),
        ("", "known: "),
    ],
)
def test_unknown_family_is_refused_with_near_misses(spec, advice):
    with pytest.raises(UnknownNameError, match=f"unknown network '{spec}'.*{advice}"):
        split_spec(spec)


@settings(deadline=None, max_examples=30)
@given(st.sampled_from(NETWORKS.names()), st.from_regex(r"([-/][a-z0-9_.-]+|[0-9][a-z0-9-]*)?", fullmatch=True))
def test_splitting_loses_nothing_but_the_separator(family, rest):
    found, variant = split_spec(family + rest)
    assert found == family
    assert variant in (rest, rest[1:])


def test_variant_tokens_become_options():
    numbers, words = {"": "depth", "w": "width"}, {"bn": {"norm": "bn"}}
    assert parse_variant("x", "18-w64-bn", numbers, words) == {"depth": 18, "width": 64, "norm": "bn"}
    assert parse_variant("x", "", numbers, words) == {}


@pytest.mark.parametrize("variant", ["w0", "w", "w01", "-bn", "bn-", "ww2", "w-1", "w1.5", "w²"])
def test_malformed_tokens_are_refused(variant):
    with pytest.raises(BadInputError, match=r"network x has no option .* known options: w<number>, bn"):
        parse_variant("x", variant, {"w": "width"}, {"bn": {"norm": "bn"}})


@pytest.mark.parametrize("variant", ["bn-in", "bn-bn"])
def test_an_option_given_twice_is_refused(variant):
    with pytest.raises(BadInputError, match=f"two values of norm in '{variant}'; give one"):
        parse_variant("x", variant, {}, {"bn": {"norm": "bn"}, "in": {"norm": "in"}})


@settings(deadline=None)
@given(st.sampled_from(("", *NETWORKS.names())), st.text(alphabet="-/._abdinp é\n", min_size=1))
def test_unknown_variants_give_one_clear_line(family, rest):
    message = ""
    try:
        make_network(family + rest, SHAPE, seeded(0))
    except (BadInputError, UnknownNameError) as error:
        message = str(error)
    assert "\n" not in message


@FAMILIES
def test_parameters_are_drawn_on_the_cpu_whatever_the_default_device(spec):
    with torch.device("meta"):
        network = make_network(spec, SHAPE, seeded(0))
    assert {p.device.type for p in network.parameters()} == {"cpu"}


def test_shape_is_that_of_the_data_set():
    info = DatasetInfo("x", ("a", "b"), 3, 32, (0.5,) * 3, (0.5,) * 3, "f")
    assert InputShape.of(info) == InputShape(3, 32, 2)


def test_a_network_must_say_how_it_embeds():
    class Half(Network):
        def classify(self, embeddings):
            return embeddings

    with pytest.raises(TypeError, match="embed"):
        Half()
