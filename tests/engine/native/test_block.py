"""Tests of the native block: values and both derivatives against the layers, in every form and dtype."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ddbench.engine.native.network import NativeBlock
from ddbench.network import InputShape, make_network
from tests.engine.native._layers import FORMS, block_of, derivatives, drawn

# (B, C, H, W) images and the maps' channels: in wide blocks (64 in float64, else 128), narrow ones (8, else 16) and
# singles; odd sides.
SHAPES = [(3, 2, 6, 6, 5), (2, 3, 7, 5, 3), (4, 1, 2, 2, 2), (1, 2, 3, 8, 4), (2, 3, 8, 8, 128), (3, 4, 5, 6, 117)]


def leave_maps_as_images(layers, width):
    """Give a block a convolution that hands its images on, exactly in every dtype: each sum has one term."""
    layers[0] = nn.Conv2d(width, width, 1, bias=False, dtype=layers[1].weight.dtype)
    with torch.no_grad():
        layers[0].weight.copy_(torch.eye(width)[:, :, None, None])


def second_derivatives(block, images, direction, cotangents):
    """By images, parameters and direction, of the sum of <gradient, cotangent> over those that have a cotangent."""
    images = images.clone(memory_format=torch.preserve_format).requires_grad_()
    direction = direction.clone().requires_grad_()
    inputs = (images, *block.parameters())
    gradients = torch.autograd.grad((block(images) * direction).sum(), inputs, create_graph=True)
    products = [(g * c).sum() for g, c in zip(gradients, cotangents, strict=True) if c is not None]
    return torch.autograd.grad(sum(products), (*inputs, direction), materialize_grads=True)


def cotangents_for(layers, images, generator):
    return [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in (images, *layers.parameters())]


@pytest.mark.compiler
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("batch", "channels", "height", "side", "width"), SHAPES)
def test_values_and_gradients_are_those_of_the_layers(
    batch, channels, height, side, width, bias, memory_format, form, generator
):
    layers = block_of(channels, width, bias=bias, form=form)
    images, direction = drawn((batch, channels, height, side), width, generator, form=form)
    images = images.contiguous(memory_format=memory_format)
    found = derivatives(NativeBlock(layers[0], layers[1], **FORMS[form]), images, direction)
    torch.testing.assert_close(found, derivatives(layers, images, direction), rtol=1e-9, atol=1e-9)
    assert found[0].is_contiguous(memory_format=torch.channels_last)
    assert not bias or not found[3].any()  # exactly zero: the norm takes the bias away


@pytest.mark.compiler
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("batch", "channels", "height", "side", "width"), SHAPES)
def test_second_derivatives_are_those_of_the_layers(batch, channels, height, side, width, form, generator):
    layers = block_of(channels, width, bias=False, form=form)
    images, direction = drawn((batch, channels, height, side), width, generator, form=form)
    cotangents = cotangents_for(layers, images, generator)
    found = second_derivatives(NativeBlock(layers[0], layers[1], **FORMS[form]), images, direction, cotangents)
    expected = second_derivatives(layers, images, direction, cotangents)
    for part, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(part, wanted, rtol=1e-9, atol=1e-9 * max(1, float(wanted.abs().max())))


@pytest.mark.compiler
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("alone", range(4))  # of images, kernel, norm's weight and bias
def test_the_second_derivative_of_each_gradient_alone_is_right(alone, form, generator):
    layers = block_of(3, 20, bias=False, form=form)
    images, direction = drawn((2, 3, 7, 6), 20, generator, form=form)
    drawn_for = cotangents_for(layers, images, generator)
    cotangents = [cotangent if place == alone else None for place, cotangent in enumerate(drawn_for)]
    found = second_derivatives(NativeBlock(layers[0], layers[1], **FORMS[form]), images, direction, cotangents)
    expected = second_derivatives(layers, images, direction, cotangents)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    assert found[-1].any()


@pytest.mark.compiler
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("width", [128, 40])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_second_derivatives_in_fewer_bits_are_as_near_as_those_of_the_layers(dtype, width, form, generator):
    layers = block_of(3, width, bias=False, form=form)
    given = drawn((4, 3, 10, 12), width, generator, form=form)
    images, direction = (tensor.to(dtype).double() for tensor in given)
    cotangents = cotangents_for(layers, images, generator)
    expected = second_derivatives(layers, images, direction, cotangents)
    native = NativeBlock(*layers.float()[:2], **FORMS[form])
    given = (images.float(), direction.to(dtype), [cotangent.float() for cotangent in cotangents])
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        found, of_layers = second_derivatives(native, *given), second_derivatives(layers, *given)
    for part, wanted, other in zip(found, expected, of_layers, strict=True):
        assert (part.double() - wanted).norm() <= 1.5 * (other.double() - wanted).norm()
        assert (part.double() - wanted).norm() <= 0.05 * wanted.norm()


@pytest.mark.compiler
@pytest.mark.parametrize("autocast_of", ["forward", "backward"])
def test_autocast_may_surround_one_of_the_passes_alone(autocast_of, generator):
    plain = make_network("convnet-d2-w20", InputShape(3, 16, 4), generator)
    images = torch.randn(4, 3, 16, 16, generator=generator)

    def second(network):
        leaf, parameters = images.clone().requires_grad_(), list(network.parameters())
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast_of == "forward"):
            logits = network(leaf)
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast_of == "backward"):
            made = torch.autograd.grad(logits.float().square().sum(), parameters, create_graph=True)
            return torch.autograd.grad(sum(gradient.square().sum() for gradient in made), leaf)[0]

    found, expected = second(plain.native()), second(plain)
    assert (found - expected).norm() <= (0.1 if autocast_of == "forward" else 0.02) * expected.norm()


@pytest.mark.compiler
@pytest.mark.parametrize(
    "options", [{"padding": 3}, {"stride": 2, "padding": 1}, {"dilation": 2}, {"kernel_size": (1, 3)}]
)
def test_convolutions_of_every_geometry_have_both_derivatives(options, generator):
    layers = block_of(3, 5, bias=False)
    layers[0] = nn.Conv2d(3, 5, **{"kernel_size": 3, **options}, bias=False, dtype=torch.float64)
    images = torch.randn(2, 3, 9, 8, dtype=torch.float64, generator=generator)
    direction = torch.randn(layers(images).shape, dtype=torch.float64, generator=generator)
    cotangents, native = cotangents_for(layers, images, generator), NativeBlock(*layers[:2])
    found = (*derivatives(native, images, direction), *second_derivatives(native, images, direction, cotangents))
    expected = (*derivatives(layers, images, direction), *second_derivatives(layers, images, direction, cotangents))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.compiler
@pytest.mark.parametrize("spec", ["convnet-d3-w20", "convnet-d2-w5", "resnet_ap10-w5", "resnet10", "resnet10-ap"])
def test_second_derivatives_of_a_whole_network_are_those_of_the_plain_one(spec, generator):
    plain = make_network(spec, InputShape(3, 19, 4), generator).double()
    images, labels = torch.randn(3, 3, 19, 19, dtype=torch.float64, generator=generator), torch.tensor([0, 3, 1])
    cotangents = [torch.randn(p.shape, dtype=torch.float64, generator=generator) for p in plain.parameters()]

    def derivatives(network):
        leaf, parameters = images.clone().requires_grad_(), list(network.parameters())
        made = torch.autograd.grad(F.cross_entropy(network(leaf), labels), parameters, create_graph=True)
        along = sum((g * c).sum() for g, c in zip(made, cotangents, strict=True))
        second = torch.autograd.grad(along, (leaf, *parameters), materialize_grads=True)
        return *(gradient.detach() for gradient in made), *second

    torch.testing.assert_close(derivatives(plain.native()), derivatives(plain), rtol=1e-9, atol=1e-10)


@pytest.mark.compiler
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("width", [128, 117])
def test_float32_is_right_to_its_digits(width, form, generator):
    layers = block_of(3, width, form=form)
    images, direction = drawn((3, 3, 10, 11), width, generator, form=form)
    expected = derivatives(layers, images, direction)
    found = derivatives(NativeBlock(*layers.float()[:2], **FORMS[form]), images.float(), direction.float())
    for part, wanted in zip(found, expected, strict=True):
        assert part.dtype == torch.float32
        torch.testing.assert_close(part.double(), wanted, rtol=1e-4, atol=1e-5 * max(1, float(wanted.abs().max())))


@pytest.mark.compiler
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("width", [128, 117])
def test_bf16_maps_are_summed_in_float32_and_rounded_once(width, form, generator):
    layers = block_of(1, width, form=form)
    leave_maps_as_images(layers, width)
    given = drawn((3, width, 10, 11), width, generator, form=form)
    images, direction = (tensor.bfloat16().double() for tensor in given)
    exact = derivatives(layers, images, direction)
    with torch.autocast("cpu", torch.bfloat16):
        found = derivatives(NativeBlock(*layers.float()[:2], **FORMS[form]), images.float(), direction.bfloat16())
    assert found[0].dtype == torch.bfloat16
    for part in (0, 1, 3, 4):  # but for the kernel's gradient, which the convolution rounds
        wanted = exact[part]
        nearest = 2**-8 * wanted.abs() + 1e-5 * wanted.abs().max()
        assert ((found[part].double() - wanted).abs() <= nearest).all()


@pytest.mark.compiler
def test_under_autocast_maps_are_bf16_and_gradients_float32(generator):
    layers = block_of(3, 20, torch.float32)
    images, _ = drawn((2, 3, 6, 6), 20, generator, torch.float32)
    images.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        pooled = NativeBlock(*layers[:2])(images)
    assert pooled.dtype == torch.bfloat16
    pooled.float().square().sum().backward()
    assert {tensor.grad.dtype for tensor in (images, *layers.parameters())} == {torch.float32}


@pytest.mark.compiler
def test_a_mean_far_from_zero_costs_no_digits(generator):
    layers = block_of(1, 16)
    images = 1000 + torch.randn(2, 1, 32, 32, dtype=torch.float64, generator=generator)
    expected, found = layers(images), NativeBlock(*layers.float()[:2])(images.float())
    # Of convolution and norm in float32 together; a norm that squared first would be wrong in the first digit.
    torch.testing.assert_close(found.double(), expected, rtol=1e-2, atol=1e-2)


@pytest.mark.compiler
def test_maps_without_spread_and_values_that_are_no_numbers():
    layers = block_of(1, 20, torch.float32, bias=False)
    native, flat = NativeBlock(*layers[:2]), torch.zeros(2, 1, 4, 4)
    torch.testing.assert_close(native(flat), layers(flat), rtol=1e-5, atol=1e-6)
    flat[0, 0, 1, 1] = float("nan")
    assert native(flat)[0].isnan().all()
    assert native(flat)[1].isfinite().all()


@pytest.mark.compiler
@pytest.mark.parametrize("form", FORMS)
def test_the_number_of_threads_changes_no_number(form, generator):
    layers, before, found = block_of(3, 40, torch.float32, form=form), torch.get_num_threads(), []
    images, direction = drawn((5, 3, 6, 6), 40, generator, torch.float32, form)
    with torch.no_grad():
        maps = layers[0](images).clone()
    leave_maps_as_images(layers, 40)
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            native, cotangents = (
                NativeBlock(*layers[:2], **FORMS[form]),
                [torch.ones_like(maps), None, *layers[1].parameters()],
            )
            second = second_derivatives(native, maps, direction, cotangents)
            found.append([*derivatives(native, maps, direction), *second])
    finally:
        torch.set_num_threads(before)
    one, many = found
    # All but the kernel's gradients, which torch's convolutions sum over images.
    assert all(torch.equal(one[part], many[part]) for part in (0, 1, 3, 4, 5, 7, 8, 9))


@pytest.mark.compiler
def test_a_second_backward_pass_is_refused(generator):
    images, direction = drawn((2, 3, 4, 4), 5, generator)
    pooled = NativeBlock(*block_of(3, 5)[:2])(images.requires_grad_())
    pooled.backward(direction, retain_graph=True)
    with pytest.raises(RuntimeError, match="one backward pass for each forward pass"):
        pooled.backward(direction)


@pytest.mark.compiler
def test_a_gradient_whose_maps_are_gone_cannot_be_differentiated(generator):
    images, direction = drawn((2, 3, 4, 4), 5, generator)
    native = NativeBlock(*block_of(3, 5)[:2])
    pooled = native(images.requires_grad_())
    (gradient,) = torch.autograd.grad((pooled * direction).sum(), images, create_graph=True)
    pooled.backward(direction, retain_graph=True)
    with pytest.raises(RuntimeError, match="one backward pass for each forward pass"):
        torch.autograd.grad(gradient.sum(), native.conv.weight)


@pytest.mark.compiler
def test_a_second_derivative_may_be_taken_twice(generator):
    images, direction = drawn((2, 3, 4, 4), 5, generator)
    native = NativeBlock(*block_of(3, 5)[:2])
    (gradient,) = torch.autograd.grad((native(images.requires_grad_()) * direction).sum(), images, create_graph=True)
    first, again = (torch.autograd.grad(gradient.square().sum(), images, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, again)


@pytest.mark.compiler
def test_a_third_derivative_is_refused(generator):
    images, direction = drawn((2, 3, 4, 4), 5, generator)
    pooled = NativeBlock(*block_of(3, 5)[:2])(images.requires_grad_())
    (gradient,) = torch.autograd.grad((pooled * direction).sum(), images, create_graph=True)
    with pytest.raises(RuntimeError, match="two derivatives"):
        torch.autograd.grad(gradient.square().sum(), images, create_graph=True)


@pytest.mark.compiler
@pytest.mark.parametrize("dtypes", [(torch.bfloat16, torch.bfloat16), (torch.float16, torch.float32)])
def test_what_it_has_no_code_for_is_refused_before_anything_is_read(dtypes):
    images, parameters = dtypes
    layers = block_of(3, 5, torch.float32)
    layers[0].to(images)
    layers[1].to(parameters)
    with pytest.raises(TypeError, match="a native block takes float32, float64 or bfloat16 maps on a CPU"):
        NativeBlock(*layers[:2])(torch.zeros(2, 3, 4, 4, dtype=images))


@pytest.mark.compiler
def test_maps_too_small_to_pool_are_refused():
    with pytest.raises(ValueError, match="at least 2x2, got 1x4"):
        NativeBlock(*block_of(3, 5)[:2])(torch.zeros(2, 3, 1, 4, dtype=torch.float64))


@pytest.mark.compiler
def test_float64_stays_float64_under_autocast_as_in_the_layers(generator):
    layers = block_of(3, 5)
    images, _ = drawn((2, 3, 6, 6), 5, generator)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(NativeBlock(*layers[:2])(images), layers(images), rtol=1e-9, atol=1e-9)


@pytest.mark.compiler
def test_parameters_that_are_parts_of_a_larger_tensor_are_read_right(generator):
    layers, whole = block_of(3, 5), torch.randn(5, 2, dtype=torch.float64, generator=generator)
    layers[1].weight, layers[1].bias = (nn.Parameter(column) for column in whole.unbind(1))
    images, direction = drawn((2, 3, 6, 6), 5, generator)
    assert not layers[1].weight.is_contiguous()
    found = derivatives(NativeBlock(*layers[:2]), images, direction)
    torch.testing.assert_close(found, derivatives(layers, images, direction), rtol=1e-9, atol=1e-9)


@pytest.mark.compiler
def test_pooling_without_a_relu_is_refused():
    with pytest.raises(ValueError, match="give rectifies=True, or pools=False"):
        NativeBlock(*block_of(3, 5)[:2], rectifies=False)
