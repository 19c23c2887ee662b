"""The paper's own way: fine-tuned and drawn at 256 px, trained and tested on at 224, judged beside its claims.

The transformer has its real width, images and latents their real sizes; depth, steps and epochs are
cut, weights random.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from PIL import Image

from ddbench import distill, evaluate, load_dataset, run_suite
from ddbench.claims.file import load_claims
from ddbench.claims.judging import judge
from ddbench.datasets import _imagenet_layout
from ddbench.datasets.imagewoof import CLASSES
from ddbench.diffusion.denoiser import DenoiserShape, make_denoiser
from ddbench.distilled.files import load_distilled
from ddbench.errors import DataMismatchError
from ddbench.host.files import baselines_dir
from ddbench.method import make_method
from ddbench.protocol import Protocol, Schedule
from ddbench.runs.distill import RunOptions
from ddbench.tables.table import make_table

SUITE = """
name: paper
protocol: imagenet-hard
datasets: [imagewoof]
networks: [resnet_ap10]
ipc: [10]
methods:
  - name: minimax
    settings: {{backbone: {folder}/transformer, vae: {folder}/vae, image_size: 256, steps: 2, batch_size: 2,
      sampling_steps: 2, sampling_batch_size: 10}}
"""
DIT = DenoiserShape(32, 4, 1000, patch_size=2, width=1152, depth=2, heads=16, learns_variance=True)


@pytest.fixture
def models(tmp_path):
    """DiT-XL/2 cut in depth, and a VAE that makes the same latents as Stable Diffusion's, cut in depth and width."""
    denoiser = make_denoiser(DIT)
    denoiser.initialise(torch.Generator().manual_seed(0))
    denoiser.save(tmp_path / "models" / "transformer")
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(32, 32, 64, 64),
        layers_per_block=1,
        latent_channels=4,
    )
    vae.save_pretrained(tmp_path / "models" / "vae")
    return tmp_path / "models"


@pytest.fixture
def images(tmp_path, monkeypatch):
    """One training and one test photograph of each class, larger than either size."""
    monkeypatch.setattr(_imagenet_layout, "_TRAIN_RANGE", (1, 1))
    monkeypatch.setattr(_imagenet_layout, "_VALIDATION_COUNT", 1)
    draws = np.random.default_rng(0)
    for split in ("train", "val"):
        for wnid, _ in CLASSES:
            path = tmp_path / "data" / "imagewoof" / split / wnid / "0.png"
            path.parent.mkdir(parents=True)
            Image.fromarray(draws.integers(0, 256, (270, 300, 3), dtype=np.uint8)).save(path)
    return tmp_path / "data"


@pytest.mark.long
@pytest.mark.usefixtures("own_cache")
def test_drawn_at_256_trained_and_tested_at_224_and_judged(models, images, tmp_path, monkeypatch):
    monkeypatch.setattr(Protocol, "schedule_of", lambda *_: Schedule(epochs=1, drop_at=1))
    (tmp_path / "s.yaml").write_text(SUITE.format(folder=models))
    (result,) = run_suite(tmp_path / "s.yaml", tmp_path / "results", RunOptions(device="cpu", data_dir=images))
    assert result.status == "ok", result.reason
    made = load_distilled(tmp_path / "results" / result.key / "distilled")
    assert made.images.shape == (100, 3, 256, 256)
    assert result.distilled_bytes == made.num_bytes
    assert (result.dataset, result.config["image_size"]) == ("imagewoof", 256)
    (panel,) = make_table([result], published=True).panels
    assert panel.accuracy["IPC 10 published"].tolist() == ["settings differ"]  # two steps are not twelve thousand
    claims = load_claims(baselines_dir() / "claims" / "minimax_paper.toml")
    moved = {verdict.id: verdict.moved for verdict in judge(claims, [result])}
    assert not moved["accuracy-resnet_ap10-ipc10"].startswith("there is no result")
    assert moved["accuracy-resnet_ap10-ipc20"].startswith("there is no result")


@pytest.mark.usefixtures("own_cache")
def test_a_small_one_is_drawn_at_twice_the_side_that_students_see(tmp_path, monkeypatch):
    monkeypatch.setattr(Protocol, "schedule_of", lambda *_: Schedule(epochs=1, drop_at=1))
    draws = np.random.default_rng(0)
    for name in ("train/a", "train/b", "test/a", "test/b"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for index in range(4):
            pixels = draws.integers(0, 256, (40, 44, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pictures" / name / f"{index}.png")
    spec = f"image_folder:{tmp_path / 'pictures'},size=16"
    made = distill("dit", spec, 2, config={**make_method("dit").smoke_settings, "image_size": 32}, device="cpu")
    assert made.images.shape == (4, 3, 32, 32)
    assert made.provenance["dataset"].endswith("size=16")
    result = evaluate(made, spec, "imagenet-hard", "convnet-d2-w8", device="cpu")
    assert (result.status, result.distilled_bytes) == ("ok", made.num_bytes)
    with pytest.raises(DataMismatchError, match="protocol quick does not resize images"):
        evaluate(made, spec, "quick", "convnet-d2-w8", device="cpu")


def test_images_of_one_size_alone_are_no_others():
    reason = make_method("dit", {**make_method("dit").smoke_settings, "image_size": 16}).unsupported(
        load_dataset("digits").train, 1
    )
    assert reason == "images of digits come at 8 px alone, not at 16"
