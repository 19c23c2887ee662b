"""Tests of importing what MTT's program leaves."""

import pytest
import torch

from ddbench.augment.zca import fit_zca, unwhiten, whiten
from ddbench.errors import BadInputError


@pytest.fixture
def folder(saved, normalised, labels):
    """As `distill.py` saves it: the best images and two iterations, the rate a tensor on a GPU."""
    for at, scale in (("best", 1.0), ("500", 0.5), ("1000", 0.25)):
        saved(normalised * scale, f"run/images_{at}.pt")
        source = saved(labels, f"run/labels_{at}.pt")
    saved(torch.tensor(0.0123, requires_grad=True), "run/lr_best.pt", on_gpu=True)
    return source.parent


def test_the_best_images_come_with_their_rate_and_a_note_on_how_they_were_chosen(imported, folder, normalised, labels):
    found = imported(folder, "mtt", space="normalised")
    (made,) = found.sets
    assert torch.equal(made.images, normalised)
    assert torch.equal(made.labels, labels)
    assert made.student_lr == pytest.approx(0.0123)
    assert made.provenance["method"] == "mtt-imported"
    assert any("chose by test accuracy" in note for note in found.notes)


def test_an_iteration_is_read_where_it_is_named_or_no_best_is_there(imported, folder, normalised):
    named = imported(folder / "images_500.pt", "mtt", space="normalised")
    assert torch.equal(named.sets[0].images, normalised * 0.5)
    assert named.sets[0].student_lr is None
    assert any("no learned rate" in note for note in named.notes)
    (folder / "images_best.pt").unlink()
    assert torch.equal(imported(folder, "mtt", space="normalised").sets[0].images, normalised * 0.25)


def test_the_space_is_asked_for_and_never_guessed(imported, folder):
    with pytest.raises(BadInputError, match=r"does not say in which space .* give --space normalised, pixels or zca"):
        imported(folder, "mtt")


def test_whitened_images_are_known_by_the_file_beside_them(imported, saved, digits, pixels, labels):
    whitening = fit_zca(digits.train)
    white = whiten(pixels, whitening)
    saved(white, "zca/images_best.pt")
    folder = saved(labels, "zca/labels_best.pt").parent
    told = imported(folder, "mtt", space="zca").sets[0]
    saved(unwhiten(white, whitening), "zca/images_zca_best.pt")
    known = imported(folder, "mtt").sets[0]
    for made in (told, known):
        assert torch.equal(made.images, white)
        assert made.space == "zca"
        assert made.whitening.hash == whitening.hash
    with pytest.raises(BadInputError, match="--space says normalised, and images of this source are zca"):
        imported(folder, "mtt", space="normalised")
    with pytest.raises(BadInputError, match=r"their whitening undone, .* name images_best\.pt"):
        imported(folder / "images_zca_best.pt", "mtt", space="pixels")


def test_missing_parts_are_named(imported, folder, tmp_path):
    (folder / "labels_best.pt").unlink()
    with pytest.raises(BadInputError, match=r"has no labels beside it, labels_best\.pt"):
        imported(folder, "mtt", space="normalised")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInputError, match=r"has no images_best\.pt or images_N\.pt"):
        imported(tmp_path / "empty", "mtt", space="normalised")
