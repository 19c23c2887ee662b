"""What every network must keep to."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from ddbench.errors import BadInputError, DDBenchError
from ddbench.network import InputShape, Network, make_network
from ddbench.seeding import make_generator

# A network is tried on the first of these that it takes: most are for 32 px, some need more.
SHAPES = tuple(InputShape(channels, size, 10) for channels, size in ((3, 32), (1, 28), (1, 8), (3, 64), (3, 224)))


class NetworkContract:
    """What students, methods and evaluators rely on in a network. Set `name`.

    Class attributes:
        name: a network's name with its variant, such as `convnet-d3`.
        shape: what it is tried on; the first of some usual shapes that it takes where None.
    """

    name: ClassVar[str]
    shape: ClassVar[InputShape | None] = None

    @classmethod
    def build(cls, seed: int = 0) -> Network:
        """Return the network for the shape of the trial, in training mode."""
        return make_network(cls.name, cls.trial_shape(), make_generator(seed, "network"))

    @classmethod
    def trial_shape(cls) -> InputShape:
        """Return the shape of the trial."""
        return cls.shape or fitting_shape(cls.name)

    @classmethod
    def images(cls, count: int = 4) -> Tensor:
        """Return (count, C, H, W) images of noise."""
        shape = cls.trial_shape()
        size = (count, shape.channels, shape.image_size, shape.image_size)
        return torch.randn(size, generator=make_generator(0, "images"))

    def test_embedding_and_logits_have_their_shapes(self) -> None:
        """`embed` gives (B, D), `classify` (B, K) float32, and calling the network does one after the other."""
        network = self.build().eval()
        check_shapes(network, self.images(), self.trial_shape())

    def test_same_seed_gives_the_same_parameters(self) -> None:
        """Equal to the last bit, whatever the process has drawn before; its generator is left as it was."""
        first = self.build().state_dict()
        torch.rand(3)
        before = torch.get_rng_state()
        second = self.build().state_dict()
        assert torch.equal(torch.get_rng_state(), before), "building must not change torch's global generator"
        assert first.keys() == second.keys()
        different = [name for name in first if not torch.equal(first[name], second[name])]
        assert not different, f"{different[0]} differs: draw parameters from torch's global generator alone"

    def test_other_seed_gives_other_parameters(self) -> None:
        """At least one parameter differs."""
        first, other = (list(self.build(seed).parameters()) for seed in (0, 1))
        assert first, "a network needs parameters"
        assert any(not torch.equal(a, b) for a, b in zip(first, other, strict=True)), "two seeds give equal parameters"

    def test_gradient_reaches_every_parameter(self) -> None:
        """A parameter without one would never learn."""
        network = self.build().train()
        network(self.images()).square().sum().backward()
        missed = [name for name, p in network.named_parameters() if p.requires_grad and p.grad is None]
        assert not missed, f"no gradient reaches {', '.join(missed[:3])}"
        broken = [name for name, p in network.named_parameters() if p.grad is not None and not p.grad.isfinite().all()]
        assert not broken, f"the gradient of {', '.join(broken[:3])} is not finite"

    def test_gradient_reaches_the_images(self) -> None:
        """Methods that learn images need it."""
        images = self.images().requires_grad_()
        (gradient,) = torch.autograd.grad(self.build().train()(images).square().sum(), images)
        assert gradient.isfinite().all(), "the gradient of the images is not finite"
        assert bool(gradient.flatten(1).any(1).all()), "an image has no gradient"

    @torch.no_grad()
    def test_output_of_an_image_depends_on_no_other_in_evaluation(self) -> None:
        """In `eval` mode an image alone gives what it gives in a batch, to float tolerance."""
        network, images = self.build().eval(), self.images()
        alone = torch.cat([network(image[None]) for image in images])
        gap = float((network(images) - alone).abs().max())
        assert gap <= 1e-4 * max(1.0, float(alone.abs().max())), f"logits differ by {gap:.2g} between batch and alone"

    @torch.no_grad()
    def test_evaluation_repeats_itself(self) -> None:
        """Two passes in `eval` mode are equal: no dropout, no statistics that change."""
        network, images = self.build().eval(), self.images()
        assert torch.equal(network(images), network(images)), "two passes over the same images differ"

    @torch.no_grad()
    def test_state_survives_a_round_trip_through_a_file(self) -> None:
        """What `state_dict` holds, loaded into a network of another seed, gives the same logits."""
        network, other = self.build().eval(), self.build(seed=1).eval()
        state = {name: value.contiguous().clone() for name, value in network.state_dict().items()}
        other.load_state_dict(load(save(state)))
        images = self.images()
        assert torch.equal(network(images), other(images)), "loaded parameters give other logits"

    @torch.no_grad()
    def test_native_form_gives_the_same_logits(self) -> None:
        """To float tolerance; the network itself where it has no such form."""
        network, images = self.build().eval(), self.images()
        expected = network(images)
        gap = float((network.native().eval()(images) - expected).abs().max())
        assert gap <= 1e-4 * max(1.0, float(expected.abs().max())), f"logits of the native form differ by {gap:.2g}"

    @pytest.mark.parametrize("num_classes", [2, 100])
    @torch.no_grad()
    def test_other_shapes_are_taken_or_refused_in_one_line(self, num_classes: int) -> None:
        """Any size, number of channels and of classes works, or building says why not."""
        for usual in SHAPES[:4]:
            shape = InputShape(usual.channels, usual.image_size, num_classes)
            try:
                network = make_network(self.name, shape, make_generator(0, "network")).eval()
            except BadInputError as error:
                check_one_line(error)
                continue
            images = torch.randn(2, shape.channels, shape.image_size, shape.image_size)
            check_shapes(network, images, shape)

    def test_unknown_variant_is_refused_in_one_line(self) -> None:
        """A mistyped option must not give another network in silence."""
        with pytest.raises(DDBenchError) as caught:
            make_network(f"{self.name}-no_such_option", self.trial_shape(), make_generator(0, "network"))
        check_one_line(caught.value)


def fitting_shape(name: str) -> InputShape:
    """Return the first of the usual shapes that a network takes; raises BadInputError where it takes none."""
    for shape in SHAPES:
        try:
            make_network(name, shape, make_generator(0, "network"))
        except BadInputError as error:
            refused = error
        else:
            return shape
    raise refused


def check_shapes(network: Network, images: Tensor, shape: InputShape) -> None:
    """Assert the shapes and values of a network's embedding and logits."""
    embeddings, logits = network.embed(images), network(images)
    count = len(images)
    assert embeddings.ndim == 2, f"embed must give (B, D), gives {tuple(embeddings.shape)}"
    assert len(embeddings) == count, f"embed must give a row for each of {count} images, gives {len(embeddings)}"
    expected = (count, shape.num_classes)
    assert tuple(logits.shape) == expected, f"logits must be {expected}, are {tuple(logits.shape)}"
    assert logits.dtype == torch.float32, f"logits must be float32, are {logits.dtype}"
    assert logits.isfinite().all(), "logits are not finite"
    assert torch.allclose(network.classify(embeddings), logits, atol=1e-5), "forward is not classify after embed"


def check_one_line(error: Exception) -> None:
    """Assert that an error's message is one line of words."""
    text = str(error)
    assert "\n" not in text, "the reason must be one line"
    assert len(text) > 10, f"the reason must help, it is {text!r}"
