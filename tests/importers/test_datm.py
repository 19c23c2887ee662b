"""Tests of importing what DATM's program leaves: label logits become probabilities."""

import pytest
import torch

from ddbench.errors import BadInputError


def logits_of(labels):
    return torch.nn.functional.one_hot(labels, 10) * 5.0 + torch.randn(len(labels), 10)


def test_logits_become_probabilities_by_softmax(imported, saved, normalised, labels):
    logits = logits_of(labels)
    saved(normalised, "run/images_best.pt")
    saved(torch.tensor(0.02), "run/syn_lr_best.pt")
    folder = saved(logits.requires_grad_(), "run/labels_best.pt").parent
    (made,) = imported(folder, "datm", space="normalised").sets
    assert torch.equal(made.labels, logits.detach().softmax(1))
    assert made.label_mode == "soft"
    assert made.student_lr == pytest.approx(0.02)
    with pytest.raises(BadInputError, match="if they are logits, give --logits"):
        imported(folder, "mtt", space="normalised")
    assert torch.equal(imported(folder, "mtt", space="normalised", logits=True).sets[0].labels, made.labels)


def test_hard_labels_are_mtts(imported, saved, normalised, labels):
    saved(normalised, "run/images_best.pt")
    folder = saved(labels, "run/labels_best.pt").parent
    with pytest.raises(BadInputError, match=r"DATM's labels must be logits .* import hard labels --as mtt"):
        imported(folder, "datm", space="normalised")
