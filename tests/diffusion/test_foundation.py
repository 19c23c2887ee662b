"""Tests of the backbone of generative methods: given weights from disk to images, and why a run is skipped."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest
import torch

from ddbench.dataset import load_dataset
from ddbench.datasets import imagenette
from ddbench.diffusion import foundation
from ddbench.diffusion.denoiser import DenoiserShape
from ddbench.diffusion.foundation import (
    BackboneConfig,
    backbone_foundation,
    backbone_unsupported,
    foundation_of,
    load_backbone,
    load_inputs,
)
from ddbench.errors import BadInputError, UnsupportedError
from ddbench.host.files import find_cache_dir
from ddbench.images import DatasetInfo, LabeledImages, RealDataset
from ddbench.method import RunContext, make_method
from ddbench.runs.distill import distill
from ddbench.runs.preparation import make_foundations
from tests.diffusion._original_dit import random_state
from tests.diffusion._small_models import random_denoiser, random_vae

pytestmark = pytest.mark.usefixtures("own_cache")

# ImageNet's classes in latents of 8x8, which a VAE of four levels makes of images of 64 px.
IMAGENET = DenoiserShape(8, 4, 1000, patch_size=2, width=32, depth=2, heads=2, learns_variance=True)
QUICK = {"steps": 2, "batch_size": 4, "sampling_steps": 3}
SCRATCH = BackboneConfig(backbone="scratch", vae="none", scratch_patch_size=2)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    """A folder as of facebook/DiT-XL-2-256, small and random."""
    folder = tmp_path_factory.mktemp("pipeline")
    denoiser = random_denoiser(IMAGENET)
    denoiser.transformer.proj_out_2.weight.data.mul_(0.01)  # a variance out of its range would make sampling explode
    denoiser.transformer.proj_out_2.bias.data.zero_()
    denoiser.save(folder / "transformer")
    random_vae().save_pretrained(folder / "vae")
    return folder


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """An original checkpoint of the smallest published width, one block deep."""
    path = tmp_path_factory.mktemp("original") / "DiT.pt"
    state = random_state(width=384, depth=1, channels=4, classes=1000, side=8)
    state |= {
        name: 0.001 * state[name] for name in ("final_layer.linear.weight", "final_layer.linear.bias")
    }  # as above
    torch.save(state, path)
    return path


@pytest.fixture
def nette() -> RealDataset:
    """Noise under the names of ImageNette, three images of 64 px per class."""
    ids, names = zip(*imagenette.CLASSES, strict=True)
    info = DatasetInfo("nette", names, 3, 64, (0.5,) * 3, (0.25,) * 3, "nette", ids)
    draws = torch.Generator().manual_seed(2)
    images = torch.randint(256, (30, 3, 64, 64), dtype=torch.uint8, generator=draws)
    split = LabeledImages(images, torch.arange(10).repeat(3), info)
    return RealDataset(split, split, info)


def other(split: LabeledImages, **changes) -> LabeledImages:
    """Return black images of a data set whose info differs in `changes`."""
    info = replace(split.info, **changes)
    images = torch.zeros(len(split), info.channels, info.image_size, info.image_size, dtype=torch.uint8)
    return LabeledImages(images, split.labels, info)


@pytest.fixture
def encodings(monkeypatch):
    """Folders that images were encoded into, one entry for each time."""
    folders, encode = [], foundation.encode_classes

    def counted(images, codec, folder, device, track):
        folders.append(folder)
        encode(images, codec, folder, device, track)

    monkeypatch.setattr(foundation, "encode_classes", counted)
    return folders


def check_real_path(real, backbone, vae, encodings):
    """Fine-tune, sample and decode with two methods and two seeds, images being encoded once."""
    config = {"backbone": str(backbone), "vae": str(vae), **QUICK}
    first = distill("minimax", real, 1, config=config, device="cpu")
    assert (first.images.dtype, first.images.shape) == (torch.uint8, (10, 3, 64, 64))
    assert first.labels.tolist() == list(range(10))
    assert len(first.images.unique()) > 20
    files = sorted(encodings[0].iterdir())
    assert [path.name for path in files] == [f"class-{label:04d}.safetensors" for label in range(10)]
    times = [path.stat().st_mtime_ns for path in files]
    second = distill("dit", real, 1, config=config, device="cpu")
    other = distill("dit", real, 1, seed=1, config=config, device="cpu")
    assert len(encodings) == 1
    assert [path.stat().st_mtime_ns for path in files] == times
    folders = sorted(path.name.split("-")[0] for path in find_cache_dir().glob("[pf]*/*-*/"))
    assert folders == ["backbone", "fine_tuned", "fine_tuned", "fine_tuned"]
    assert not torch.equal(first.images, second.images)  # the criteria's doing: draws are the same
    assert not torch.equal(second.images, other.images)


def test_a_diffusers_folder_is_fine_tuned_sampled_and_decoded(nette, pipeline, encodings):
    check_real_path(nette, pipeline, pipeline, encodings)


def test_an_original_checkpoint_is_fine_tuned_sampled_and_decoded(nette, original, pipeline):
    config = {"backbone": str(original), "vae": str(pipeline / "vae"), **QUICK}
    assert distill("minimax", nette, 1, config=config, device="cpu").images.shape == (10, 3, 64, 64)


@pytest.mark.slow
@pytest.mark.data
def test_imagenette_is_distilled_from_weights_on_disk(data_dir, pipeline, original, encodings):
    real = load_dataset("imagenette,source=imagenette224-subset,size=64", data_dir)
    check_real_path(real, pipeline, pipeline, encodings)
    config = {"backbone": str(original), "vae": str(pipeline), **QUICK}
    assert distill("minimax", real, 1, config=config, device="cpu").images.shape == (10, 3, 64, 64)
    assert len(encodings) == 1  # of the same vae


def test_what_fits_is_supported(nette, pipeline, original, digits):
    for backbone in (pipeline, original, pipeline / "transformer"):
        assert backbone_unsupported(BackboneConfig(str(backbone), str(pipeline)), nette.train) is None
    assert backbone_unsupported(BackboneConfig("scratch", str(pipeline), scratch_patch_size=2), nette.train) is None
    assert backbone_unsupported(SCRATCH, digits) is None


@pytest.mark.parametrize(
    ("backbone", "vae", "changes", "reason"),
    [
        ("some/model", "PIPELINE", {}, "no weights of 'some/model': neither a folder nor in the Hugging Face cache; "),
        ("PIPELINE", "some/vae", {}, "no weights of 'some/vae': neither a folder nor in the Hugging Face cache; fetch"),
        ("/no/DiT.pt", "none", {}, "no weight file /no/DiT.pt; put the original DiT-XL-2-256x256.pt there, or use"),
        ("scratch", "some/vae", {}, "no weights of 'some/vae'"),
        ("scratch", "PIPELINE", {}, None),
        ("scratch", "PIPELINE", {"image_size": 48}, "scratch_patch_size must divide 6, the side of what is denoised"),
        ("scratch", "none", {"image_size": 30}, "scratch_patch_size must divide 30, the side of what is denoised"),
        ("scratch", "PIPELINE", {"image_size": 30}, "the vae works on 3 channels and sides that are multiples of 8"),
        ("PIPELINE", "PIPELINE", {"channels": 1, "mean": (0.5,), "std": (0.25,)}, "the vae works on 3 channels"),
        ("PIPELINE", "PIPELINE", {"class_ids": ()}, "the backbone knows 1000 classes and nette has 10, not ImageNet's"),
        ("PIPELINE", "PIPELINE", {"image_size": 256}, "the backbone works on 4 channels of 8x8, and images of nette"),
        ("PIPELINE", "none", {}, "images of nette become 3 of 64x64; choose the data set's size or another"),
        ("ORIGINAL", "none", {}, "images of nette become 3 of 64x64; choose the data set's size or another"),
    ],
)
def test_what_does_not_fit_has_a_reason(nette, pipeline, original, backbone, vae, changes, reason):
    places = {"PIPELINE": str(pipeline), "ORIGINAL": str(original)}
    config = BackboneConfig(places.get(backbone, backbone), places.get(vae, vae), scratch_patch_size=4)
    found = backbone_unsupported(config, other(nette.train, **changes))
    assert (found is None) if reason is None else (found is not None and reason in found)


def test_a_damaged_original_checkpoint_is_a_reason(nette, pipeline, tmp_path):
    path = tmp_path / "DiT.pt"
    path.write_bytes(b"not much")
    config = BackboneConfig(str(path), str(pipeline))
    assert "DiT.pt is damaged or not a PyTorch file" in (backbone_unsupported(config, nette.train) or "")


def test_a_run_without_weights_is_skipped_with_the_reason(nette):
    with pytest.raises(UnsupportedError, match=r"^dit on nette: no weights of 'some/model'"):
        distill("dit", nette, 1, config={"backbone": "some/model"}, device="cpu")


def test_too_many_tokens_have_a_reason(nette):
    config = BackboneConfig("scratch", "none")
    assert backbone_unsupported(config, other(nette.train, image_size=29)) is None
    found = backbone_unsupported(config, other(nette.train, image_size=97)) or ""
    assert found == "patches of 1 make 9409 tokens of 97x97, above 1024; set scratch_patch_size"


def test_the_width_must_be_shared_by_the_heads():
    with pytest.raises(ValueError, match="scratch_width must be a multiple of scratch_heads, got 128 and 3"):
        BackboneConfig(scratch_heads=3)


def test_given_weights_leave_only_the_encoded_images_to_share(pipeline):
    given = backbone_foundation(BackboneConfig(str(pipeline), str(pipeline)))
    assert given.settings == {"vae": str(pipeline)}
    scratch = backbone_foundation(SCRATCH).settings
    assert set(scratch) == set(asdict(SCRATCH)) - {"image_size"} | {"recipes", "shares"}
    larger = backbone_foundation(BackboneConfig(str(pipeline), str(pipeline), image_size=32))
    assert larger.settings == {"vae": str(pipeline), "image_size": 32}


def test_scratch_is_trained_once_for_both_methods(toy, context):
    config = {"backbone": "scratch", "vae": "none", "scratch_width": 8, "scratch_depth": 2, "scratch_heads": 2}
    config |= {"scratch_steps": 2, "scratch_batch_size": 4}
    folders = []
    for name in ("minimax", "dit"):
        (folder,), phase = make_foundations(make_method(name, config), toy, context)
        folders.append(folder)
        assert phase is not None
    assert folders[0] == folders[1]
    assert phase.cached
    denoiser = load_backbone(make_method("dit", config).config, toy, replace(context, foundation=folders[0]))
    assert denoiser.shape == DenoiserShape(8, 3, 3, patch_size=8, width=8, depth=2, heads=2)


def test_a_backbone_of_another_size_is_not_loaded(nette, pipeline, context):
    config = BackboneConfig(str(pipeline), str(pipeline))
    assert load_backbone(config, nette.train, context).shape == IMAGENET
    wrong = other(nette.train, image_size=128)
    with pytest.raises(BadInputError, match="works on 4 channels of 8x8, and images of nette become 4 of 16x16"):
        load_backbone(config, wrong, context)


def test_without_a_foundation_there_is_no_scratch(toy, context: RunContext):
    with pytest.raises(RuntimeError, match="run the method through distill"):
        load_backbone(SCRATCH, toy, context)
    assert foundation_of(replace(context, foundation=context.cache_dir)) == context.cache_dir


def test_pixels_need_no_folder(toy, tmp_path):
    inputs = load_inputs(SCRATCH, toy, [1], tmp_path / "nowhere")
    assert inputs.labels.tolist() == [1] * 7
