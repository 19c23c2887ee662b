from __future__ import annotations

import pytest
import torch

from ddbench.dataset import load_dataset
from ddbench.datasets.imagenette import CLASSES
from ddbench.errors import DataMismatchError, DataMissingError

SUBSET = "imagenette,source=imagenette224-subset"


@pytest.mark.data
def test_the_subset_has_the_recorded_content_and_its_own_name(data_dir):
    real = load_dataset(SUBSET, data_dir)
    assert real.info.name == "imagenette224-subset"
    assert real.train.images.shape == (1500, 3, 224, 224)
    assert real.train.class_counts().tolist() == [150] * 10
    assert real.test.class_counts().tolist() == [50] * 10
    mean = real.train.images.float().div(255).mean((0, 2, 3))
    assert mean.tolist() == pytest.approx([0.4652, 0.4579, 0.4284], abs=1e-4)


@pytest.mark.data
def test_the_subset_is_scaled_to_the_size_asked_for(data_dir):
    real = load_dataset(f"{SUBSET},size=64", data_dir)
    assert real.info.name == "imagenette224-subset,size=64"
    assert real.test.images.shape == (500, 3, 64, 64)
    assert real.test.images.dtype == torch.uint8


@pytest.mark.data
def test_the_subset_is_never_used_unasked(data_dir):
    if (data_dir / "imagenet").is_dir() or (data_dir / "imagenette").is_dir():
        pytest.skip("the whole data set is there")
    with pytest.raises(DataMissingError, match=r"imagenette,source=imagenette224-subset$"):
        load_dataset("imagenette", data_dir)


def test_a_cut_down_subset_is_refused(tmp_path, encode, write_parquet, random_pixels):
    encoded = [encode(random_pixels(8, 8, 3)) for _ in CLASSES]
    names = [f"train/{wnid}/a.JPEG" for wnid, _ in CLASSES]
    for split in ("train", "val"):
        path = tmp_path / "imagenette224-subset" / f"{split}-0.parquet"
        write_parquet(path, encoded, list(range(10)), names=names)
    with pytest.raises(DataMismatchError, match=r"train images of class 0 \(tench\) should be 150, found 1"):
        load_dataset(f"{SUBSET},size=8", tmp_path)
