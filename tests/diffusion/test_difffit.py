"""Tests of DiffFit: what is trained, and that scale factors come and go without a trace."""

import pytest
import torch
from torch import nn

from ddbench.diffusion.denoiser import DIT_XL_2, make_denoiser
from ddbench.diffusion.difffit import ScaledLinear, fold_gammas, insert_gammas, make_trainable
from tests.diffusion._small_models import SMALL, random_call, random_denoiser

WIDTH, DEPTH = 1152, 28
# By hand, from the layers of DiT-XL/2. Biases of a block: queries, keys, values 3, projection 1, the wide layer 4 and
# the narrow one 1, modulation 6. Outside: patches 1, the timestep 2 layers, the last modulation 2, pixels 2 x 2 x 8.
BIASES = DEPTH * (3 + 1 + 4 + 1 + 6) * WIDTH + (1 + 2 + 2) * WIDTH + 32
CLASSES = 1001 * WIDTH
GAMMAS = DEPTH // 2 * 6 * WIDTH


def count(parameters):
    return sum(parameter.numel() for parameter in parameters)


@pytest.fixture(scope="module")
def published():
    """The published size without memory, and what DiffFit trains of it."""
    with torch.device("meta"):
        denoiser = make_denoiser(DIT_XL_2)
        return denoiser, make_trainable(denoiser, "difffit")


def test_the_published_size_trains_a_quarter_percent(published):
    denoiser, chosen = published
    assert count(chosen.values()) == BIASES + CLASSES + GAMMAS == 1_739_552
    assert count(denoiser.parameters()) == 674_834_720 + GAMMAS
    assert count(chosen.values()) / count(denoiser.parameters()) == pytest.approx(0.0026, abs=5e-5)


def test_what_is_trained_is_biases_scale_factors_and_the_class_embedding(published):
    denoiser, chosen = published
    by_kind = {kind: [name for name in chosen if name.endswith(kind)] for kind in (".bias", ".gammas", ".weight")}
    assert by_kind[".weight"] == ["embedder.class_embedder.embedding_table.weight"]
    assert count(chosen[name] for name in by_kind[".bias"]) == BIASES
    assert count(chosen[name] for name in by_kind[".gammas"]) == GAMMAS
    assert sum(map(len, by_kind.values())) == len(chosen)
    assert by_kind[".bias"] == [name for name, _ in denoiser.named_parameters() if name.endswith(".bias")]


def test_no_modulation_weight_is_trained(published):
    denoiser, chosen = published
    modulation = [name for name, _ in denoiser.named_parameters() if name.endswith("norm1.linear.weight")]
    assert len(modulation) == DEPTH
    assert not set(modulation) & chosen.keys()
    assert not any(denoiser.get_parameter(name).requires_grad for name in modulation)


def test_gammas_stand_in_the_first_half_of_the_blocks(published):
    denoiser, _ = published
    places = [name for name, module in denoiser.named_modules() if isinstance(module, ScaledLinear)]
    expected = ("attn1.to_q", "attn1.to_k", "attn1.to_v", "attn1.to_out.0", "ff.net.2")
    prefixes = [f"transformer.transformer_blocks.{block}" for block in range(DEPTH // 2)]
    assert sorted(places) == sorted(f"{prefix}.{name}" for prefix in prefixes for name in expected)


def test_what_is_not_trained_is_frozen():
    denoiser = random_denoiser()
    chosen = make_trainable(denoiser, "difffit")
    assert {name for name, p in denoiser.named_parameters() if p.requires_grad} == chosen.keys()
    denoiser(*random_call(denoiser)).square().sum().backward()
    assert {name for name, p in denoiser.named_parameters() if p.grad is not None} == chosen.keys()


def test_full_trains_everything_and_puts_nothing_in():
    denoiser = random_denoiser().requires_grad_(False)
    before = set(denoiser.state_dict())
    chosen = make_trainable(denoiser, "full")
    assert chosen.keys() == {name for name, _ in denoiser.named_parameters()}
    assert all(parameter.requires_grad for parameter in chosen.values())
    assert set(denoiser.state_dict()) == before


def test_norms_with_weights_would_be_trained():
    denoiser = random_denoiser()
    denoiser.transformer.transformer_blocks[0].norm3 = nn.LayerNorm(SMALL.width)
    assert "transformer.transformer_blocks.0.norm3.weight" in make_trainable(denoiser, "difffit")


@torch.no_grad()
def test_inserted_gammas_leave_outputs_equal():
    denoiser = random_denoiser().double()
    call = random_call(denoiser)
    before = denoiser(*call)
    insert_gammas(denoiser)
    assert torch.equal(denoiser(*call), before)


@torch.no_grad()
def test_gammas_fold_into_a_plain_denoiser_with_the_same_outputs(tmp_path):
    denoiser = random_denoiser().double()
    names, call = list(denoiser.state_dict()), random_call(denoiser)
    plain = denoiser(*call)
    insert_gammas(denoiser)
    generator = torch.Generator().manual_seed(3)
    for name, parameter in denoiser.named_parameters():
        if name.endswith("gammas"):
            parameter.uniform_(0.5, 2, generator=generator)
    before = denoiser(*call)
    assert (before - plain).abs().max() > 0.1
    fold_gammas(denoiser)
    assert (denoiser(*call) - before).abs().max() < 1e-12
    assert list(denoiser.state_dict()) == names
    denoiser.save(tmp_path)


@torch.no_grad()
def test_folding_without_gammas_does_nothing():
    denoiser = random_denoiser()
    call = random_call(denoiser)
    before = denoiser(*call)
    fold_gammas(denoiser)
    assert torch.equal(denoiser(*call), before)


def test_a_scaled_layer_multiplies_by_all_its_gammas_and_folds_without_a_bias():
    linear = nn.Linear(3, 2, bias=False)
    scaled = ScaledLinear(linear, num_scales=2)
    scaled.gammas.data = torch.tensor([[2.0, 3.0], [5.0, 7.0]])
    inputs = torch.eye(3)
    expected = linear.weight.detach().T * torch.tensor([10.0, 21.0])
    assert torch.allclose(scaled(inputs), expected)
    assert torch.allclose(scaled.fold()(inputs), expected)
