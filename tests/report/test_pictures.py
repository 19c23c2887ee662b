"""Tests of the pictures in a page."""

from __future__ import annotations

import base64
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from ddbench.dataset import load_dataset
from ddbench.distilled.dataset import DistilledDataset
from ddbench.distilled.files import save_distilled
from ddbench.report import pictures
from ddbench.report.pictures import find_sets, make_gallery
from ddbench.runs.results_store import write_result
from ddbench.tables.table import make_table
from tests.report._results import varied


@pytest.fixture
def keep(tmp_path, generator):
    """A function that keeps a result and its set in a results folder and returns the result."""

    def make(result, images=None, space="pixels", classes=10):
        ipc = result.ipc
        if images is None:
            images = torch.randint(256, (classes * ipc, 1, 8, 8), dtype=torch.uint8, generator=generator)
        folder = tmp_path / result.key
        save_distilled(
            DistilledDataset(images, torch.arange(classes).repeat_interleave(ipc), classes, ipc, space),
            folder / "distilled",
        )
        write_result(result, folder)
        return result

    return make


def gallery(results, folder):
    return make_gallery(make_table(results).panels, [folder], None)


def opened(picture):
    kind, data = picture.uri.split(",")
    assert kind == "data:image/webp;base64"
    return np.asarray(Image.open(BytesIO(base64.b64decode(data))))


def test_small_images_are_shown_pixel_by_pixel_with_the_names_of_their_classes(tmp_path, keep, generator):
    images = torch.randint(256, (20, 1, 8, 8), dtype=torch.uint8, generator=generator)
    found = gallery([keep(varied("dm", 2, 0), images)], tmp_path)
    ((picture,),) = found.pictures.values()
    sheet = opened(picture)
    assert sheet.shape == (10 * 9 - 1, 2 * 9 - 1, 4)
    for index in range(20):
        top, left = 9 * (index // 2), 9 * (index % 2)
        tile = sheet[top : top + 8, left : left + 8]
        assert (tile[..., :3] == images[index, 0].numpy()[..., None]).all()
        assert (tile[..., 3] == 255).all()
    assert (sheet[8, :, 3] == 0).all()
    assert picture.class_names == tuple("0123456789")
    assert (picture.note, found.notes) == ("", ())


def test_normalised_sets_are_brought_back_to_pixels(tmp_path, keep, generator):
    images = torch.randint(256, (10, 1, 8, 8), dtype=torch.uint8, generator=generator)
    normalised = load_dataset("digits").info.normalise(images)
    ((picture,),) = gallery([keep(varied("dm", 1, 0), normalised, "normalised")], tmp_path).pictures.values()
    assert (opened(picture)[:8, :8, 0] == images[0, 0].numpy()).all()


def test_what_is_left_out_or_changed_is_said(tmp_path, keep, generator):
    images = 5 * torch.randn(12 * 12, 3, 80, 80, generator=generator)
    result = varied("dm", 12, 0, dataset="elsewhere")
    ((picture,),) = gallery([keep(result, images, "normalised", classes=12)], tmp_path).pictures.values()
    for words in ("colours stretched", "first 10 of 12 classes", "first 10 of 12 images", "from 80 to 64 px"):
        assert words in picture.note
    assert picture.class_names == tuple(f"class {i}" for i in range(10))
    assert opened(picture).shape[:2] == (10 * 65 - 1, 10 * 65 - 1)


def test_pictures_stop_at_the_limits_and_panels_take_turns(tmp_path, keep, monkeypatch):
    monkeypatch.setattr(pictures, "SETS", 3)
    results = [keep(varied("dm", ipc, 0)) for ipc in (1, 2, 3)]
    results += [keep(varied("dm", ipc, 0, dataset="other")) for ipc in (1, 2)]
    found = gallery(results, tmp_path)
    assert {index: [p.entry.ipc for p in shown] for index, shown in found.pictures.items()} == {0: [1, 2], 1: [1]}
    assert found.notes[0].startswith("2 more sets are not shown")
    monkeypatch.setattr(pictures, "TOTAL_BYTES", 1)
    assert sum(map(len, gallery(results, tmp_path).pictures.values())) == 1


def test_the_first_seed_with_a_set_is_shown_and_a_damaged_set_is_a_note(tmp_path, keep):
    results = [varied("dm", 1, 0), keep(varied("dm", 1, 1)), keep(varied("herding", 1, 0))]
    damaged = tmp_path / results[2].key / "distilled" / "distilled.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    found = gallery(results, tmp_path)
    ((picture,),) = found.pictures.values()
    assert (picture.entry.method, picture.seed) == ("dm", 1)
    assert len(found.notes) == 1
    assert "herding" in found.notes[0]
    assert "checksum" in found.notes[0]


def test_sets_are_found_in_results_folders_and_single_entries(tmp_path, keep):
    result = keep(varied("dm", 1, 0))
    expected = {result.key: tmp_path / result.key / "distilled"}
    assert find_sets([tmp_path]) == find_sets([tmp_path / result.key]) == expected
    assert find_sets([tmp_path / "none.jsonl"]) == {}
