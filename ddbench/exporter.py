"""The exporter interface: how a distilled set is written in a form that another program reads.

Beside what the form itself has, every export holds `ddbench.json`: what the set is, by which constants its images are
normalised, what its classes are called, where it came from and what was lost on the way.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

from ddbench.distilled.dataset import DistilledDataset
from ddbench.errors import DataMismatchError
from ddbench.host.files import write_text
from ddbench.images import DatasetInfo
from ddbench.inputs.documents import read_json
from ddbench.inputs.pixel_margin import UNBOUNDED
from ddbench.inputs.problems import explain
from ddbench.records import Space
from ddbench.registry import EXPORTERS

__all__ = ["CARD", "EXPORTERS", "Card", "ExportPlan", "Exporter", "read_card", "write_card"]

CARD = "ddbench.json"


class Card(BaseModel):
    """Content of `ddbench.json`: what a reader of an exported set needs to know.

    `mean` and `std` are of pixels in 0..1, by channel. `lost` says what the form could not hold, empty for nothing;
    `files` are the names that the export wrote beside this one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="constants")
    format: Literal["ddbench-export-1"] = "ddbench-export-1"
    dataset: str
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    space: Space
    ipc: int
    uneven: bool
    decode_factor: int
    student_lr: float | None
    lost: dict[str, Any]
    files: tuple[str, ...] = ()
    provenance: dict[str, Any]

    @property
    def pixel_margin(self) -> float | str | None:
        """How far pixels may lie outside 0..1, as the set had it; None where it does not say."""
        usual = UNBOUNDED if "phases" in self.provenance else None
        margin = self.provenance.get("pixel_margin", usual)
        return margin if margin == UNBOUNDED or isinstance(margin, int | float) else None

    @property
    def constants(self) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """Mean and std by which the images are normalised; None in another space."""
        return (self.mean, self.std) if self.space == "normalised" else None

    @property
    def seed(self) -> int | None:
        """Seed that the set was made with, None where it is not known."""
        seed = self.provenance.get("distill_seed")
        return seed if isinstance(seed, int) and not isinstance(seed, bool) and seed >= 0 else None

    @property
    def method(self) -> str:
        """Name of the method that made the set, empty where it is not known."""
        return str(self.provenance.get("method", ""))


@dataclass(frozen=True, eq=False)
class ExportPlan:
    """What an exporter is given.

    Attributes:
        distilled: the set; it holds its images.
        info: of the data set it stands for.
        exact: the images as pixels, (M, C, H, W): uint8 as they are, or float with whitening and normalisation undone.
        pixels: the same as people see them, uint8: clipped and rounded.
        results: accuracies to state, as text: `protocol`, `network`, `accuracy` and `counts` of each; empty for none.
        licence: of the set, as the hub names it.
    """

    distilled: DistilledDataset
    info: DatasetInfo
    exact: Tensor
    pixels: Tensor
    results: tuple[Mapping[str, str], ...] = ()
    licence: str = "unknown"

    def card(self, lost: Mapping[str, Any]) -> Card:
        """Return what `ddbench.json` is to hold."""
        made, info = self.distilled, self.info
        return Card(
            dataset=info.name,
            class_names=info.class_names,
            mean=info.mean,
            std=info.std,
            space=made.space,
            ipc=made.ipc or 0,
            uneven=made.uneven,
            decode_factor=made.decode_factor,
            student_lr=made.student_lr,
            lost=dict(lost),
            provenance=dict(made.provenance),
        )


class Exporter(ABC):
    """A form of distilled sets: one file, one class, registered under the name of the form."""

    def describe(self, plan: ExportPlan) -> Mapping[str, Any]:
        """Return fields of `ddbench.json` that are not the set's own, such as the space of converted images."""
        return {}

    @abstractmethod
    def write(self, plan: ExportPlan, folder: Path) -> Mapping[str, Any]:
        """Write a set into an empty folder, `ddbench.json` apart, and return what the form could not hold.

        That is JSON-able and empty where the set comes back as it was.

        Raises:
            UnsupportedError: the form cannot hold this set, or its library is not installed.
        """


def write_card(card: Card, folder: Path) -> None:
    """Write `ddbench.json` into the folder of an export."""
    write_text(folder / CARD, card.model_dump_json(indent=1) + "\n")


def read_card(folder: Path) -> Card | None:
    """Return what `ddbench.json` in a folder says, None where there is none.

    Raises:
        DataMismatchError: it is damaged.
    """
    path = folder / CARD
    if not path.is_file():
        return None
    try:
        return Card.model_validate(read_json(path, "card"))
    except ValidationError as error:
        problem = explain(error, Card.model_fields)
        raise DataMismatchError(f"{path} is damaged: {problem}; export the set again, or remove the file") from error
