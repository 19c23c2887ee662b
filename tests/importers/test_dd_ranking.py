"""Tests of importing what DD-Ranking runs were given, and its configs."""

import pytest
import torch

from ddbench.errors import BadInputError
from ddbench.images import DatasetInfo, LabeledImages, RealDataset
from ddbench.peers.dd_ranking import CONSTANTS
from ddbench.runs.exporting import export_set
from ddbench.runs.importing import import_set

CONFIG = """
dataset: Digits
ipc: 10
model_name: ConvNet-3-BN
data_aug_func: mixup
soft_label_mode: S
use_zca: false
num_eval: 3
num_epochs: 300
syn_batch_size: 256
"""


def test_tensors_come_with_labels_in_order_or_their_logits(imported, saved, normalised, labels):
    folder = saved(normalised, "run/images.pt").parent
    with pytest.raises(BadInputError, match="give --space"):
        imported(folder, "dd-ranking")
    found = imported(folder, "dd-ranking", space="normalised")
    assert torch.equal(found.sets[0].labels, labels)
    assert torch.equal(found.sets[0].images, normalised)
    assert any("labels are by class in order" in note for note in found.notes)
    logits = torch.randn(20, 10)
    saved(logits, "run/labels.pt")
    saved(torch.tensor(0.04), "run/lr.pt")
    (made,) = imported(folder, "dd-ranking", space="normalised").sets
    assert torch.equal(made.labels, logits.softmax(1))
    assert made.student_lr == pytest.approx(0.04)


def test_a_config_says_the_same_run_here_and_what_differs(imported, saved, normalised, tmp_path):
    config = tmp_path / "IPC10.yaml"
    config.write_text(CONFIG)
    with pytest.raises(BadInputError, match=r"images\.pt is missing: .* the same run here: ddbench evaluate SET"):
        imported(config, "dd-ranking")
    saved(normalised, "images.pt")
    notes = imported(config, "dd-ranking").notes
    assert (
        "the same run here: ddbench evaluate SET --dataset digits --protocol dsa --network convnet-d3-bn --students 3 "
        "--evaluator accuracy --evaluator label_regimes"
    ) in notes
    assert "num_epochs is 300 there, 1000 under protocol dsa" in notes
    assert "augmentation mixup there, dsa under protocol dsa" in notes
    assert not any("syn_batch_size" in note for note in notes)


def test_what_is_no_run_is_refused(imported, saved, normalised, tmp_path):
    (tmp_path / "other.yaml").write_text("epochs: 3\n")
    with pytest.raises(BadInputError, match="is not a config of DD-Ranking"):
        imported(tmp_path / "other.yaml", "dd-ranking")
    folder = saved(normalised[:19], "odd/images.pt").parent
    with pytest.raises(BadInputError, match="19 images are not as many of each of 10 classes"):
        imported(folder, "dd-ranking")


def test_a_config_of_another_data_set_is_refused(imported, saved, normalised, tmp_path):
    saved(normalised, "images.pt")
    (tmp_path / "IPC10.yaml").write_text(CONFIG.replace("Digits", "CIFAR10"))
    with pytest.raises(BadInputError, match="is of a run on cifar10, not on digits; import it with --dataset cifar10"):
        imported(tmp_path / "IPC10.yaml", "dd-ranking")
    (tmp_path / "IPC10.yaml").write_text(CONFIG.replace("Digits", "Ours"))
    assert "data set Ours has no name here" in imported(tmp_path / "IPC10.yaml", "dd-ranking").notes


def test_images_of_cifar100_are_those_of_cifar10s_constants(imported, saved, pixels, labels):
    """That program normalises both by the constants of CIFAR-10."""
    colour = pixels.expand(-1, 3, -1, -1).contiguous()
    info = DatasetInfo("cifar100", tuple(map(str, range(10))), 3, 8, (0.5, 0.4, 0.3), (0.3, 0.2, 0.1), "f")
    real = RealDataset(LabeledImages(colour, labels, info), LabeledImages(colour, labels, info), info)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in CONSTANTS["cifar100"])
    folder = saved((colour / 255 - mean) / std, "run/images.pt").parent
    (folder / "run.yaml").write_text("dataset: CIFAR100\nuse_zca: false\n")
    found = import_set(folder / "run.yaml", "dd-ranking", real)
    assert torch.allclose(found.sets[0].images, info.normalise(colour), atol=1e-5)
    assert any("values were converted" in note for note in found.notes)
    made = found.sets[0]
    export_set(made, "dd-ranking", folder / "out", real)
    back = import_set(folder / "out", "dd-ranking", real).sets[0]
    assert torch.allclose(back.images, made.images, atol=1e-5)
