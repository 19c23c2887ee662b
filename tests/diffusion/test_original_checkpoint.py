"""Tests of reading original DiT checkpoints."""

import argparse
import os
from functools import partial

import pytest
import torch

from ddbench.diffusion.denoiser import DenoiserShape
from ddbench.diffusion.original_checkpoint import OUTER, load_original, read_shape
from ddbench.errors import DataMismatchError, DataMissingError
from tests.diffusion._original_dit import original_forward, positions, random_state

HEADS = 4
NOISY = torch.randn(3, 2, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
TIMESTEPS, LABELS = torch.tensor([0, 500, 999]), torch.tensor([0, 5, 3])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "DiT.pt"


def save(content, path):
    torch.save(content, path)
    return path


def outputs(path):
    with torch.no_grad():
        return load_original(path, heads=HEADS).double()(NOISY, TIMESTEPS, LABELS)


def largest_difference(state, path, **deviations):
    expected = original_forward(state, NOISY, TIMESTEPS, LABELS, heads=HEADS, **deviations)
    return (outputs(path) - expected).abs().max().item()


@pytest.mark.parametrize("learns_variance", [True, False])
def test_outputs_are_the_originals(path, learns_variance):
    state = random_state(learns_variance=learns_variance)
    # The original multiplies by queries, keys and values at once, and torch fuses the softmax: other roundings.
    assert largest_difference(state, save(state, path)) < 1e-12
    assert largest_difference(state, path, apart=True) == 0


@pytest.mark.parametrize(("deviation", "least"), [({"shift": 1}, 1e-2), ({"eps": 1e-5}, 1e-6)])
def test_outputs_are_not_those_of_diffusers_frequencies_and_norms(path, deviation, least):
    state = random_state()
    assert largest_difference(state, save(state, path), **deviation) > least


def test_the_size_follows_from_the_tensors(path):
    state = random_state(width=24, depth=2, patch=4, channels=3, classes=7, side=16, learns_variance=False)
    expected = DenoiserShape(16, 3, 7, patch_size=4, width=24, depth=2, heads=2)
    assert load_original(save(state, path), heads=2).shape == expected == read_shape(path, heads=2)


@pytest.mark.parametrize(("width", "expected"), [(1152, 16), (1024, 16), (768, 12), (384, 6)])
def test_heads_are_those_of_the_published_sizes(path, width, expected):
    sizes = {"x_embedder.proj.weight": (width, 4, 2, 2), "final_layer.linear.weight": (32, width)}
    state = random_state(width=4, depth=1, classes=1000, side=32)
    state |= {name: torch.zeros(()).expand(size) for name, size in sizes.items()}  # a byte on disk
    found = read_shape(save(state, path))
    assert found == DenoiserShape(32, 4, 1000, 2, width, 1, expected, learns_variance=True)


def test_a_training_checkpoint_gives_its_average(tmp_path, path):
    averaged, last = random_state(seed=1), random_state(seed=2)
    save(averaged, path)
    checkpoint = {"model": last, "ema": averaged, "opt": {"step": 3}, "args": argparse.Namespace(lr=1e-4)}
    assert torch.equal(outputs(path), outputs(save(checkpoint, tmp_path / "0400000.pt")))
    only_model = save({"model": averaged}, tmp_path / "model.pt")
    assert torch.equal(outputs(path), outputs(only_model))


def test_half_precision_and_the_old_file_format_are_read(path, tmp_path):
    state = random_state()
    half = {name: tensor.bfloat16() for name, tensor in state.items()}
    torch.save(half, path, _use_new_zipfile_serialization=False)
    denoiser = load_original(path, heads=HEADS)
    assert {parameter.dtype for parameter in denoiser.parameters()} == {torch.float32}
    assert torch.equal(denoiser.transformer.proj_out_2.weight, half["final_layer.linear.weight"].float())


def test_weights_do_not_lie_in_the_file_and_draw_nothing(path):
    save(random_state(), path)
    before = torch.get_rng_state()
    denoiser = load_original(path, heads=HEADS)
    assert torch.equal(torch.get_rng_state(), before)
    content = path.read_bytes()
    path.write_bytes(bytes(len(content)))
    assert all(parameter.detach().abs().max() > 0 for parameter in denoiser.parameters())
    pointers = [parameter.untyped_storage().data_ptr() for parameter in denoiser.parameters()]
    assert len(set(pointers)) == len(pointers)


def without(name):
    return {key: tensor for key, tensor in random_state().items() if key != name}


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (without("blocks.1.attn.qkv.bias"), "it lacks 1 tensors, blocks.1.attn.qkv.bias for one; put DiT-XL"),
        (random_state() | {"blocks.0.extra": torch.ones(1)}, "nothing is known of 1 tensors, blocks.0.extra for one;"),
        (random_state() | {"pos_embed": torch.zeros(1, 16, 16)}, "pos_embed is not the sine and cosine of a square"),
        (random_state() | {"pos_embed": positions(16, 5)[:, :24]}, "pos_embed is not the sine and cosine of a square"),
        (random_state() | {"pos_embed": torch.zeros(3)}, "pos_embed should have 3 dimensions, found \\(3,\\);"),
        (random_state() | {"t_embedder.mlp.0.weight": torch.ones(16, 8)}, r"should be \(16, 256\), found \(16, 8\);"),
        (random_state() | {"blocks.0.attn.qkv.bias": torch.ones(2)}, r"to_q.bias should be \(16,\), found \(1,\);"),
        ({}, "it lacks 22 tensors, blocks.0.adaLN_modulation.1.bias for one;"),
    ],
)
def test_tensors_that_are_no_dit_are_refused_in_one_line(path, state, message):
    with pytest.raises(DataMismatchError, match=rf"DiT.pt is not an original DiT checkpoint: .*{message}") as caught:
        load_original(save(state, path), heads=HEADS)
    assert "\n" not in str(caught.value)


def test_an_unpublished_width_is_refused(path):
    with pytest.raises(DataMismatchError, match="its width should be one of 1152, 1024, 768, 384, found 16;"):
        load_original(save(random_state(), path))


@pytest.mark.parametrize("content", [torch.ones(3), [1], {"a": "b"}, {"state": random_state()}])
def test_another_content_is_refused(path, content):
    with pytest.raises(DataMismatchError, match="holds no state dict of tensors; put DiT-XL"):
        load_original(save(content, path))


def test_a_missing_file_says_what_to_put_there(path):
    with pytest.raises(DataMissingError, match=r"no weight file .*DiT.pt; put the original DiT-XL-2-256x256.pt there$"):
        load_original(path)


@pytest.mark.parametrize(
    "damage", [lambda content: content[:-2000], lambda content: b"", lambda content: b"text\n" * 9]
)
def test_a_damaged_file_is_refused_in_one_line(path, damage):
    path.write_bytes(damage(save(random_state(), path).read_bytes()))
    with pytest.raises(DataMismatchError, match=r"DiT.pt is damaged or not a PyTorch file; copy or download it again$"):
        load_original(path)


class Code:
    """What an attacker would put into a checkpoint."""

    def __reduce__(self):
        return os.mkdir, ("ran",)


@pytest.mark.parametrize("is_zip", [True, False])
@pytest.mark.parametrize(("code", "name"), [(Code(), r"\w+\.mkdir"), (partial(print, "ran"), "functools.partial")])
def test_code_in_a_file_is_refused_and_does_not_run(path, tmp_path, monkeypatch, code, name, is_zip):
    monkeypatch.chdir(tmp_path)
    torch.save(random_state() | {"pos_embed": code}, path, _use_new_zipfile_serialization=is_zip)
    with pytest.raises(DataMismatchError, match=rf"holds Python code \({name}\) that would run on loading; save"):
        load_original(path)
    assert not (tmp_path / "ran").exists()


def test_the_names_of_both_sides_are_used_once():
    assert len(set(OUTER.values())) == len(OUTER)
