"""The data of results: by which names it may have been asked for, and whether it is what lies on this machine."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path

from ddbench.dataset import load_dataset
from ddbench.errors import DDBenchError
from ddbench.inputs.fingerprints import is_of_content
from ddbench.records import Result
from ddbench.registry import DATASETS
from ddbench.submissions.problems import Finding, Findings, note


@dataclass(frozen=True)
class Specs:
    """Names that a data set may have been asked for by; `are_all` where there can be no others."""

    texts: tuple[str, ...]
    are_all: bool


@dataclass(frozen=True)
class KnownData:
    """What is compared of a data set that lies on this machine; `is_fixed` where its name stands for one content."""

    spec: str
    fingerprint: str
    layout: str
    test_images: int
    is_fixed: bool


def specs_of(dataset: str) -> Specs:
    """Return what the data set of a result may have been asked for by.

    A result has the name that a data set shows: options at their default are left out of it, and a copy of a subset of
    ImageNet is called by its folder: `imagenette224-subset,size=64`.
    """
    name, comma, options = dataset.partition(",")
    if name in DATASETS.names():
        loader = DATASETS.get(name)
        takes_options = len(inspect.signature(loader).parameters) > 2  # beside the folder, and whether to download
        return Specs((dataset,), are_all=not (comma or takes_options))
    bases = [base for base in DATASETS.names() if name.startswith(base)]
    rest = f",{options}" if options else ""
    copies = [(f"{base},source={name}{rest}", f"{base}{rest},source={name}") for base in bases]
    return Specs((dataset, *(spec for pair in copies for spec in pair)), are_all=False)


class DataAtHand:
    """Data sets of this machine, each looked at once."""

    def __init__(self, data_dir: Path | None = None) -> None:
        self.data_dir = data_dir
        self._known: dict[str, KnownData | None] = {}

    def look_for(self, dataset: str) -> KnownData | None:
        """Return what is known of the data set of a result; None where it is not here, or not known."""
        if dataset not in self._known:
            found = (self._load(spec) for spec in specs_of(dataset).texts)
            self._known[dataset] = next((known for known in found if known is not None), None)
        return self._known[dataset]

    def _load(self, spec: str) -> KnownData | None:
        try:
            real = load_dataset(spec, self.data_dir)
        except DDBenchError:
            return None
        return KnownData(spec, real.info.fingerprint, real.info.layout, len(real.test), real.info.is_fixed)


def check_data(result: Result, known: KnownData | None) -> Findings:
    """Yield what speaks against a result being of the data set that it names."""
    if not result.dataset_fingerprint:
        if result.status == "ok":
            yield Finding("it does not say what its data was: dataset_fingerprint is empty")
        return
    if known is None:
        yield note(f"data set {result.dataset} is not on this machine: its fingerprint was not compared")
        return
    is_older = not is_of_content(result.dataset_fingerprint)
    expected = known.layout if is_older else known.fingerprint
    if result.dataset_fingerprint != expected:
        place = "as registered" if known.is_fixed else "as it lies on this machine"
        words = f"its data {result.dataset_fingerprint} is not {result.dataset} {place}, {expected}"
        yield Finding(f"{words}: other images, labels or classes", is_problem=known.is_fixed)
        return
    accuracy = result.metric("test_accuracy")
    for value in () if accuracy is None else accuracy.values:
        count = value * known.test_images
        if abs(count - round(count)) > 1e-3:
            images = f"{known.test_images:,} test images of {result.dataset}"
            yield Finding(f"an accuracy of {value:.6g} is not a whole number of the {images}")
            return
