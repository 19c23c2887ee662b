"""Tests of importing plain files of tensors."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from ddbench.errors import BadInputError


def write_npz(path, images, labels):
    np.savez_compressed(path, image_syn=images.numpy(), label_syn=labels.numpy(), syn_lr=np.float64(0.03))


@pytest.fixture
def sources(tmp_path, saved, normalised, labels):
    """The same set in every file that is read."""
    save_file({"images": normalised, "labels": labels, "lr": torch.tensor(0.03)}, tmp_path / "a.safetensors")
    write_npz(tmp_path / "a.npz", normalised, labels)
    saved({"x": normalised.numpy(), "y": labels.numpy(), "lr": 0.03}, "named.pt")
    saved([normalised, labels, torch.tensor([0.03])], "listed.pt")
    return [tmp_path / name for name in ("a.safetensors", "a.npz", "named.pt", "listed.pt")]


def test_every_kind_of_file_gives_the_same_set(imported, sources, normalised, labels):
    for source in sources:
        (made,) = imported(source, "tensors", space="normalised").sets
        assert torch.equal(made.images, normalised), source
        assert torch.equal(made.labels, labels)
        assert made.student_lr == pytest.approx(0.03)


def test_bytes_are_pixels_and_floats_are_asked_about(imported, saved, pixels, labels):
    assert imported(saved([pixels, labels], "u.pt"), "tensors").sets[0].space == "pixels"
    floats = saved([pixels / 255, labels], "f.pt")
    with pytest.raises(BadInputError, match=r"values, 0\.\.1, are those of pixels in 0\.\.1, or normalised ones"):
        imported(floats, "tensors")
    assert imported(floats, "tensors", space="pixels").sets[0].images.dtype == torch.float32


def test_labels_must_be_probabilities_or_said_to_be_logits(imported, saved, normalised, labels):
    rows = torch.nn.functional.one_hot(labels, 10).float()
    probable = saved([normalised, rows * 0.9 + 0.01], "p.pt")
    assert imported(probable, "tensors", space="normalised").sets[0].label_mode == "soft"
    logits = saved([normalised, rows * 9], "l.pt")
    with pytest.raises(BadInputError, match=r"rows sum to 9\.\.9, lowest value 0: if they are logits, give --logits"):
        imported(logits, "tensors", space="normalised")
    made = imported(logits, "tensors", space="normalised", logits=True).sets[0]
    assert torch.equal(made.labels, (rows * 9).softmax(1))


def test_uneven_sets_count_by_their_budget(imported, saved, digits):
    counts = [14, 6] * 5
    rows = torch.cat([digits.train.of_class(label)[:count] for label, count in enumerate(counts)])
    found = imported(saved([digits.train.pixels(rows), digits.train.labels[rows]], "u.pt"), "tensors")
    (made,) = found.sets
    assert (made.ipc, made.uneven, made.class_sizes) == (10, True, (6, 14))
    assert any("uneven: 6 to 14 images a class, 100 in all; it counts as ipc 10" in note for note in found.notes)


def test_other_constants_are_converted(imported, saved, digits, pixels, labels):
    source = saved([(pixels / 255 - 0.5) / 0.5, labels], "half.pt")
    made = imported(source, "tensors", space="normalised", normalised_by="half").sets[0]
    assert torch.allclose(made.images, digits.info.normalise(pixels), atol=1e-6)
    by_values = imported(source, "tensors", space="normalised", normalised_by="0.5/0.5").sets[0]
    assert torch.equal(by_values.images, made.images)
    own = f"{digits.info.mean[0]}/{digits.info.std[0]}"
    exact = saved([digits.info.normalise(pixels), labels], "own.pt")
    same = imported(exact, "tensors", space="normalised", normalised_by=own).sets[0]
    assert torch.equal(same.images, digits.info.normalise(pixels))
    for wrong in ("mine", "0.5", "0.5/0", "0.5,0.5/0.1,0.1"):
        with pytest.raises(BadInputError):
            imported(source, "tensors", space="normalised", normalised_by=wrong)


def test_what_is_no_set_is_refused(imported, saved, tmp_path, normalised, labels):
    np.savez(tmp_path / "objects.npz", images=np.array([{"a": 1}], dtype=object), labels=labels.numpy())
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04nothing")
    wrong = {
        "has no labels": saved({"images": normalised}, "a.pt"),
        "is a single tensor": saved(normalised, "b.pt"),
        "holds str": saved("set", "c.pt"),
        "holds no plain arrays": tmp_path / "objects.npz",
        "damaged or holds no plain": tmp_path / "cut.npz",
        "images must be uint8 or float, got torch.int64": saved([normalised.long(), labels], "d.pt"),
        "labels must be whole numbers": saved([normalised, labels + 0.5], "e.pt"),
        r"images must be \(M, C, H, W\)": saved([normalised.flatten(1), labels], "f.pt"),
        "lr in .* must be one number, got Tensor": saved([normalised, labels, torch.zeros(2)], "g.pt"),
    }
    for message, source in wrong.items():
        with pytest.raises(BadInputError, match=message):
            imported(source, "tensors", space="normalised")
