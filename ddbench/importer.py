"""The importer interface: how a distilled set that another program wrote is read.

An importer reads what its format says and nothing more. What no file says, such as the space of the images, is the
user's to tell; `ddbench.runs.importing` brings both together and checks them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from ddbench.images import DatasetInfo, Whitening
from ddbench.records import Space
from ddbench.registry import IMPORTERS

__all__ = ["IMPORTERS", "ForeignSet", "ImportOptions", "Importer"]


@dataclass(frozen=True)
class ImportOptions:
    """What reading may need to know besides the files.

    Attributes:
        info: of the data set that the set stands for.
        factor: how many smaller images a side of a stored one holds, where the user says so; it is taken for every
            format, and given here to those that must know it.
        class_map: class names by the names that the source uses, as the user says; empty for none.
        download: whether files may be fetched.
    """

    info: DatasetInfo
    factor: int | None = None
    class_map: Mapping[str, str] = field(default_factory=dict)
    download: bool = False


@dataclass(frozen=True, eq=False)
class ForeignSet:
    """One distilled set as its files have it.

    Attributes:
        images: (M, C, H, W) of any number type, in `space`.
        labels: hard (M,) of any integer type, or soft (M, K): probabilities, or logits where `logits`.
        space: of the images, None where the format does not say.
        constants: mean and std by which `normalised` images are normalised; None for the data set's.
        logits: whether soft labels are logits.
        student_lr: learned learning rate, None without one.
        method: name of the method where the files say it.
        seed: that the set was made with, where the files say it; of several sets, their place in the source.
        pixel_margin: how far pixels may lie outside 0..1, where the files say it; see `DistilledDataset`.
        whitening: what `zca` images are whitened with, where the files hold it; else it is fitted anew.
        decode_factor: see `DistilledDataset`.
        notes: what a user should read about how it was read, one line each; kept in the provenance.
        facts: what else the provenance keeps, JSON-able, such as the class of each folder.
    """

    images: Tensor
    labels: Tensor
    space: Space | None = None
    logits: bool = False
    student_lr: float | None = None
    method: str = ""
    seed: int | None = None
    constants: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    whitening: Whitening | None = None
    pixel_margin: float | str | None = None
    decode_factor: int = 1
    notes: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


class Importer(ABC):
    """A format of distilled sets: one file, one class, registered under the name of the format.

    Attributes:
        takes: what it makes use of: `class_map`, `download`; who gives one to another format is told so.
    """

    takes: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def read(self, source: Path, options: ImportOptions) -> list[ForeignSet]:
        """Return every set in a source, at least one; nothing in it is ever unpickled into code.

        Raises:
            BadInputError: a source that is not of this format, or a value in it that cannot be.
        """

    @classmethod
    def recognises(cls, source: Path) -> bool:
        """Return whether a source looks like one of this format, by its names alone, for a hint."""
        return False
