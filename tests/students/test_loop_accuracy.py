"""Tests of measuring accuracy: against a loop over single images, whatever the chunks."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ddbench.augment.zca import fit_zca, whiten
from ddbench.images import LabeledImages
from ddbench.students import loop
from ddbench.students.loop import (
    TrainingSet,
    forward_in_chunks,
    measure_accuracy,
    train_student,
)
from tests._toy import INFO
from tests.students.test_loop import PLAN, seeded, toy_network, toy_pixels, toy_split


@pytest.mark.parametrize("spec", ["convnet-d2-w4", "convnet-d1-w4-bn"])
def test_accuracy_equals_a_loop_over_single_images(spec):
    split, network = toy_split(), toy_network(spec)
    # Running statistics of a batch norm other than those it begins with.
    train_student(network, TrainingSet(*toy_pixels(12), INFO), replace(PLAN, lr=0.001), seeded(0))
    found = measure_accuracy(network, split, torch.device("cpu"))
    state = {name: value.clone() for name, value in network.state_dict().items()}
    right = 0
    for index in range(len(split)):
        pixels = split.images[index : index + 1].double() / 255
        mean, std = (torch.tensor(values, dtype=torch.float64).view(1, 3, 1, 1) for values in (INFO.mean, INFO.std))
        logits = network.double().eval()((pixels - mean) / std)
        right += int(logits[0].argmax()) == int(split.labels[index])
    assert found == right / len(split)
    assert 0 < found < 1
    assert all(torch.equal(network.float().state_dict()[name], value) for name, value in state.items())


def test_accuracy_on_whitened_images_equals_a_loop_over_single_images():
    split, network = toy_split(), toy_network()
    train = LabeledImages(*toy_pixels(50), INFO)
    whitening = fit_zca(train)
    whitened = whiten(train.images[:12], whitening)
    train_student(network, TrainingSet(whitened, train.labels[:12], INFO), replace(PLAN, lr=0.01), seeded(0))
    found = measure_accuracy(network, split, torch.device("cpu"), whitening)
    logits = forward_in_chunks(network, split, torch.device("cpu"), whitening)
    right = 0
    for index in range(len(split)):
        pixels = split.images[index].double().flatten() / 255
        flat = [(pixels - whitening.mean) @ column for column in whitening.matrix.double().T]
        expected = network.double().eval()(torch.stack(flat).view(1, 3, 8, 8))[0]
        torch.testing.assert_close(logits[index].double(), expected, rtol=1e-3, atol=1e-4)
        right += int(expected.argmax()) == int(split.labels[index])
    assert found == right / len(split)
    assert not torch.allclose(forward_in_chunks(network.float(), split, torch.device("cpu")), logits, atol=1e-2)


@pytest.mark.parametrize("embed", [False, True])
@pytest.mark.parametrize("whitened", [False, True])
@pytest.mark.parametrize("spec", ["convnet-d2-w4", "convnet-d1-w4-bn"])
def test_chunks_do_not_change_what_a_network_says(spec, whitened, embed, monkeypatch):
    split, network = toy_split(), toy_network(spec)
    whitening = fit_zca(split) if whitened else None
    function = network.eval().embed if embed else network.eval()
    expected = function(whiten(split.images, whitening) if whitening else split.normalised()).detach()
    for size in (1, 7, 70, 1000):
        monkeypatch.setattr(loop, "chunk_size", lambda device, precision, size=size: size)
        found = forward_in_chunks(network.train(), split, torch.device("cpu"), whitening, embed=embed)
        assert not found.requires_grad
        torch.testing.assert_close(found, expected)


def test_the_chunk_size_of_each_device_is_a_positive_number():
    assert all(loop.chunk_size(torch.device(name)) > 0 for name in ("cpu", "cuda"))
