"""Tests of the ways to label a set."""

from dataclasses import replace

import pytest
import torch

from ddbench.augment.zca import fit_zca, whiten
from ddbench.dataset import load_dataset
from ddbench.distilled.dataset import DistilledDataset
from ddbench.protocol import PROTOCOLS
from ddbench.students.label_regimes import can_label, label_set, teacher_labels
from ddbench.students.teacher import find_teacher
from ddbench.training_recipe import REGIMES, Schedule, Teacher

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def real():
    return load_dataset("digits")


@pytest.fixture
def teacher(real, tmp_path, monkeypatch):
    monkeypatch.setenv("DDBENCH_CACHE_DIR", str(tmp_path))
    taught = Teacher(
        network="convnet-d1-w8", schedule=Schedule(epochs=3, drop_at=2), seed=0, temperature=1.0, loss="kl"
    )
    return find_teacher(PROTOCOLS.get("quick").model_copy(update={"teacher": taught}), real, CPU)


@pytest.fixture
def made(real):
    rows = torch.cat([real.train.of_class(label)[:2] for label in range(10)])
    return DistilledDataset(real.train.pixels(rows), real.train.labels[rows], 10, 2, "pixels")


def test_a_hard_set_gets_its_classes_a_teachers_labels_or_the_teacher(real, teacher, made):
    hard, soft, online = (label_set(made, regime, teacher, real.info, CPU) for regime in ("hard", "soft", "online"))
    assert torch.equal(hard.distilled.labels, made.labels)
    assert (hard.num_bytes, hard.soft_labels) == (20 * 8, None)
    wanted = teacher.soft_labels.teacher(real.info.normalise(made.images)).softmax(1)
    assert torch.allclose(soft.distilled.labels, wanted, atol=1e-6)
    assert (soft.num_bytes, soft.soft_labels) == (20 * 10 * 4, None)
    assert online.soft_labels is teacher.soft_labels
    assert online.num_bytes == teacher.record.num_bytes
    for labelled in (hard, soft, online):
        assert torch.equal(labelled.distilled.images, made.images)


def test_a_sets_own_soft_labels_are_kept_and_their_largest_is_the_class(real, teacher, made):
    own = (torch.nn.functional.one_hot(made.labels, 10) * 3.0).softmax(1)
    soft_set = DistilledDataset(made.images, own, 10, 2, "pixels")
    assert label_set(soft_set, "own", None, real.info, CPU).distilled.labels is soft_set.labels
    taught = label_set(soft_set, "soft", teacher, real.info, CPU).distilled
    assert torch.equal(taught.labels, label_set(made, "soft", teacher, real.info, CPU).distilled.labels)
    assert torch.equal(label_set(soft_set, "hard", None, real.info, CPU).distilled.labels, made.labels)


def test_only_soft_sets_have_labels_of_their_own_and_a_teacher_reads_no_whitened_images(made, real):
    soft = replace(made, labels=torch.nn.functional.one_hot(made.labels, 10).float())
    whitening = fit_zca(real.train)
    white = replace(soft, images=whiten(made.images, whitening), space="zca", whitening=whitening)
    allowed = {name: [r for r in REGIMES if can_label(of, r)] for name, of in (("hard", made), ("soft", soft))}
    assert allowed == {"hard": ["hard", "soft", "online"], "soft": ["hard", "own", "soft", "online"]}
    assert [regime for regime in REGIMES if can_label(white, regime)] == ["hard", "own"]


def test_an_image_that_holds_several_gets_the_mean_of_their_labels(real, teacher, made):
    several = DistilledDataset(made.images, made.labels, 10, 2, "pixels", decode_factor=2)
    rows = teacher_labels(several, teacher.soft_labels, real.info, CPU)
    from ddbench.students.data import TrainingSet

    parts = TrainingSet.of(several, real.info, CPU).images
    wanted = teacher.soft_labels.teacher(parts).softmax(1).view(4, 20, 10).mean(0)
    assert torch.allclose(rows, wanted, atol=1e-6)
    assert torch.allclose(rows.sum(1), torch.ones(20), atol=1e-5)
