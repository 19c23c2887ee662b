"""Tests of what diffusion methods share: what is made once, what a set is made of, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ddbench.dataset import load_dataset, make_real_dataset
from ddbench.diffusion.backbone import load_denoiser
from ddbench.diffusion.codec import PixelCodec
from ddbench.diffusion.fine_tuning import FineTuning
from ddbench.diffusion.sampling import SamplingPlan, draw_images
from ddbench.distilled.dataset import DistilledDataset
from ddbench.errors import BadInputError, UnsupportedError
from ddbench.host.cached_work import MANIFEST
from ddbench.images import RealDataset
from ddbench.method import make_method
from ddbench.runs.distill import RunOptions, distill
from ddbench.seeding import draw_seed, make_generator

pytestmark = pytest.mark.usefixtures("own_cache")

SMALL = {**make_method("dit").smoke_settings, "classes_per_phase": 2}
both = pytest.mark.parametrize("method", ["dit", "minimax"])


@pytest.fixture(scope="session")
def real() -> RealDataset:
    """Three classes of 10 random colour images of 8 px."""
    images = torch.randint(256, (30, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    split = images, torch.arange(3).repeat(10)
    return make_real_dataset("toy", split, split, class_names=("a", "b", "c"), mean=(0.5,) * 3, std=(0.3,) * 3)


@pytest.fixture
def run(real):
    """A function that distils the toy images."""

    def distil(method: str = "minimax", ipc: int = 2, seed: int = 0, **settings: object) -> DistilledDataset:
        return distill(method, real, ipc, seed, {**SMALL, **settings}, "cpu")

    return distil


def was_cached(distilled: DistilledDataset) -> bool:
    return next(phase["cached"] for phase in distilled.provenance["phases"] if phase["name"] == "prepare")


def folders(cache: Path, name: str) -> list[Path]:
    return sorted(path for path in cache.glob(f"*/{name}-*") if path.is_dir())


def written(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")}


@both
def test_a_set_holds_pixels_sorted_by_class(method, run):
    distilled = run(method, ipc=3)
    assert distilled.images.dtype == torch.uint8
    assert distilled.images.shape == (9, 3, 8, 8)
    assert distilled.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert (distilled.space, distilled.ipc, distilled.num_classes) == ("pixels", 3, 3)
    assert len({image.numpy().tobytes() for image in distilled.images}) == 9


@both
def test_seeds_give_other_sets_and_the_same_seed_the_same(method, run):
    first, again, other = run(method), run(method), run(method, seed=1)
    assert torch.equal(first.images, again.images)
    assert not torch.equal(first.images, other.images)


@pytest.mark.parametrize("sampler", ["ddpm", "dpm++"])
@pytest.mark.parametrize(
    ("sampling_batch_size", "classes_per_phase"), [(32, 3), (1, 3), (2, 3), (2, 2)], ids=["all", "one", "two", "phases"]
)
def test_a_smaller_set_is_part_of_a_larger_one(sampler, sampling_batch_size, classes_per_phase, run):
    settings = {
        "sampler": sampler,
        "sampling_batch_size": sampling_batch_size,
        "classes_per_phase": classes_per_phase,
    }
    small, large = (run(ipc=ipc, **settings).images.view(3, ipc, 3, 8, 8) for ipc in (2, 3))
    assert torch.equal(large[:, :2], small)
    assert not torch.equal(large[:, 2], large[:, 1])


def test_batches_of_any_size_draw_the_same_images(run):
    settings = {"classes_per_phase": 3, "scratch_steps": 20}
    first, second = (run(sampling_batch_size=size, **settings).images.int() for size in (1, 32))
    assert (first - second).abs().max() <= 1  # a float's rounding
    assert ((first != second).sum() < first.numel() / 100).item()


def test_the_backbone_is_trained_once_for_all_seeds_methods_and_fine_tunings(run, own_cache):
    run("minimax")
    (folder,) = folders(own_cache, "backbone")
    before = written(folder)
    assert any("denoiser" in name for name in before)
    run("minimax", seed=1)
    run("dit", seed=2)
    run("dit", lr=0.1, batch_size=4, steps=2, trainable="full", classes_per_phase=1)
    assert folders(own_cache, "backbone") == [folder]
    assert written(folder) == before
    run("dit", scratch_steps=2)
    assert len(folders(own_cache, "backbone")) == 2


def test_fine_tuning_is_done_once_per_seed_and_serves_every_ipc(run, own_cache):
    first = run(ipc=1)
    (folder,) = folders(own_cache, "fine_tuned")
    before = written(folder)
    later = [
        run(ipc=2),
        run(ipc=1, sampling_steps=2),
        run(ipc=1, guidance=1.5, sampling_batch_size=1),
    ]
    assert [was_cached(distilled) for distilled in (first, *later)] == [False, True, True, True]
    assert folders(own_cache, "fine_tuned") == [folder]
    assert written(folder) == before
    assert not was_cached(run(ipc=1, seed=1))
    assert len(folders(own_cache, "fine_tuned")) == 2


def test_fine_tuning_depends_on_its_settings_and_on_the_backbones(run, own_cache):
    for changes in ({}, {"lr": 0.1}, {"batch_size": 4}, {"scratch_steps": 2}, {"memory_size": 2}):
        assert not was_cached(run(ipc=1, **changes))
    assert len(folders(own_cache, "fine_tuned")) == 5


def test_the_cost_of_the_backbone_is_part_of_preparing(run):
    first, other_seed = run(seed=0), run(seed=1)
    readings = [
        next(phase["reading"]["seconds"] for phase in distilled.provenance["phases"] if phase["name"] == "prepare")
        for distilled in (first, other_seed)
    ]
    assert [phase["name"] for phase in first.provenance["phases"]] == ["first_use", "prepare", "distill"]
    assert min(readings) > 0
    assert not was_cached(other_seed)  # its fine-tuning was not
    assert first.provenance["foundation"] == "backbone"


def test_without_steps_the_backbone_is_sampled_as_it_is(run, own_cache, real):
    distilled = run(ipc=2, seed=4, steps=0, guidance=1.5)
    assert not list(own_cache.glob("prepared/fine_tuned-*/phase-*"))
    denoiser = load_denoiser(str(folders(own_cache, "backbone")[0] / "denoiser")).eval()
    seed = draw_seed(make_generator(4, "distill", "toy"))
    plan = SamplingPlan("ddpm", SMALL["sampling_steps"], 1.5, clips=True)
    for index in range(2):
        for labels in ([0], [1, 2]):  # the phases
            inputs = draw_images(denoiser, labels, index, torch.arange(3), plan, seed)
            assert torch.equal(distilled.images.view(3, 2, 3, 8, 8)[labels, index], PixelCodec().decode(inputs))
    assert not torch.equal(run(ipc=2, seed=4, guidance=1.5, lr=0.1).images, distilled.images)


def test_each_phase_is_fine_tuned_on_its_classes_from_the_backbone(run, own_cache):
    run(classes_per_phase=2, lr=0.1, ema_decay=0.0)
    (folder,), (backbone,) = folders(own_cache, "fine_tuned"), folders(own_cache, "backbone")
    start = load_denoiser(str(backbone / "denoiser")).embedder.class_embedder.embedding_table.weight
    moved = []
    for number in range(2):
        tensors = load_file(folder / f"phase-{number:03d}.safetensors")
        table = tensors["embedder.class_embedder.embedding_table.weight"]
        moved.append((table - start).abs().amax(1) > 1e-3)
    assert not moved[0][[1, 2]].any()
    assert not moved[1][0]
    assert moved[0][0]
    assert moved[1][[1, 2]].all()


def test_phases_and_seeds_have_draws_of_their_own(run, monkeypatch):
    seeds = []

    class Watched(FineTuning):
        def __init__(self, denoiser, inputs, class_ids, plan, seed, space) -> None:
            seeds.append(seed)
            super().__init__(denoiser, inputs, class_ids, plan, seed, space)

    monkeypatch.setattr("ddbench.diffusion.method.FineTuning", Watched)
    for seed in (0, 1):
        run(ipc=1, seed=seed)
    assert len(set(seeds)) == len(seeds) == 4


def test_a_finished_phase_is_not_trained_again(run, own_cache):
    expected = run()
    (folder,) = folders(own_cache, "fine_tuned")
    kept, lost = folder / "phase-000.safetensors", folder / "phase-001.safetensors"
    before, content = kept.stat().st_mtime_ns, load_file(lost)
    lost.unlink()
    (folder / MANIFEST).unlink()
    assert torch.equal(run().images, expected.images)
    assert kept.stat().st_mtime_ns == before
    assert all(torch.equal(tensor, content[name]) for name, tensor in load_file(lost).items())


@pytest.mark.parametrize("damage", ["truncated", "missing"])
def test_damaged_weights_are_made_again_and_told_in_one_line(damage, run, own_cache):
    expected = run()
    path = folders(own_cache, "fine_tuned")[0] / "phase-001.safetensors"
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-4])
    with pytest.warns(UserWarning, match=r"is made again: phase-001\.safetensors is missing or altered$"):
        found = run()
    assert torch.equal(found.images, expected.images)


@both
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scratch_width": 20, "scratch_heads": 3}, "scratch_width must be a multiple of scratch_heads, got 20 and 3"),
        ({"scratch_width": 18}, "setting scratch_width cannot be 18"),
        ({"batch_size": 4, "batch_parts": 5}, "batch_parts must be at most batch_size, got 5 and 4"),
        ({"batch_size": 6, "devices": 4}, "batch_size must be a multiple of batch_parts * devices = 4, got 6"),
        ({"sampling_steps": 1}, "setting sampling_steps cannot be 1"),
        ({"sampling_steps": 1001}, "setting sampling_steps cannot be 1001"),
        ({"guidance": 0.5}, "setting guidance cannot be 0.5"),
        ({"sampler": "ddim"}, "setting sampler cannot be 'ddim'"),
        ({"trainable": "none"}, "setting trainable cannot be 'none'"),
        ({"ema_decay": 1.0}, "setting ema_decay cannot be 1.0"),
        ({"precision": "fp16"}, "setting precision cannot be 'fp16'"),
        ({"sampling_step": 5}, "has no setting 'sampling_step'; did you mean sampling_steps"),
    ],
)
def test_settings_that_cannot_be_are_refused_in_one_line(method, settings, message, run):
    with pytest.raises(BadInputError) as caught:
        run(method, **settings)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"method {method}")
    assert "\n" not in str(caught.value)


@both
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scratch_patch_size": 3}, "scratch_patch_size must divide 8, the side of what is denoised, got 3"),
        ({"backbone": "/nowhere/dit"}, "no weights of '/nowhere/dit'"),
        ({"backbone": "/nowhere/dit.pt"}, "no weight file /nowhere/dit.pt"),
        ({"vae": "/nowhere/vae"}, "no weights of '/nowhere/vae'"),
    ],
)
def test_what_cannot_be_done_is_unsupported_with_a_reason_of_one_line(method, settings, message, run, own_cache):
    with pytest.raises(UnsupportedError) as caught:
        run(method, **settings)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not own_cache.exists()


def test_the_default_backbone_is_asked_for_by_name_where_it_is_missing(real, monkeypatch, tmp_path):
    monkeypatch.setattr(
        "ddbench.diffusion.foundation.missing_reason", lambda source, subfolder: f"{source} {subfolder}"
    )
    assert make_method("minimax").unsupported(real.train, 1) == "facebook/DiT-XL-2-256 transformer"


def test_work_that_nobody_prepared_is_a_mistake_of_the_caller(real, context, run, own_cache):
    method = make_method("minimax", SMALL)
    with pytest.raises(RuntimeError, match="run the method through distill"):
        method.prepare(real.train, context)
    run()
    ready = replace(context, foundation=folders(own_cache, "backbone")[0])
    with pytest.raises(RuntimeError, match=r"fine-tuning is done by prepare.*run the method through distill"):
        method.distill(real.train, 1, ready)


@pytest.mark.parametrize("may_be_mirrored", [True, False])
def test_only_images_that_may_be_mirrored_are(may_be_mirrored, real):
    train = replace(real.train, info=replace(real.train.info, may_be_mirrored=may_be_mirrored))
    assert make_method("minimax").plan(train).flips == may_be_mirrored


def test_settings_reach_the_training(real):
    settings = {"steps": 7, "batch_size": 6, "batch_parts": 3, "lr": 0.5, "trainable": "full", "precision": "bf16"}
    plan = make_method("dit", settings).plan(real.train)
    assert {name: getattr(plan, name.replace("batch_parts", "parts")) for name in settings} == settings
    assert plan.ema_decay == pytest.approx(0.9999 ** (12_000 / 7))
    assert make_method("dit", {"ema_decay": 0.25}).plan(real.train).ema_decay == 0.25
    assert plan.rate == "constant"


def test_the_log_tells_losses_of_backbone_and_fine_tuning(real, tmp_path):
    options = RunOptions(device="cpu", log_path=tmp_path / "log.txt")
    distill("minimax", real, 1, 0, SMALL, options=options)
    text = (tmp_path / "log.txt").read_text()
    for name in ("training the backbone", "fine-tuning, phase 1 of 2", "fine-tuning, phase 2 of 2"):
        assert f"{name}: loss[0] = " in text
        assert f"{name}: loss[2] = " in text


def test_grey_images_of_ten_classes_are_drawn_as_such():
    digits = load_dataset("digits")
    distilled = distill("minimax", digits, 1, 0, make_method("minimax").smoke_settings, "cpu")
    assert distilled.images.shape == (10, 1, 8, 8)
    assert distilled.provenance["foundation"] == "backbone"
