"""Tests of G-VBSM: densification and a whole run against the paper's loop in float64, recipes, kills, forecasts."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ddbench.dataset import load_dataset
from ddbench.errors import BadInputError
from ddbench.method import RunContext, make_method
from ddbench.methods._teacher.several import load_teachers
from ddbench.methods.g_vbsm import STATISTICS_FILE, Recipe, densification
from ddbench.runs.distill import distill
from ddbench.runs.preparation import make_foundations, prepare_once
from ddbench.seeding import make_generator
from ddbench.work import BY_IMAGES, FORWARD, TRAINING, Passes
from tests._keeper import Keeper, KilledError

CPU = torch.device("cpu")
NETWORKS = ["convnet-d2-w8-bn", "convnet-d1-w8"]
SETTINGS = {"teacher_networks": NETWORKS, "teacher_epochs": 2, "steps": 6, "batch_size": 12}


def naive_densification(images: Tensor, labels: list[int]) -> float:
    """DD of images of 32 px, class by class and eigenvalue by eigenvalue."""
    total = 0.0
    for label in set(labels):
        rows = [image.flatten().tolist() for image, own in zip(images, labels, strict=True) if own == label]
        gram = [[math.fsum(a * b for a, b in zip(one, other, strict=True)) for other in rows] for one in rows]
        values = torch.linalg.eigvals(torch.tensor(gram, dtype=torch.float64)).real.tolist()

        def logs(scaled: list[float]) -> list[float]:
            top = max(scaled)
            rest = top + math.log(math.fsum(math.exp(value - top) for value in scaled))
            return [value - rest for value in scaled]

        softer, harder = logs([value / 4 for value in values]), logs(values)
        total += math.fsum(math.exp(p) * (p - q) for p, q in zip(softer, harder, strict=True))
    return total


def images_of(count: int, scale: float) -> Tensor:
    draws = torch.Generator().manual_seed(count)
    return torch.randn(count, 1, 32, 32, dtype=torch.float64, generator=draws) * scale


def test_densification_is_a_divergence_of_eigenvalues_of_each_class():
    images, labels = images_of(7, 0.1), [0, 0, 0, 1, 1, 4, 4]
    found = float(densification(images, torch.tensor(labels)))
    assert found == pytest.approx(naive_densification(images, labels), rel=1e-9)
    assert found > 0.1
    assert float(densification(images[:1], torch.tensor([3]))) == 0  # a class with one image


def test_densification_has_the_gradient_of_its_sharper_side_alone():
    """By finite differences of KL(p, softmax(l)) with p as it is at the images, which DD's own value has not."""
    images, labels = images_of(3, 0.1).requires_grad_(), torch.zeros(3, dtype=torch.int64)
    gradient = torch.autograd.grad(densification(images, labels), images)[0]

    def values_of(given: Tensor) -> Tensor:
        return torch.linalg.eigvalsh(given.detach().flatten(1) @ given.detach().flatten(1).T)

    kept = (values_of(images) / 4).softmax(0)
    step = torch.randn(images.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    sides = [-(kept * values_of(images + sign * 1e-5 * step).log_softmax(0)).sum() for sign in (1, -1)]
    assert float((gradient * step).sum()) == pytest.approx(float(sides[0] - sides[1]) / 2e-5, rel=1e-5)


def test_smaller_and_larger_images_are_averaged_to_32_px():
    images = images_of(2, 0.1)
    labels, large = torch.zeros(2, dtype=torch.int64), images.repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert float(densification(large, labels)) == pytest.approx(float(densification(images, labels)), rel=1e-9)


@pytest.mark.parametrize(
    ("side", "expected"),
    [
        (32, Recipe(0.05, 0.8, 0.4, 4, 100, 64)),
        (64, Recipe(0.05, 0.8, 0.4, 4, 100, 64)),
        (224, Recipe(0.1, 0.4, 0.0, 16, 80, 256)),
    ],
)
def test_recipes_are_the_authors_by_size_and_settings_take_their_place(side, expected):
    info = replace(load_dataset("digits").info, image_size=side)
    assert make_method("g_vbsm").recipe(info) == expected
    changed = make_method("g_vbsm", {"lr": 0.3, "drop_rate": 0.0, "cell_side": 2}).recipe(info)
    assert changed == replace(expected, lr=0.3, drop_rate=0.0, cell_side=2)


@pytest.mark.parametrize(("setting", "value"), [("momentum", 1.0), ("drop_rate", 1.0), ("cell_side", 0), ("steps", 0)])
def test_settings_out_of_range_are_refused_in_one_line(setting, value):
    with pytest.raises(BadInputError, match=f"method g_vbsm: setting {setting} cannot be {value}: ") as caught:
        make_method("g_vbsm", {setting: value})
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("own_cache")
def test_a_set_has_bytes_of_every_class_and_says_what_it_stands_on():
    made = distill("g_vbsm", "digits", 2, config={**SETTINGS, "batch_size": 7}, device="cpu")
    assert (made.space, made.images.dtype) == ("pixels", torch.uint8)
    assert made.labels.tolist() == [label for label in range(10) for _ in range(2)]
    assert len(made.images.flatten(1).unique(dim=0)) == 20
    assert made.provenance["foundation"] == "set of 2 teachers"
    assert made.provenance["config"]["teacher_networks"] == NETWORKS


def test_the_forecast_counts_every_teacher():
    train = load_dataset("digits").train
    work = make_method("g_vbsm", SETTINGS).work(train, 2)
    count = len(train)
    assert work.prepare.passes == (
        *(Passes(name, 2 * count, 128, TRAINING) for name in NETWORKS),
        *(Passes(name, count, 64, FORWARD) for name in NETWORKS),
    )
    assert work.distill.passes == tuple(Passes(name, 20 * 6 // 2, 12, BY_IMAGES) for name in NETWORKS)


@pytest.fixture
def founded(own_cache, tmp_path):
    """The training split, a method without shifts of the roll, and a context with teachers and what is prepared."""
    train = load_dataset("digits").train
    method = make_method("g_vbsm", {**SETTINGS, "roll": 3, "momentum": 0.4, "drop_rate": 0.4})
    ctx = RunContext(CPU, torch.Generator(), tmp_path)
    folders, _ = make_foundations(method, train, ctx)
    ctx = replace(ctx, foundations=folders)
    folder, _ = prepare_once("g_vbsm", method, train, 0, ctx)
    return train, method, replace(ctx, prepared=folder)


@pytest.mark.parametrize("done", [4, 6, 9])
def test_a_killed_run_goes_on_with_the_same_numbers(done, founded):
    """Within a batch, between two and in the second one, whose averages go on from those of the first."""
    train, method, ctx = founded

    def run(**options):
        return method.distill(train, 2, replace(ctx, generator=torch.Generator().manual_seed(3), **options)).images

    whole, keeper = run(), Keeper(done)
    with pytest.raises(KilledError):
        run(track=keeper)
    assert torch.equal(run(track=keeper), whole)


def test_a_killed_preparation_goes_on_with_the_same_numbers(founded, tmp_path):
    train, method, ctx = founded
    keeper = Keeper(5)
    for _ in range(2):
        own = replace(ctx, generator=make_generator(0, "prepare", "digits"), cache_dir=tmp_path, track=keeper)
        if keeper.kept is None:
            with pytest.raises(KilledError):
                method.prepare(train, own)
        else:
            method.prepare(train, own)
    found, whole = (load_file(folder / STATISTICS_FILE) for folder in (tmp_path, ctx.prepared))
    assert found.keys() == whole.keys()
    assert all(torch.equal(found[key], whole[key]) for key in found)


def naive_views(images: Tensor, generator: torch.Generator, roll: int) -> Tensor:
    """Digits moved by up to 1 px, not mirrored, and rolled, all in the same way."""
    top, left = torch.randint(3, (1, 2), generator=generator)[0].tolist()
    torch.rand(1, generator=generator)
    moved = nn.functional.pad(images, (1, 1, 1, 1))[:, :, top : top + 8, left : left + 8]
    return moved.roll(torch.randint(roll + 1, (2,), generator=generator).tolist(), (2, 3))


def naive_statistics(layer: nn.Module, inputs: Tensor) -> list[Tensor]:
    """Channels' means and variances, and of a conv those of the cells of 4 px of maps of 4 or 8 px."""
    channels = inputs.movedim(1, 0).flatten(1)
    parts = [channels]
    if isinstance(layer, nn.Conv2d):
        count = inputs.shape[-1] // 4
        cells = [(slice(4 * i, 4 * i + 4), slice(4 * j, 4 * j + 4)) for i in range(count) for j in range(count)]
        parts.append(torch.stack([inputs[:, :, rows, columns].flatten() for rows, columns in cells]))
    found = []
    for rows in parts:
        mean = rows.mean(1)
        found += [mean, (rows - mean[:, None]).square().mean(1)]
    return found


def naive_recovery(teachers, real, ipc: int, steps: int, generator: torch.Generator, bounds, roll: int) -> Tensor:
    """The paper's loop in float64, of a single batch without layers left out: one teacher a step, in turn."""
    labels = torch.arange(10).repeat_interleave(ipc)
    images = torch.randn(len(labels), 1, 8, 8, generator=generator).double().requires_grad_()
    optimiser, averages, seen = torch.optim.Adam([images], betas=(0.5, 0.9)), {}, []
    layers = [
        [(name, m) for name, m in teacher.named_modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d)]
        for teacher in teachers
    ]
    for own in layers:
        for _, layer in own:
            layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    for step in range(steps):
        which, views = step % len(teachers), naive_views(images, generator, roll)
        seen.clear()
        loss = nn.functional.cross_entropy(teachers[which](views), labels)
        for place, ((name, layer), inputs) in enumerate(zip(layers[which], seen, strict=True)):
            wanted = [getattr(layer, key).double() for key in ("running_mean", "running_var") if hasattr(layer, key)]
            wanted = wanted or [real[f"{which}/{name}/{part}"].double() for part in range(4)]
            for part, (found, target) in enumerate(zip(naive_statistics(layer, inputs), wanted, strict=True)):
                key = which, name, part
                averages[key] = 0.4 * averages.get(key, 0) + 0.6 * found.detach()
                value = averages[key] + found - found.detach()
                loss = loss + 0.01 * (10 if place == 0 else 1) * (target - value).square().sum().sqrt()
        for label in range(10):
            rows = views[labels == label].repeat_interleave(4, 2).repeat_interleave(4, 3).flatten(1)
            values = torch.linalg.eigvalsh(rows @ rows.T)
            softer = (values / 4).softmax(0).detach()
            loss = loss + (softer * (softer.log().nan_to_num(neginf=0) - values.log_softmax(0))).sum()
        optimiser.param_groups[0]["lr"] = 0.05 * 0.5 * (1 + math.cos(math.pi * step / steps))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        images.data.clamp_(*bounds)
    return images.detach()


def test_a_whole_run_is_the_papers_loop(founded):
    train, _, ctx = founded
    method = make_method("g_vbsm", {**SETTINGS, "batch_size": 20, "momentum": 0.4, "drop_rate": 0.0, "roll": 3})
    made = method.distill(train, 2, replace(ctx, generator=torch.Generator().manual_seed(8)))
    teachers = [teacher.double() for teacher in load_teachers(method.config, train, ctx)]
    mean, std = train.info.mean[0], train.info.std[0]
    bounds, real = (-mean / std, (1 - mean) / std), load_file(ctx.prepared / STATISTICS_FILE)
    exact = naive_recovery(teachers, real, 2, 6, torch.Generator().manual_seed(8), bounds, 3)
    assert (made.images.double() - (exact * std + mean) * 255).abs().max() <= 0.51  # half a shade of rounding
