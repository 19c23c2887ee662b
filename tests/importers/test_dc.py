"""Tests of importing the files of DC, DSA and DM, written as their programs write them."""

import numpy as np
import pytest
import torch

from ddbench.errors import BadInputError
from ddbench.runs.cell import evaluate
from ddbench.testing import SMOKE_PROTOCOL

NAME = "res_DM_CIFAR10_ConvNet_2ipc.pt"


def content(images, labels, count=2):
    """What `main_DM.py` saves: its accuracies are numpy's numbers."""
    pairs = [[images.clone(), labels.clone()] for _ in range(count)]
    return {"data": pairs, "accs_all_exps": {"ConvNet": [np.float64(0.9), 0.8], "MLP": [np.float32(0.7)]}}


def test_every_set_of_a_file_comes_bit_equal_with_its_seed(imported, saved, normalised, labels):
    found = imported(saved(content(normalised, labels, 3), NAME), "dc").sets
    assert [made.provenance["distill_seed"] for made in found] == [0, 1, 2]
    for made in found:
        assert torch.equal(made.images, normalised)
        assert torch.equal(made.labels, labels)
        assert (made.space, made.ipc, made.provenance["method"]) == ("normalised", 2, "dm-imported")


@pytest.mark.parametrize(
    "change",
    [
        lambda images: images.requires_grad_(),
        lambda images: torch.nn.Parameter(images),
        lambda images: images.to(memory_format=torch.channels_last),
        lambda images: images[:, :, :, :],
    ],
    ids=["with gradient", "parameter", "channels last", "view"],
)
@pytest.mark.parametrize("on_gpu", [False, True], ids=["cpu", "gpu"])
def test_however_it_was_saved_it_has_the_accuracy_of_the_tensors(
    imported, saved, digits, normalised, labels, by_hand, change, on_gpu
):
    source = saved({"data": [[change(normalised.clone()), labels]], "accs_all_exps": {}}, NAME, on_gpu=on_gpu)
    (made,) = imported(source, "dc").sets
    assert torch.equal(made.images, normalised)
    results = [
        evaluate(one, digits, SMOKE_PROTOCOL, students=2) for one in (made, by_hand.with_provenance(distill_seed=0))
    ]
    assert results[0].metric("test_accuracy") == results[1].metric("test_accuracy")


def test_half_precision_is_kept_and_trained_on_as_float(imported, saved, digits, normalised, labels, by_hand):
    (made,) = imported(saved({"data": [(normalised.half(), labels.int())]}, NAME), "dc").sets
    assert made.images.dtype == torch.float16
    assert made.num_bytes == 20 * 64 * 2 + 20 * 8
    as_float = by_hand.with_provenance(distill_seed=0)
    as_float = type(as_float)(normalised.half().float(), labels, 10, 2, provenance=as_float.provenance)
    results = [evaluate(one, digits, SMOKE_PROTOCOL, students=1) for one in (made, as_float)]
    assert results[0].metric("test_accuracy") == results[1].metric("test_accuracy")


def test_method_is_named_by_the_user_but_never_like_one_of_ours(imported, saved, normalised, labels):
    source = saved(content(normalised, labels, 1), NAME)
    assert imported(source, "dc", method="dm-authors", seed=7).sets[0].provenance["method"] == "dm-authors"
    assert imported(source, "dc", seed=7).sets[0].provenance["distill_seed"] == 7
    with pytest.raises(BadInputError, match=r"dm is a method of ddbench, .* name it dm-imported"):
        imported(source, "dc", method="dm")


def test_what_is_no_such_file_is_refused(imported, saved, normalised, labels, tmp_path):
    wrong = {
        "has no list 'data'": saved({"images": normalised}, "a.pt"),
        "must be a pair of images and labels": saved({"data": [[normalised, labels, 1]]}, "b.pt"),
        "images of set 0 .* must be a dense tensor, got list": saved({"data": [[[1], labels]]}, "c.pt"),
        "labels are of 12 classes": saved({"data": [[normalised, labels + 2]]}, "d.pt"),
        "20 images and 19 labels": saved({"data": [[normalised, labels[1:]]]}, "e.pt"),
        "hold NaN or infinite": saved({"data": [[normalised * float("nan"), labels]]}, "f.pt"),
        "channels last": saved({"data": [[normalised.permute(0, 2, 3, 1), labels]]}, "g.pt"),
        "damaged or not a PyTorch file": tmp_path / "h.pt",
        r"holds Python code \(.*print\) .* save plain tensors": saved(Code(), "i.pt"),
    }
    (tmp_path / "h.pt").write_bytes(b"PK\x03\x04 and nothing more")
    for message, source in wrong.items():
        with pytest.raises(BadInputError, match=message):
            imported(source, "dc")


class Code:
    """Prints when it is unpickled."""

    def __reduce__(self):
        return print, ("run!",)
