"""The gain over random images by DD-Ranking's own package, and ours with its settings on the same images.

Needs an environment with DD-Ranking, which wants numpy < 2 and so no place beside ddbench:

    uv venv --python 3.11 PEER && uv pip install --python PEER/bin/python ddranking==0.2.0
    DDBENCH_DD_RANKING_PYTHON=PEER/bin/python DDBENCH_DATA_DIR=... uv run pytest tests/peers -m peer -s

Both sides train ConvNet-3 on the same 100 images with the logits of the same teacher on every batch augmented by DSA,
and test on the same 1,000. The random images of each run are those that DD-Ranking drew and saved. As it does, the
random side's rate is searched on the test set, which no protocol of ours would; its only test is after the last epoch,
for it tests every 20 and keeps the best.
"""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from statistics import fmean, variance

import pytest
import torch
from safetensors.torch import load_file, save_file

from ddbench import distill, evaluate, import_set, load_dataset
from ddbench.distilled.dataset import DistilledDataset
from ddbench.host.files import sha256_of
from ddbench.images import LabeledImages, RealDataset
from ddbench.network import InputShape, make_network
from ddbench.peers.dd_ranking import constants_of, to_dd_ranking
from ddbench.protocol import PROTOCOLS, Protocol, Schedule
from ddbench.seeding import make_generator
from ddbench.students.loop import TrainingPlan
from ddbench.students.trainer import train_network
from ddbench.training_recipe import Teacher
from tests.conftest import PEER_PYTHON

PROGRAM = Path(__file__).with_name("_dd_ranking_program.py")
MOST_ERRORS, MOST_ERROR = 3, 1.0  # standard errors of a difference; points
IPC, RUNS, EPOCHS, BATCH, TEMPERATURE, SYN_LR = 10, int(os.environ.get("DDBENCH_ROUNDS", "6")), 20, 10, 1.2, 0.01
RATES = (0.001, 0.005, 0.01, 0.05, 0.1)  # those that it tries for random images
OF_THEIR_DSA = {"flip": 0.5, "rotate": 15.0, "saturation": 2.0, "brightness": 1.0, "contrast": 0.5, "scale": 1.2}


def part_of(split: LabeledImages, per_class: int, info) -> LabeledImages:
    rows = torch.cat([split.of_class(label)[:per_class] for label in range(split.num_classes)])
    return LabeledImages(split.images[rows], split.labels[rows], info)


@pytest.fixture(scope="module")
def real() -> RealDataset:
    """The first 500 training and 100 test images of each class of CIFAR-10."""
    whole = load_dataset("cifar10")
    info = replace(whole.info, name="cifar10_part", fingerprint="")
    return RealDataset(part_of(whole.train, 500, info), part_of(whole.test, 100, info), info)


@pytest.fixture(scope="module")
def teacher(real, tmp_path_factory) -> Path:
    """A file of a ConvNet-3 trained on the part for five epochs; both programs give its parameters the same names."""
    network = make_network("convnet-d3", InputShape.of(real.info), make_generator(0, "teacher"))
    plan = TrainingPlan(Schedule(epochs=5, drop_at=4), 0.01, 64, "", weight_decay=5e-4)
    train_network(network, real.train, plan, make_generator(0, "training"))
    path = tmp_path_factory.mktemp("teacher") / "teacher.safetensors"
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, path)
    return path


def their_accuracies(made: DistilledDataset, real: RealDataset, teacher: Path, folder: Path) -> tuple[list[float], ...]:
    """Return percentages of the set and of random images, one a run, by DD-Ranking itself."""
    for name, split in (("train", real.train), ("test", real.test)):
        save_file({"images": split.images, "labels": split.labels}, folder / f"{name}.safetensors")
    info = replace(real.info, name="cifar10")
    given = to_dd_ranking(made, info)
    save_file({"image_tensor": given.image_tensor}, folder / "set.safetensors")
    (home := folder / "teachers" / "CIFAR10" / "ConvNet-3").mkdir(parents=True)
    torch.save(load_file(teacher), home / "ckpt_best.pt")
    settings = {
        "constants": constants_of(info),
        "syn_lr": SYN_LR,
        "ipc": given.settings["ipc"],
        "im_size": given.settings["im_size"],
        "num_eval": RUNS,
        "num_epochs": EPOCHS,
        "step_size": EPOCHS // 2,
        "lr_scheduler": "step",
        "syn_batch_size": BATCH,
        "loss_fn_kwargs": {"temperature": TEMPERATURE, "scale_loss": True},
        "aug_params": {**OF_THEIR_DSA, "crop": 0.125, "cutout": 0.5, "siamese": False, "latestseed": -1},
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    command = [os.environ[PEER_PYTHON], str(PROGRAM), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    said = done.stdout + done.stderr
    return tuple(
        [float(v) for v in re.findall(rf"{of} data soft label acc: ([0-9.]+)%", said)] for of in ("Syn", "Random")
    )


def our_accuracy(made: DistilledDataset, real: RealDataset, teacher: Path, lr: float, seed: int) -> float:
    """Return the percentage of one student by DD-Ranking's settings."""
    file = Teacher(
        network="convnet-d3",
        schedule=Schedule(epochs=1, drop_at=1),
        seed=0,
        temperature=TEMPERATURE,
        loss="kl",
        sha256=sha256_of(teacher),
        path=str(teacher),
    )
    protocol = Protocol(
        name="dd-ranking",
        version=1,
        network="convnet-d3",
        schedule=Schedule(epochs=EPOCHS, drop_at=EPOCHS // 2),
        real_schedule=Schedule(epochs=1, drop_at=1),
        lr=lr,
        batch_size=BATCH,
        augmentation=PROTOCOLS.get("dsa").augmentation,
        resets_momentum=False,
        teacher=file,
    )
    result = evaluate(made, real, protocol, students=1, seed=seed, evaluators=("accuracy",))
    return 100 * result.metrics[0].values[0]


def our_accuracies(made: DistilledDataset, real: RealDataset, teacher: Path, folder: Path) -> tuple[list[float], ...]:
    """Return the same by our students, beside the random images that DD-Ranking drew and left."""
    own, random = [], []
    for run in range(RUNS):
        source = folder / "random_data" / f"CIFAR10_IPC{IPC}" / f"iter{run}"
        drawn = import_set(source, "image-folder", real).sets[0]
        # As there: a fresh start and fresh draws for each rate.
        found = [our_accuracy(drawn, real, teacher, lr, 1000 + 10 * run + at) for at, lr in enumerate(RATES)]
        random.append(max(found))
        own.append(our_accuracy(made, real, teacher, SYN_LR, run))
    return own, random


def difference(ours: list[float], theirs: list[float], *, paired: bool = False) -> tuple[float, float]:
    """Return the mean difference and its standard error, in points."""
    apart = [a - b for a, b in zip(ours, theirs, strict=True)]
    return fmean(apart), math.sqrt((variance(apart) if paired else variance(ours) + variance(theirs)) / RUNS)


@pytest.mark.peer
@pytest.mark.data
def test_the_gain_over_random_is_dd_rankings_own_within_noise(real, teacher, tmp_path):
    made = distill("dm", real, IPC, config={"network": "convnet-d3", "steps": 60, "real_batch_size": 64})
    their_own, their_random = their_accuracies(made, real, teacher, tmp_path)
    our_own, our_random = our_accuracies(made, real, teacher, tmp_path)
    gains = [[a - b for a, b in zip(*side, strict=True)] for side in ((our_own, our_random), (their_own, their_random))]
    print()
    for what, ours, theirs, paired in (
        ("accuracy of the set", our_own, their_own, False),
        ("accuracy of random images", our_random, their_random, True),
        ("improvement over random", *gains, True),
    ):
        apart, error = difference(ours, theirs, paired=paired)
        print(f"{what}: DD-Ranking {fmean(theirs):.2f}, ours {fmean(ours):.2f}, apart {apart:+.2f} ± {error:.2f}")
        print(f"  DD-Ranking {theirs}\n  ours {ours}")
        assert abs(apart) < MOST_ERRORS * error, what
        assert error < MOST_ERROR, f"{what}: more runs are needed before this says anything"
