"""What the campaign of misuse calls: every public function with right arguments, and for each argument wrong ones."""

from __future__ import annotations

import random as chance
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ddbench import DistilledDataset, LabeledImages, Metric, RealDataset, distill, evaluate, load_dataset, run_suite
from ddbench.dataset import make_real_dataset
from ddbench.evaluator import make_evaluator
from ddbench.images import DatasetInfo, Whitening
from ddbench.method import make_method
from ddbench.network import InputShape, make_network
from ddbench.protocol import Protocol, Schedule
from ddbench.runs.distill import RunOptions
from ddbench.runs.suite import Suite
from ddbench.students.loop import TrainingPlan
from ddbench.students.trainer import train_network
from ddbench.tables.table import make_table
from tests.campaigns import _misuse as wrong
from tests.campaigns._misuse import Wrong, same, spoilt


class Training:
    """A tracker that remembers whether a loop was entered: that is when training begins."""

    def __init__(self) -> None:
        self.has_begun = False

    def __call__(self, iterable: Iterable[Any], description: str, state: object = None) -> Iterator[Any]:
        self.has_begun = True
        yield from iterable


@dataclass(frozen=True)
class Target:
    """A function, right arguments for it, and wrong values by argument."""

    name: str
    call: Callable[..., object]
    right: dict[str, Any]
    wrong: dict[str, list[Wrong]] = field(default_factory=dict)


def labels_of(count: int) -> torch.Tensor:
    return torch.arange(3).repeat_interleave(count)


def a_set(**changes: Any) -> DistilledDataset:
    right = {"images": torch.zeros(6, 3, 8, 8), "labels": labels_of(2), "num_classes": 3, "ipc": 2}
    return DistilledDataset(**{**right, **changes})


def set_targets() -> list[Target]:
    """The records: sets, splits, data sets, whitenings and metrics."""
    images, pixels = torch.zeros(6, 3, 8, 8), torch.zeros(6, 3, 8, 8, dtype=torch.uint8)
    info = {"name": "toy", "class_names": ("a", "b", "c"), "channels": 3, "image_size": 8, "fingerprint": ""}
    made = DatasetInfo(**info, mean=(0.5,) * 3, std=(0.2,) * 3)
    split = LabeledImages(pixels, labels_of(2), made)
    labels: list[Wrong] = [
        *wrong.NOTHING,
        lambda random: labels_of(2).to(random.choice([torch.int32, torch.int16, torch.float32, torch.uint8])),
        lambda random: torch.arange(3).repeat(random.choice([1, 3, 4])),
        lambda random: spoilt(random, labels_of(2), random.choice([-1, 3, 99, -(10**9)])),
        lambda random: labels_of(2).to("meta"),
        same(None),
        same([0, 0, 1, 1, 2, 2]),
        same(np.array([0, 0, 1, 1, 2, 2])),
    ]
    soft = torch.full((6, 3), 1 / 3)
    uneven = [lambda random: spoilt(random, labels_of(2), 0).index_fill_(0, torch.tensor([5]), random.choice([0, 1]))]
    rows: list[Wrong] = [
        lambda random: torch.randn(6, 3, generator=torch.Generator().manual_seed(random.getrandbits(30))) * 5,
        lambda random: soft * random.uniform(1.01, 9),
        lambda random: spoilt(random, soft, random.choice([-0.5, wrong.NAN, wrong.INFINITY, 0.9])),
        lambda random: torch.zeros(6, 3),
        lambda random: torch.full((6, random.choice([2, 4])), 0.25),
        lambda random: soft.to(random.choice([torch.float64, torch.float16])),
    ]
    values: list[Wrong] = [
        lambda random: spoilt(random, images, random.choice([wrong.NAN, wrong.INFINITY, -wrong.INFINITY])),
        lambda random: torch.rand(6, 3, 8, 8) * random.uniform(250, 1e6),
        lambda random: -torch.rand(6, 3, 8, 8) * random.uniform(250, 1e6),
        lambda random: pixels,
    ]
    provenance: list[Wrong] = [
        *[kind for kind in wrong.NOTHING if kind is not wrong.NOTHING[2] and kind is not wrong.NOTHING[11]],
        lambda random: {random.randint(0, 9): 1},
        lambda random: {"x": random.choice([torch.zeros(2), object(), print])},
        lambda random: {random.choice(["config", "phases", "engine"]): "text"},
        lambda random: {"distill_seed": random.choice([-1, 1.5, "x", True])},
        lambda random: {random.choice(["dataset", "method", "foundation"]): random.randint(0, 9)},
        lambda random: {"pixel_margin": random.choice([-1, "wide", wrong.NAN, None])},
    ]
    sets = {
        "images": [*wrong.IMAGES, *values],
        "labels": [*labels, *uneven, *rows],
        "num_classes": [*wrong.COUNTS, same(None), same(0), same(2), same(4), same(10**12)],
        "ipc": [*wrong.COUNTS, same(0), same(1), same(3)],
        "space": [*wrong.TEXTS, same("zca"), same("Normalised")],
        "student_lr": [*wrong.NUMBERS, same(0), same(-0.1)],
        "whitening": [*wrong.NOTHING, lambda random: Whitening(torch.zeros(192), torch.eye(192))],
        "provenance": provenance,
    }
    real_images = [kind for kind in wrong.IMAGES]
    real_images += [same(images), lambda random: torch.zeros(6, random.choice([1, 4]), 8, 8, dtype=torch.uint8)]
    constants: list[Wrong] = [
        *wrong.NUMBERS,
        lambda random: (0.5,) * random.choice([0, 1, 2, 4]),
        lambda random: (0.5, 0.5, random.choice([wrong.NAN, wrong.INFINITY, "0.5", None, True])),
    ]
    zero = [same((0.2, 0.0, 0.2)), same((-0.2, 0.2, 0.2))]
    absent = [lambda random: LabeledImages(pixels, labels_of(2).clamp(max=random.choice([0, 1])), made)]
    pairs: list[Wrong] = [
        *wrong.NOTHING,
        same((pixels,)),
        same(pixels),
        lambda random: (random.choice(real_images)(random), labels_of(2)),
        lambda random: (pixels, random.choice(labels)(random)),
        lambda random: (pixels, labels_of(2).clamp(max=1)),
    ]
    names = [*wrong.TEXT_LISTS, same(()), same(("a", "b"))]
    parts = {"name": "toy", "train": (pixels, labels_of(2)), "test": (pixels, labels_of(2))}
    parts |= {"class_names": ("a", "b", "c"), "mean": (0.5,) * 3, "std": (0.2,) * 3}
    infos = {"class_names": [*wrong.TEXT_LISTS, same(())], "mean": constants, "std": [*constants, *zero]}
    infos |= {"channels": wrong.COUNTS, "image_size": wrong.COUNTS, "may_be_mirrored": wrong.FLAGS}
    infos["class_ids"] = [kind for kind in wrong.TEXT_LISTS if kind is not wrong.TEXT_LISTS[0]] + [same(("n1",))]
    scale = [lambda random: (random.uniform(1.1, 255),) * 3]
    return [
        Target("DistilledDataset", DistilledDataset, {**right_set(), "provenance": {}}, sets),
        Target("DatasetInfo", DatasetInfo, {**info, "mean": made.mean, "std": made.std}, infos),
        Target(
            "LabeledImages",
            LabeledImages,
            {"images": pixels, "labels": labels_of(2), "info": made},
            {"images": real_images, "labels": [*labels, *rows], "info": [*wrong.NOTHING, same(None), same("toy")]},
        ),
        Target(
            "RealDataset",
            RealDataset,
            {"train": split, "test": split, "info": made},
            {name: [*wrong.NOTHING, same(None), *absent] for name in ("train", "test")}
            | {"info": [*wrong.NOTHING, same(None)]},
        ),
        Target(
            "make_real_dataset",
            make_real_dataset,
            parts,
            {
                "name": wrong.TEXTS[:17],
                "train": pairs,
                "test": pairs,
                "class_names": names,
                "mean": [*constants, *scale],
                "std": [*constants, *zero, *scale],
                "may_be_mirrored": wrong.FLAGS,
                "expected": [*wrong.NOTHING[:2], *wrong.NOTHING[3:], same({"train_counts": 5}), same({"x": []})],
            },
        ),
        Target(
            "Whitening",
            Whitening,
            {"mean": torch.zeros(12), "matrix": torch.eye(12)},
            {name: wrong.IMAGES for name in ("mean", "matrix")},
        ),
        Target(
            "Metric",
            Metric,
            {"name": "a", "unit": "fraction", "higher_is_better": True, "values": (0.5,)},
            {
                "name": [kind for kind in wrong.NOTHING if kind is not wrong.NOTHING[3]],
                "higher_is_better": wrong.FLAGS,
                "values": [same("0.5"), same(0.5), same(("0.5",)), same((True,)), same((None,)), same(None)],
            },
        ),
    ]


def right_set() -> dict[str, Any]:
    return {"images": torch.zeros(6, 3, 8, 8), "labels": labels_of(2), "num_classes": 3, "ipc": 2}


def maker_targets() -> list[Target]:
    """Methods, networks, evaluators, protocols, plans, suites and options."""
    shape, generator = InputShape(1, 8, 10), torch.Generator()
    settings: list[Wrong] = [
        *wrong.NOTHING[3:],
        same({"stepz": 1}),
        lambda random: {"steps": random.choice([0, -1, True, 2.5, "x", None, wrong.NAN, 10**5000])},
        lambda random: {"image_lr": random.choice([True, "x", wrong.NAN, wrong.INFINITY, -1, None, [1]])},
        lambda random: {random.randint(0, 9): 1},
    ]
    networks = [*wrong.TEXTS, *map(same, ("convnet-d9", "convnet-x", "mlp-", "resnet", "convnet-d3-d4", ""))]
    protocol = {"name": "mine", "version": 1, "network": "mlp", "schedule": Schedule(epochs=2, drop_at=1)}
    protocol["real_schedule"] = Schedule(epochs=1, drop_at=1)
    plan = TrainingPlan(Schedule(epochs=1, drop_at=1), 0.01, 64, "")
    suite = {"name": "s", "protocol": "quick", "datasets": ("digits",), "methods": ("random_real",), "ipc": (1,)}
    lists = [*wrong.NOTHING[:10], *wrong.NOTHING[11:], same(None), same("text"), same((1.5,)), same((True,)), same(())]
    options = {
        "data_dir": [*wrong.NOTHING[:9], same(""), same(True), same("a\0")],
        "track": [*wrong.NOTHING[:5], same(1)],
    }
    options |= {"checkpoint_seconds": [*wrong.NUMBERS, same(-1)], "students_at_once": [*wrong.COUNTS, same(0)]}
    options["log_path"] = options["log_dir"] = options["data_dir"]
    options["log_every"] = [*wrong.COUNTS, same(0)]
    options["loggers"] = [same("tensorboard"), same(("tensorbord",)), same((1,)), same(None), same(("wandb",) * 2)]
    real = load_dataset("digits")
    train = {"network": make_network("mlp", shape, generator), "train": real.train, "plan": plan}
    rates = [*wrong.NUMBERS, same(None), same(-1)]
    plans = [lambda random: TrainingPlan(plan.schedule, random.choice(rates)(random), 64, "")]
    plans += [lambda random: TrainingPlan(plan.schedule, 0.1, random.choice(wrong.COUNTS)(random), "")]
    return [
        Target("make_method", make_method, {"name": "dm"}, {"name": wrong.TEXTS, "settings": settings}),
        Target("make_evaluator", make_evaluator, {"spec": "accuracy"}, {"spec": [*wrong.TEXTS, same("accuracy:x")]}),
        Target(
            "make_network",
            make_network,
            {"spec": "mlp", "shape": shape, "generator": generator},
            {"spec": networks, "shape": [*wrong.NOTHING, same((1, 8, 10))], "generator": [*wrong.NOTHING, same(0)]},
        ),
        Target(
            "InputShape",
            InputShape,
            {"channels": 1, "image_size": 8, "num_classes": 10},
            {name: [*wrong.COUNTS, same(0)] for name in ("channels", "image_size", "num_classes")},
        ),
        Target(
            "Protocol",
            Protocol,
            protocol,
            {
                "name": wrong.NOTHING[1:3],
                "version": [*wrong.COUNTS[:-5], same(0), same(True)],
                "schedule": [*wrong.NOTHING, same(None), same(10)],
                "lr": rates,
                "batch_size": [same(0), same(1.5), same("8"), same(True)],
                "surprise": [same(1)],
            },
        ),
        Target(
            "Schedule",
            Schedule,
            {"epochs": 2, "drop_at": 1},
            {name: [same(0), same(1.5), same("2"), same(True), *wrong.NOTHING] for name in ("epochs", "drop_at")},
        ),
        Target(
            "Suite",
            Suite,
            suite,
            {
                "datasets": lists,
                "methods": lists,
                "ipc": [*lists, same(("1",)), same((0,)), same((-1,))],
                "students": [*wrong.COUNTS[:-5], same(0)],
                "distill_seeds": [*lists[1:], same((-1,))],
                "surprise": [same(1)],
            },
        ),
        Target("RunOptions", RunOptions, {}, options),
        Target(
            "train_network",
            train_network,
            {**train, "generator": generator},
            {
                "network": [*wrong.NOTHING, same(None), same("mlp"), lambda random: torch.nn.ReLU()],
                "train": [*wrong.NOTHING, same(None), same(real), same("digits")],
                "plan": [*wrong.NOTHING, same(None), same(plan.schedule), *plans],
                "generator": [*wrong.NOTHING, same(None), same(0)],
                "track": [*wrong.NOTHING[:5], same(None)],
            },
        ),
        Target("make_table", make_table, {"results": []}, {"results": [*wrong.NOTHING, same(None), same(["a"])]}),
    ]


def run_targets(folder: Path) -> list[Target]:
    """Loading, distilling, evaluating and running a suite."""
    real = load_dataset("digits")
    few = torch.cat([real.train.of_class(label)[:1] for label in range(10)])
    images, labels = real.train.normalised(few), torch.arange(10)
    right = DistilledDataset(images, labels, 10, 1)
    datasets: list[Wrong] = [*wrong.TEXTS, same(real.train), same(real.info), same("image_folder"), same("no,such")]
    sets: list[Wrong] = [
        *wrong.TEXTS,
        same(real),
        same((images, labels)),
        lambda random: DistilledDataset(torch.zeros(9, 1, 8, 8), torch.arange(9), 9, 1),
        lambda random: DistilledDataset(torch.zeros(10, *random.choice([(3, 8, 8), (1, 9, 9)])), labels, 10, 1),
        lambda random: DistilledDataset(images * random.uniform(12, 40), labels, 10, 1),
        lambda random: DistilledDataset(images - random.uniform(12, 90), labels, 10, 1),
        lambda random: DistilledDataset(*uneven(random, real), 10, None),
        lambda random: right.with_provenance(class_names=[str(random.random())] * 10),
        lambda random: right.with_provenance(diverged="at step 3"),
        lambda random: DistilledDataset(
            torch.zeros(real.train.images.shape, dtype=torch.uint8, device="meta"),
            real.train.labels.flip(0),
            10,
            None,
            "pixels",
        ),
    ]
    networks = [*wrong.TEXTS[:5], same("nonsense"), same("convnet-d9"), same("convnet-q"), same(3), same(True)]
    lists: list[Wrong] = [*wrong.TEXT_LISTS[1:], same(("nonsense",)), same(("convnet-d9",)), same(("",))]
    options = [*wrong.NOTHING, same("x"), same(3)]
    paths = [*wrong.NOTHING[:9], *map(same, (None, "", "\0", True, 3))]
    (folder / "other").mkdir()
    (folder / "other" / "file").touch()
    return [
        Target("save", right.save, {}, {"folder": [*paths, same(folder / "other"), same(folder / "other" / "file")]}),
        Target("load", DistilledDataset.load, {}, {"folder": [*paths, same(folder), same(folder / "missing")]}),
        Target(
            "load_dataset",
            load_dataset,
            {"spec": "digits"},
            {
                "spec": [*wrong.TEXTS, same(","), same("digits,x"), same("digits,a=b")],
                "data_dir": [*wrong.NOTHING[:9], same(""), same("\0"), same(True), same(3)],
                "download": wrong.FLAGS,
                "size": [same(8)],
            },
        ),
        Target(
            "distill",
            distill,
            {"method": "dm", "dataset": real, "ipc": 1, "config": {"steps": 2, "network": "mlp"}, "device": "cpu"},
            {
                "method": [*wrong.TEXTS, same(DistilledDataset)],
                "dataset": datasets,
                "ipc": [*wrong.COUNTS, same(0), same(None), same(1000)],
                "seed": wrong.SEEDS,
                "config": [*wrong.NOTHING[3:], same({"stepz": 1}), same({"steps": True}), same({3: 3})],
                "device": DEVICES,
                "share_prepare": wrong.FLAGS,
                "options": options,
            },
        ),
        Target(
            "evaluate",
            evaluate,
            {"distilled": right, "dataset": real, "protocol": "quick", "students": 1, "device": "cpu"},
            {
                "distilled": sets,
                "dataset": datasets,
                "protocol": [*wrong.TEXTS, same(""), same("soft-label-2cores"), same("quick,teacher=x")],
                "network": networks,
                "students": [*wrong.COUNTS, same(0), same(None)],
                "seed": wrong.SEEDS,
                "device": DEVICES,
                "evaluators": [*lists, same(())],
                "cross_networks": lists,
                "options": options,
            },
        ),
        Target(
            "run_suite",
            run_suite,
            {"suite": folder / "missing.yaml", "results": folder / "results"},
            {
                "suite": [*wrong.NOTHING, same(None), same(""), same({"name": "s"}), same(real)],
                "results": [*wrong.NOTHING[:9], same(None), same(""), same("\0")],
                "options": options,
                "device": DEVICES,
            },
        ),
    ]


DEVICES = wrong.DEVICES


def uneven(random: chance.Random, real: RealDataset) -> tuple[torch.Tensor, torch.Tensor]:
    """Return images and labels of different numbers of each class."""
    rows = torch.cat([real.train.of_class(label)[: random.randint(1, 20) + label % 2 * 20] for label in range(10)])
    return real.train.normalised(rows), real.train.labels[rows]
