"""Tests of the denoiser against diffusers' own class."""

from dataclasses import replace

import pytest
import torch
from diffusers import DiTTransformer2DModel
from safetensors.torch import load_file

from ddbench.diffusion.backbone import load_denoiser
from ddbench.diffusion.denoiser import DIT_XL_2, Denoiser, DenoiserShape, make_denoiser
from tests.diffusion._small_models import SMALL, random_call, random_denoiser


@pytest.fixture
def saved(tmp_path):
    """A denoiser and the folder it was written to."""
    denoiser = random_denoiser()
    denoiser.save(tmp_path / "model")
    return denoiser, tmp_path / "model"


def with_original_constants(plain):
    """Diffusers' own class with the frequencies and norms of the original, each block with its own embedder."""
    for block in plain.transformer_blocks:
        block.norm1.emb.time_proj.downscale_freq_shift = 0
        block.norm1.norm.eps = block.norm3.eps = 1e-6
    return plain.eval()


@torch.no_grad()
def plain_output(plain, noisy, timesteps, labels):
    return plain(noisy, timesteps, labels).sample


@torch.no_grad()
def test_a_saved_denoiser_is_a_plain_diffusers_model_with_equal_outputs(saved):
    denoiser, folder = saved
    plain, report = DiTTransformer2DModel.from_pretrained(folder, output_loading_info=True)
    assert not any(report.values())
    call = random_call(denoiser)
    assert torch.equal(plain_output(with_original_constants(plain), *call), denoiser(*call))


@torch.no_grad()
def test_diffusers_own_constants_give_other_outputs(saved):
    denoiser, folder = saved
    plain = DiTTransformer2DModel.from_pretrained(folder).eval()
    call = random_call(denoiser)
    assert (plain_output(plain, *call) - denoiser(*call)).abs().max() > 1e-3


@torch.no_grad()
def test_loading_gives_the_denoiser_back(saved):
    denoiser, folder = saved
    loaded, call = load_denoiser(str(folder)), random_call(denoiser)
    assert loaded.shape == denoiser.shape == SMALL
    assert torch.equal(loaded.eval()(*call), denoiser(*call))


def test_every_block_has_its_copy_of_the_embedder_on_disk_and_none_in_memory(saved):
    denoiser, folder = saved
    stored = load_file(folder / "diffusion_pytorch_model.safetensors")
    table = denoiser.embedder.class_embedder.embedding_table.weight
    for block in range(SMALL.depth):
        name = f"transformer_blocks.{block}.norm1.emb.class_embedder.embedding_table.weight"
        assert torch.equal(stored[name], table)
    assert not [name for name, _ in denoiser.named_parameters() if ".emb." in name]


@torch.no_grad()
def test_training_mode_drops_no_labels():
    denoiser = random_denoiser()
    call = random_call(denoiser)
    assert torch.equal(denoiser.train()(*call), denoiser.eval()(*call))


@torch.no_grad()
def test_the_null_class_is_the_last_row():
    denoiser = random_denoiser()
    noisy, timesteps, _ = random_call(denoiser)
    before = denoiser(noisy, timesteps, torch.full((3,), denoiser.null_class))
    denoiser.embedder.class_embedder.embedding_table.weight[:-1] = 0
    assert denoiser.null_class == SMALL.num_classes
    assert torch.equal(denoiser(noisy, timesteps, torch.full((3,), denoiser.null_class)), before)


def test_variance_channels_follow_the_shape():
    for learns in (True, False):
        denoiser = random_denoiser(replace(SMALL, learns_variance=learns))
        assert denoiser(*random_call(denoiser)).shape[1] == SMALL.channels * (1 + learns)
        assert denoiser.shape.learns_variance is learns


def test_the_published_size_has_the_originals_parameters():
    with torch.device("meta"):
        denoiser = make_denoiser(DIT_XL_2)
    # The original counts 675,129,632: its position embedding, 256 x 1152, is one of them.
    assert sum(parameter.numel() for parameter in denoiser.parameters()) == 675_129_632 - 256 * 1152
    assert denoiser.shape == DIT_XL_2


def test_making_and_saving_leave_the_global_generator_alone(tmp_path):
    before = torch.get_rng_state()
    make_denoiser(SMALL).save(tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


def test_initial_weights_follow_the_generator_and_the_original():
    shape = DenoiserShape(8, 3, 10, patch_size=2, width=64, depth=2, heads=4)
    first, second, other = (make_denoiser(shape) for _ in range(3))
    for denoiser, seed in ((first, 1), (second, 1), (other, 2)):
        denoiser.initialise(torch.Generator().manual_seed(seed))
    weights = [denoiser.state_dict() for denoiser in (first, second, other)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    block = first.transformer.transformer_blocks[1]
    assert not torch.equal(block.ff.net[2].weight, other.transformer.transformer_blocks[1].ff.net[2].weight)
    zero = (block.norm1.linear, first.transformer.proj_out_1, first.transformer.proj_out_2)
    assert all(not layer.weight.any() for layer in zero)
    assert not any(tensor.any() for name, tensor in weights[0].items() if name.endswith("bias"))
    table = first.embedder.class_embedder.embedding_table.weight
    assert table.std().item() == pytest.approx(0.02, rel=0.1)
    # Xavier: uniform in +-sqrt(6 / (inputs + outputs)), the patches' convolution seen as a linear layer.
    for weight, fans in ((block.attn1.to_q.weight, 128), (first.transformer.pos_embed.proj.weight, 12 + 64)):
        assert weight.abs().max().item() == pytest.approx((6 / fans) ** 0.5, rel=0.03)


def test_a_new_denoiser_predicts_zero():
    denoiser = make_denoiser(SMALL)
    denoiser.initialise(torch.Generator().manual_seed(0))
    assert not denoiser(*random_call(denoiser)).any()


def test_a_denoiser_of_a_given_transformer_shares_its_first_embedder():
    plain = DiTTransformer2DModel(2, 8, 2, num_layers=2, sample_size=8, num_embeds_ada_norm=5)
    embedder = plain.transformer_blocks[0].norm1.emb
    assert Denoiser(plain).embedder is embedder
