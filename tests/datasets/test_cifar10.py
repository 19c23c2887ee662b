from __future__ import annotations

import hashlib

import pytest

from ddbench.dataset import load_dataset
from ddbench.errors import BadInputError, DataMismatchError, DataMissingError

# Of the decoded array, rows in file order, (N, H, W, C), as the README of the small offline copies gives them.
TRAIN_SHA256 = "c7c6557433f8d7c52900e0fc5549bd21bf6f33fefee1f478f5adbc5499bb11c7"
TEST_SHA256 = "ed70c5729393db59d427ac19e77a459a6eadd27166273e62aa651280afdde367"


@pytest.mark.data
def test_the_offline_copy_decodes_to_the_recorded_pixels(data_dir):
    if not list(data_dir.glob("cifar10/*.parquet")):
        pytest.skip("needs the parquet copy of CIFAR-10")
    real = load_dataset("cifar10", data_dir)
    for split, digest in ((real.train, TRAIN_SHA256), (real.test, TEST_SHA256)):
        pixels = split.images.permute(0, 2, 3, 1).contiguous().numpy()
        assert hashlib.sha256(pixels.tobytes()).hexdigest() == digest
    assert real.train.class_counts().tolist() == [5000] * 10
    assert real.test.class_counts().tolist() == [1000] * 10
    assert real.info.fingerprint == "c1-66ac4cda24717415"
    assert real.info.layout == "de34c690d2802a7e"  # what results carry that were recorded before content counted


@pytest.mark.data
def test_normalised_pixels_have_the_mean_of_the_constants(data_dir):
    real = load_dataset("cifar10", data_dir)
    mean = real.train.images.float().div(255).mean((0, 2, 3))
    assert mean.tolist() == pytest.approx(real.info.mean, abs=1e-4)


def test_too_few_images_are_not_taken_for_cifar10(tmp_path, encode, write_parquet, random_pixels):
    for split in ("train", "test"):
        write_parquet(tmp_path / "cifar10" / f"{split}-0.parquet", [encode(random_pixels(32, 32, 3))], [0])
    with pytest.raises(
        DataMismatchError,
        match=r"^dataset cifar10 [^\n]*train images of class 0 \(airplane\) should be 5000, found 1; ",
    ):
        load_dataset("cifar10", tmp_path)


def test_missing_files_name_the_folder_and_the_command(tmp_path):
    with pytest.raises(DataMissingError, match="ddbench doctor --download cifar10") as error:
        load_dataset("cifar10", tmp_path)
    assert str(tmp_path) in str(error.value)


def test_an_option_it_does_not_take_is_an_error(tmp_path):
    with pytest.raises(BadInputError, match="dataset cifar10 has no option 'size'; it takes none"):
        load_dataset("cifar10,size=64", tmp_path)
