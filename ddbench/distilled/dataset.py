"""A distilled set in memory: images and labels that students are trained on, and where they come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from pydantic import ValidationError
from pydantic_core import to_json
from torch import Tensor

from ddbench.errors import BadInputError
from ddbench.images import DatasetInfo, Whitening
from ddbench.inputs.distilled_sets import as_decode_factor, as_set_images, as_set_labels
from ddbench.inputs.documents import parse_json
from ddbench.inputs.paths import as_path
from ddbench.inputs.pixel_margin import PIXEL_MARGIN, UNBOUNDED
from ddbench.inputs.problems import explain
from ddbench.inputs.values import as_choice, as_count, as_flag, as_index, as_kind, as_mapping, as_positive
from ddbench.records import Origin, Space

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, eq=False, repr=False)
class DistilledDataset:
    """A distilled set, checked on construction.

    Attributes:
        images: (M, C, H, W), float32 or float16 in `space`, or uint8 where the space is `pixels`. On the device `meta`
            they stand for the real training images in stored order, too many to hold (`is_streamed`). Kept without
            gradient.
        labels: hard (M,) int64, or soft (M, K) float32 or float16 rows of probabilities, which sum to one.
        num_classes: K.
        ipc: images per class, the same for every class unless `uneven`; None for the whole real set and for nothing
            else.
        space: `normalised` (data set mean and std removed), `pixels` (uint8 0..255, or float in [0, 1]) or `zca`
            (pixels in [0, 1], whitened).
        student_lr: learning rate students must use, where the method learned one.
        whitening: what the images are whitened with; given exactly where the space is `zca`.
        provenance: JSON-able account of where the set comes from. Its `pixel_margin` says how far float pixels may lie
            outside 0..1, in widths of that range, where the usual 3 is too little: a number, or `unbounded`.
        uneven: whether classes may have different numbers of images; `ipc` is then the budget, M / K rounded up.
        decode_factor: f where an image holds f x f smaller ones, which students see enlarged to its size, as in IDC
            (arXiv 2205.14959) and NCFM: M images are stored and f * f * M trained on. 1 for images as they are.

    Raises:
        BadInputError: a shape, type or value that no student could be trained on.
    """

    images: Tensor
    labels: Tensor
    num_classes: int
    ipc: int | None
    space: Space = "normalised"
    student_lr: float | None = None
    whitening: Whitening | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    uneven: bool = False
    decode_factor: int = 1

    def __post_init__(self) -> None:
        num_classes = as_count(self.num_classes, "num_classes")
        ipc = None if self.ipc is None else as_count(self.ipc, "ipc")
        as_choice(self.space, get_args(Space), "space")
        self._check_provenance()
        margin = self.pixel_margin() if "pixel_margin" in self.provenance else None
        images = as_set_images(self.images, self.space, ipc, margin)
        checked: dict[str, object] = {"num_classes": num_classes, "ipc": ipc, "images": images}
        uneven = as_flag(self.uneven, "uneven")
        checked["labels"] = as_set_labels(self.labels, len(images), num_classes, ipc, uneven=uneven)
        checked["decode_factor"] = as_decode_factor(self.decode_factor, images, self.space, ipc)
        if self.student_lr is not None:
            checked["student_lr"] = as_positive(self.student_lr, "student_lr")
        for name, value in checked.items():  # as they are to be used: integers as int, tensors without gradient
            object.__setattr__(self, name, value)
        self._check_whitening()

    def __len__(self) -> int:
        """Number of images, M."""
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int | Tensor]:
        """Return an image as it is stored, (C, H, W) in `space`, and its label: an int, or (K,) probabilities.

        A set is thus a data set for `torch.utils.data.DataLoader`.

        Raises:
            BadInputError: the set is streamed and holds no images.
        """
        at = range(len(self))[as_index(index)]
        if self.is_streamed:
            raise BadInputError("this set is the real training split itself and holds no images; read that split's")
        label = self.labels[at]
        return self.images[at], int(label) if self.labels.ndim == 1 else label

    def __iter__(self) -> Iterator[tuple[Tensor, int | Tensor]]:
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        origin = " on ".join(str(self.provenance[name]) for name in ("method", "dataset") if self.provenance.get(name))
        return f"DistilledDataset({self._size_words()}, {self.space}{f', {origin}' if origin else ''})"

    def _repr_html_(self) -> str:
        from ddbench.distilled.grid import html_of

        return html_of(self, self._size_words())

    def show(self, info: DatasetInfo | None = None) -> Image:
        """Return a picture of the set, one row per class, which a notebook shows; `.save(PATH)` keeps it.

        Args:
            info: of its data set (`load_dataset(NAME).info`), for class names and colours as they are; without it the
                colours of a normalised set are stretched.
        """
        from ddbench.distilled.grid import draw_grid

        return draw_grid(self, info)

    def _size_words(self) -> str:
        ipc = "" if self.ipc is None else f"{'uneven ' if self.uneven else ''}IPC {self.ipc}, "
        size = "x".join(map(str, self.images.shape[1:]))
        return f"{len(self):,} images {size}, {ipc}{self.num_classes:,} classes, {self.label_mode} labels"

    @property
    def is_streamed(self) -> bool:
        """Whether the images are those of the real training split, read from there and held nowhere else."""
        return self.images.is_meta

    @property
    def label_mode(self) -> str:
        """`hard` or `soft`."""
        return "hard" if self.labels.ndim == 1 else "soft"

    @property
    def classes(self) -> Tensor:
        """The class of each image, (M,) int64; of a soft label the most probable one."""
        return self.labels if self.labels.ndim == 1 else self.labels.argmax(1)

    @property
    def class_sizes(self) -> tuple[int, int] | None:
        """Images of the smallest and of the largest class of an uneven set, None for an even one."""
        if not self.uneven:
            return None
        counts = self.classes.bincount(minlength=self.num_classes)
        return int(counts.min()), int(counts.max())

    def pixel_margin(self) -> float:
        """Return how far pixels of float images may lie outside 0..1, in widths of it: what provenance says, else 3.

        Sets that ddbench has distilled, which carry phases, were looked at then; older ones do not say how far.
        """
        usual = UNBOUNDED if "phases" in self.provenance else PIXEL_MARGIN
        widened = self.provenance.get("pixel_margin", usual)
        return float("inf") if widened == UNBOUNDED else float(widened)

    @property
    def num_bytes(self) -> int:
        """Bytes of images and labels: what the set costs to keep. A whitening belongs to the data set, not to it."""
        return sum(t.numel() * t.element_size() for t in (self.images, self.labels))

    def with_provenance(self, **entries: Any) -> DistilledDataset:  # noqa: ANN401 - JSON-able values of any type
        """Return the same set with `entries` added to its provenance."""
        return replace(self, provenance={**self.provenance, **entries})

    def save(self, folder: Path | str) -> Path:
        """Write the set into `folder` (see `ddbench.distilled.files`) and return the folder."""
        from ddbench.distilled.files import save_distilled

        return save_distilled(self, as_path(folder, "folder of a distilled set"))

    @staticmethod
    def load(folder: Path | str) -> DistilledDataset:
        """Return the set kept in `folder`; raises where a file is missing, damaged or impossible."""
        from ddbench.distilled.files import load_distilled

        return load_distilled(as_path(folder, "folder of a distilled set"))

    def _check_provenance(self) -> None:
        """Refuse what could not be kept, or what an evaluation could not read once students are trained."""
        given = as_mapping(self.provenance, "provenance")
        try:
            text = to_json(given, inf_nan_mode="constants").decode()
            Origin.model_validate(given)
        except ValidationError as error:
            raise BadInputError(f"provenance of a distilled set: {explain(error)}; correct or leave it out") from error
        except (ValueError, RecursionError) as error:
            raise BadInputError(f"provenance must be JSON-able: numbers, texts, lists, tables; {error}") from error
        parse_json(text, "provenance of a distilled set")  # what is written must be readable

    def _check_whitening(self) -> None:
        if self.whitening is not None:
            as_kind(self.whitening, Whitening, "whitening", "fit_zca makes one")
        if (self.whitening is not None) != (self.space == "zca"):
            raise BadInputError(
                f"whitening must be given exactly where the space is 'zca', got space {self.space!r} "
                f"{'without' if self.whitening is None else 'with'} a whitening; pass the one fit_zca returned, or none"
            )
        size = self.images[0].numel()
        if self.whitening is not None and len(self.whitening.mean) != size:
            raise BadInputError(
                f"whitening must be of {size} values for images {tuple(self.images.shape[1:])}, got one of "
                f"{len(self.whitening.mean)}; fit it on the data set the images come from"
            )
