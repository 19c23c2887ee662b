"""What every exporter must keep to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

import pytest
import torch

from ddbench.dataset import load_dataset
from ddbench.distilled.dataset import DistilledDataset
from ddbench.errors import UnsupportedError
from ddbench.exporter import CARD, Exporter, read_card
from ddbench.images import RealDataset
from ddbench.registry import EXPORTERS
from ddbench.runs.exporting import export_set


@pytest.mark.usefixtures("own_cache")
class ExporterContract:
    """What `ddbench export-set` relies on in an exporter. Set `name`."""

    name: ClassVar[str]

    @pytest.fixture
    def real(self) -> RealDataset:
        """Digits."""
        return load_dataset("digits")

    def test_it_is_an_exporter_that_says_what_it_writes(self) -> None:
        """Registered under its name, a class of Exporter with a docstring."""
        found = EXPORTERS.get(self.name)
        assert isinstance(found, type), f"{self.name} must be a class, is {found!r}"
        assert issubclass(found, Exporter), f"{self.name} must be an Exporter, is {found!r}"
        assert EXPORTERS.summary(self.name), "its file has no docstring for `ddbench list exporters`"

    @pytest.mark.parametrize("kind", ["bytes", "floats", "soft labels", "a rate", "half", "uneven"])
    def test_every_kind_of_set_is_written_or_refused_in_words(
        self, real: RealDataset, kind: str, tmp_path: Path
    ) -> None:
        """With a card, JSON-able losses and an unchanged set; a set that the form cannot hold leaves nothing behind."""
        made = _make(real, kind)
        images, labels = made.images.clone(), made.labels.clone()
        try:
            lost = export_set(made, self.name, tmp_path / "out", real)
        except UnsupportedError:
            assert not (tmp_path / "out").exists(), "a refused export left files behind"
            return
        json.dumps(dict(lost))
        card = read_card(tmp_path / "out")
        assert card is not None, f"{CARD} is missing"
        assert card.lost == dict(lost)
        assert len(list((tmp_path / "out").iterdir())) > 1, "nothing was written beside the card"
        assert torch.equal(made.images, images), "an exporter must not change the set"
        assert torch.equal(made.labels, labels), "an exporter must not change the set"

    def test_the_same_set_is_written_the_same_twice(self, real: RealDataset, tmp_path: Path) -> None:
        """Byte for byte."""
        made = _make(real, "floats")
        for name in ("a", "b"):
            export_set(made, self.name, tmp_path / name, real)
        files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
        different = [str(p) for p in files if (tmp_path / "a" / p).read_bytes() != (tmp_path / "b" / p).read_bytes()]
        assert not different, f"written twice these differ: {', '.join(different)}"


def _make(real: RealDataset, kind: str) -> DistilledDataset:
    rows = torch.cat([real.train.of_class(label)[:2] for label in range(10)])
    rows = rows[1:] if kind == "uneven" else rows
    pixels, labels = real.train.pixels(rows), real.train.labels[rows]
    images = pixels if kind == "bytes" else real.info.normalise(pixels)
    soft = (torch.nn.functional.one_hot(labels, 10) * 4.0).softmax(1)
    return DistilledDataset(
        images.half() if kind == "half" else images,
        soft if kind == "soft labels" else labels,
        10,
        2,
        "pixels" if kind == "bytes" else "normalised",
        student_lr=0.02 if kind == "a rate" else None,
        provenance={"method": "trial", "dataset": "digits"},
        uneven=kind == "uneven",
    )
