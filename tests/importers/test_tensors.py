"""Tests of importing plain files of tensors."""

import codecs

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from ddbench.distilled.dataset import DistilledDataset
from ddbench.errors import BadInputError
from ddbench.images import DatasetInfo, LabeledImages, RealDataset
from ddbench.runs.exporting import export_set
from ddbench.runs.importing import import_set


def write_npz(path, images, labels):
    np.savez_compressed(path, image_syn=images.numpy(), label_syn=labels.numpy(), syn_lr=np.float64(0.03))


@pytest.fixture
def sources(tmp_path, saved, normalised, labels):
    """The same set in every file that is read."""
    save_file({"images": normalised, "labels": labels, "lr": torch.tensor(0.03)}, tmp_path / "a.safetensors")
    write_npz(tmp_path / "a.npz", normalised, labels)
    saved({"x": normalised, "y": labels, "lr": np.float64(0.03)}, "named.pt")
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


def test_what_is_told_is_used_or_refused(imported, saved, normalised, pixels, labels):
    source = saved([pixels, labels], "p.pt")
    assert imported(source, "tensors", factor=2).sets[0].decode_factor == 2
    with pytest.raises(BadInputError, match="--normalised-by is for normalised images, these are pixels in bytes"):
        imported(source, "tensors", normalised_by="half")
    dc = saved({"data": [[normalised, labels]]}, "res_DM_D_C_2ipc.pt")
    assert imported(dc, "dc", factor=2).sets[0].decode_factor == 2
    for name, value in (("class_map", "map.yaml"), ("download", True)):
        with pytest.raises(BadInputError, match=r"does not use --|does not exist"):
            imported(dc, "dc", **{name: value})


def test_normalised_images_are_no_pixels(imported, saved, normalised, labels):
    with pytest.raises(BadInputError, match=r"must lie in 0\.\.1, got -0\.8.*--pixel-margin"):
        imported(saved([normalised, labels], "n.pt"), "tensors", space="pixels")
    assert imported(saved([normalised, labels], "n.pt"), "tensors", space="pixels", pixel_margin=2).sets[0].ipc == 2


@pytest.mark.parametrize("rate", [torch.tensor(0.03, dtype=torch.bfloat16), np.float32(0.03), torch.tensor([[0.03]])])
def test_rates_of_every_kind_are_read(imported, saved, pixels, labels, rate):
    made = imported(saved({"images": pixels, "labels": labels, "lr": rate}, "r.pt"), "tensors").sets[0]
    assert made.student_lr == pytest.approx(0.03, rel=1e-2)


@pytest.mark.parametrize(
    "labels",
    [
        torch.tensor(3),
        torch.zeros(20, 2, 2),
        torch.zeros(20, dtype=torch.complex64),
        torch.zeros(0),
        torch.ones(20) > 0,
    ],
)
def test_odd_labels_are_one_line(imported, saved, pixels, labels):
    with pytest.raises(BadInputError, match=r"labels must be \(M,\) whole numbers or \(M, K\) numbers"):
        imported(saved([pixels, labels], "o.pt"), "tensors")


def test_another_data_sets_card_is_converted_or_refused(saved, tmp_path, normalised, labels):
    def make(name, classes, mean, std):
        info = DatasetInfo(name, classes, 1, 8, mean, std, name)
        images = torch.randint(0, 256, (4, 1, 8, 8), dtype=torch.uint8)
        split = LabeledImages(images, torch.tensor([0, 1, 2, 3]), info)
        return RealDataset(split, split, info)

    ours = make("ours", ("a", "b", "c", "d"), (0.5,), (0.25,))
    made = DistilledDataset(
        ours.train.normalised(), torch.arange(4), 4, 1, provenance={"method": "x", "dataset": "ours"}
    )
    for form in ("tensors", "huggingface"):
        export_set(made, form, tmp_path / form, ours)
        theirs = make("theirs", ("b", "a", "d", "c"), (0.1,), (0.2,))
        found = import_set(tmp_path / form, form, theirs).sets[0]
        assert found.labels.tolist() == [1, 0, 3, 2]
        assert torch.allclose(theirs.info.to_pixels(found.images), ours.info.to_pixels(made.images), atol=1e-5)
        with pytest.raises(BadInputError, match="no class of others"):
            import_set(tmp_path / form, form, make("others", ("w", "x", "y", "z"), (0.1,), (0.2,)))


class Forged:
    """Numpy's own function called with what a file says, as a hostile one may."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def test_forged_objects_and_claims_are_refused(imported, saved, pixels, labels):
    """An object array over bytes of a file would be pointers of its author's choice."""
    pointers = Forged(np.ndarray, (1,), Forged(np.dtype, "O"), Forged(codecs.encode, "A" * 8, "latin1"))
    with pytest.raises(BadInputError, match="holds Python code"):
        imported(saved({"images": pixels, "labels": labels, "x": pointers}, "forged.pt"), "tensors")
    with pytest.raises(BadInputError, match=r"claims \(10000000, 1, 8, 8\) values and holds fewer"):
        imported(saved([torch.zeros(1, 1, 1, 1).expand(10**7, 1, 8, 8), labels], "claims.pt"), "tensors")
    objects = Forged(np._core.multiarray.scalar, Forged(np.dtype, "O"), Forged(codecs.encode, "A" * 8, "latin1"))
    with pytest.raises(BadInputError):
        imported(saved({"images": pixels, "labels": labels, "lr": objects}, "object.pt"), "tensors")


def test_probabilities_are_no_logits(imported, saved, pixels, labels):
    rows = torch.nn.functional.one_hot(labels, 10).float()
    with pytest.raises(BadInputError, match="these labels are already probabilities"):
        imported(saved([pixels, rows], "p.pt"), "tensors", logits=True)
