"""What every importer must keep to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

import pytest
import torch

from ddbench.dataset import load_dataset
from ddbench.distilled.dataset import DistilledDataset
from ddbench.errors import DDBenchError
from ddbench.images import RealDataset
from ddbench.importer import Importer, ImportOptions
from ddbench.registry import IMPORTERS
from ddbench.runs.foreign_values import SourceFacts
from ddbench.runs.importing import import_set

CANARY = "an_importer_ran_this"
RUNS_CODE = f"cbuiltins\nopen\n(S'{CANARY}'\nS'w'\ntR.".encode()  # a pickle that makes the file when it is loaded


@pytest.mark.usefixtures("own_cache")
class ImporterContract:
    """What `ddbench import` relies on in an importer. Set `name`, and `sample` to have its reading tried too."""

    name: ClassVar[str]
    told: ClassVar[SourceFacts] = SourceFacts()

    def sample(self, distilled: DistilledDataset, folder: Path) -> Path:
        """Write a set in this format into an empty folder and return what is to be imported.

        `distilled` has two digits of each class, uint8 pixels, hard labels.
        """
        pytest.skip("no sample: override `sample` to try what it reads")

    @pytest.fixture
    def real(self) -> RealDataset:
        """Digits."""
        return load_dataset("digits")

    def test_it_is_an_importer_that_says_what_it_reads(self) -> None:
        """Registered under its name, a class of Importer with a docstring."""
        found = IMPORTERS.get(self.name)
        assert isinstance(found, type), f"{self.name} must be a class, is {found!r}"
        assert issubclass(found, Importer), f"{self.name} must be an Importer, is {found!r}"
        assert IMPORTERS.summary(self.name), "its file has no docstring for `ddbench list importers`"

    @pytest.mark.parametrize("content", ["nothing", "text", "zeros", "a folder", "an odd pickle"])
    def test_what_is_not_of_its_format_is_refused_in_one_line(
        self, real: RealDataset, content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An error of ddbench in one line, for a file and for a folder with such files; nothing in them is run."""
        monkeypatch.chdir(tmp_path)
        for source in _odd_sources(tmp_path, content):
            with pytest.raises(DDBenchError) as caught:
                IMPORTERS.get(self.name)().read(source, ImportOptions(real.info, factor=1))
            assert "\n" not in str(caught.value), f"the message has several lines: {str(caught.value)!r}"
        assert not (tmp_path / CANARY).exists(), "it ran code that was pickled in a file"

    def test_what_it_recognises_it_can_tell_without_reading(self, tmp_path: Path) -> None:
        """`recognises` answers for anything, without an error."""
        importer = IMPORTERS.get(self.name)
        (tmp_path / "odd.pt").write_bytes(b"odd")
        for source in (tmp_path, tmp_path / "odd.pt", tmp_path / "none"):
            assert importer.recognises(source) in (True, False)

    def test_a_set_comes_back_as_it_was(self, real: RealDataset, tmp_path: Path) -> None:
        """Images, labels and budget; the same twice."""
        rows = torch.cat([real.train.of_class(label)[:2] for label in range(10)])
        made = DistilledDataset(real.train.pixels(rows), real.train.labels[rows], 10, 2, "pixels")
        source = self.sample(made, tmp_path)
        first, again = (import_set(source, self.name, real, self.told).sets for _ in range(2))
        assert len(first) == 1, f"the sample is one set, it gave {len(first)}"
        found = first[0]
        as_pixels = found.images if found.space == "pixels" else real.info.to_pixels(found.images)
        if as_pixels.dtype != torch.uint8:
            as_pixels = as_pixels.mul(255).round().to(torch.uint8)
        assert torch.equal(as_pixels, made.images), "the images are others"
        assert torch.equal(found.classes, made.labels), "the labels are others"
        assert (found.ipc, found.uneven) == (2, False), f"the budget is {found.ipc}"
        assert torch.equal(again[0].images, found.images), "a second time it gave another set"


def _odd_sources(folder: Path, content: str) -> list[Path]:
    """Return a file and a folder of files that hold nothing of any format, named as those of several are."""
    odd = {
        "nothing": b"",
        "text": b"no set at all\n",
        "zeros": bytes(4096),
        "an odd pickle": RUNS_CODE,
    }
    if content == "a folder":
        (folder / "empty").mkdir()
        return [folder / "empty"]
    inside = folder / "inside"
    inside.mkdir()
    names = ("data.pt", "images.pt", "images_best.pt", "labels_best.pt", "set.safetensors", "train.parquet", "a.yaml")
    for name in names:
        (inside / name).write_bytes(odd[content])
    (inside / "class").mkdir()
    (inside / "class" / "1.png").write_bytes(odd[content])
    if os.name == "posix":
        (inside / "link.pt").symlink_to(inside / "link.pt")
    return [inside, *(inside / name for name in names)]
