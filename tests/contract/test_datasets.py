"""The contract, run on every registered data set whose files are here, and on a folder of images made for it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ddbench.dataset import DATA_DIR_VARIABLE, load_dataset
from ddbench.errors import DataMissingError
from ddbench.host.files import CACHE_DIR_VARIABLE
from ddbench.registry import DATASETS
from ddbench.testing import DatasetContract

FROM_FILES = sorted({*DATASETS.names()} - {"digits", "image_folder"})


class TestDigits(DatasetContract):
    """Digits come with scikit-learn."""

    name = "digits"


class TestImageFolder(DatasetContract):
    """Three classes of noise, in a folder of this test's own."""

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def folder(cls, tmp_path_factory: pytest.TempPathFactory) -> None:
        """Write the images; what is decoded of them stays beside them."""
        root, draws = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
        for split, count in (("train", 5), ("test", 3)):
            for label in ("cat", "dog", "eel"):
                (root / split / label).mkdir(parents=True)
                for index in range(count):
                    pixels = draws.integers(0, 256, (12, 16, 3), dtype=np.uint8)
                    Image.fromarray(pixels).save(root / split / label / f"{index}.png")
        cls.name = f"image_folder:{root},size=8"
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(CACHE_DIR_VARIABLE, str(root.with_name("cache")))
            yield


def contract_of(name: str) -> type[DatasetContract]:
    """Return a test class for one data set; it is skipped where the files are not there."""
    return type(f"Test_{name}", (FromFiles,), {"name": name, "__module__": __name__})


@pytest.mark.data
class FromFiles(DatasetContract):
    """A data set read from files under the folder of data sets."""

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def files(cls) -> None:
        """Skip where they are not there."""
        try:
            load_dataset(cls.name, Path(os.environ[DATA_DIR_VARIABLE]))
        except DataMissingError as error:
            pytest.skip(str(error))


globals().update({f"Test_{name}": contract_of(name) for name in FROM_FILES})


def test_every_data_set_has_a_suite():
    assert {"cifar10", "fashion_mnist", "imagenette", "mnist", "svhn"} <= set(FROM_FILES)
    assert all(issubclass(globals()[f"Test_{name}"], DatasetContract) for name in FROM_FILES)
