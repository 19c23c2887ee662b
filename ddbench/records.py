"""What flows through the benchmark: real images, distilled sets, readings, metrics and results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    ConfigDict,
    Field,
    PrivateAttr,
    StrictBool,
    StrictInt,
    StrictStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import to_json
from torch import Tensor

from ddbench.errors import BadInputError
from ddbench.images import DatasetInfo as DatasetInfo
from ddbench.images import ImageSource as ImageSource
from ddbench.images import LabeledImages as LabeledImages
from ddbench.images import RealDataset as RealDataset
from ddbench.images import Whitening as Whitening
from ddbench.inputs.checked import Checked
from ddbench.inputs.distilled_sets import PIXEL_MARGIN, as_decode_factor, as_set_images, as_set_labels
from ddbench.inputs.distilled_sets import UNBOUNDED as UNBOUNDED
from ddbench.inputs.documents import parse_json
from ddbench.inputs.paths import as_path
from ddbench.inputs.problems import explain
from ddbench.inputs.values import LARGEST_SEED, as_choice, as_count, as_flag, as_kind, as_mapping, as_positive

# Of a metric; beyond, squares of differences leave the range of floats.
Measured = Annotated[float, Field(ge=-1e30, le=1e30, allow_inf_nan=False)]
Space = Literal["normalised", "pixels", "zca"]
# In the config of a result, where the set came from elsewhere and no method's settings say what it is.
SET_DIGEST, OLDER_SET_DIGEST = "set_digest", "images_sha256"
Status = Literal["ok", "skipped", "failed", "out_of_memory"]
# What is known of a result that was read: as it was written, changed since, in another's place, or without a digest.
Standing = Literal["whole", "altered", "misplaced", "older"]


@dataclass(frozen=True, eq=False)
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
        """Write the set into `folder` (see `ddbench.distilled`) and return the folder."""
        from ddbench.distilled import save_distilled

        return save_distilled(self, as_path(folder, "folder of a distilled set"))

    @staticmethod
    def load(folder: Path | str) -> DistilledDataset:
        """Return the set kept in `folder`; raises where a file is missing, damaged or impossible."""
        from ddbench.distilled import load_distilled

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


def size_words(ipc: int | None) -> str:
    """Return images per class in words; None is the whole training set."""
    return "whole set" if ipc is None else f"ipc {ipc}"


class Record(Checked):
    """Base of what is stored: frozen, and an unknown field is an error."""

    # Plain JSON has no NaN and would store null, which could not be read back as a number.
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")


class Reading(Record):
    """One measurement. GPU fields are None where there is no GPU; `host_source` says how the host peak was taken.

    `interruptions` counts how often the work was killed and resumed; `seconds` leaves out what ran between the
    last time the cost was kept and the kill. `processor_seconds` is the processor time of all threads of the process:
    on a machine that other work shares, what remains comparable; time on a GPU is not in it.
    """

    seconds: float
    processor_seconds: float | None = None
    peak_allocated_bytes: int | None = None
    peak_reserved_bytes: int | None = None
    peak_host_bytes: int | None = None
    host_source: str = ""
    interruptions: int = 0

    def plus(self, later: Reading) -> Reading:
        """Return one account of this and a later measurement: seconds added, peaks the larger of both."""
        peaks = {
            name: max((v for v in (getattr(self, name), getattr(later, name)) if v is not None), default=None)
            for name in ("peak_allocated_bytes", "peak_reserved_bytes", "peak_host_bytes")
        }
        of_both = (self.processor_seconds, later.processor_seconds)
        sums = {
            "seconds": self.seconds + later.seconds,
            "processor_seconds": None if None in of_both else sum(v for v in of_both if v is not None),
            "interruptions": self.interruptions + later.interruptions,
        }
        return later.model_copy(update={**sums, **peaks})

    def less(self, part: Reading) -> Reading:
        """Return this measurement without the seconds of a part of it that belongs to another account."""
        both = (self.processor_seconds, part.processor_seconds)
        processor = None if None in both else max(0.0, (both[0] or 0.0) - (both[1] or 0.0))
        seconds = max(0.0, self.seconds - part.seconds)
        return self.model_copy(update={"seconds": seconds, "processor_seconds": processor})


class Phase(Record):
    """A reading and the account it belongs to; `cached` marks work measured earlier and reused."""

    name: Literal["first_use", "prepare", "distill", "teacher", "evaluate"]
    reading: Reading
    cached: bool = False

    @classmethod
    def joined(cls, phases: Iterable[Phase | None]) -> Phase | None:
        """Return phases of one name as one, None where there are none; measured earlier only where all of them were."""
        there = [phase for phase in phases if phase is not None]
        if not there:
            return None
        reading = reduce(Reading.plus, (phase.reading for phase in there))
        return cls(name=there[0].name, reading=reading, cached=all(phase.cached for phase in there))


class Origin(Record):
    """What of a set's provenance an evaluation reads; every entry may be missing, and others may stand beside them."""

    model_config = ConfigDict(extra="allow")

    method: StrictStr | None = None
    dataset: StrictStr | None = None
    dataset_fingerprint: StrictStr | None = None
    config: dict[str, Any] | None = None
    distill_seed: Annotated[StrictInt, Field(ge=0, le=LARGEST_SEED)] | None = None
    share_prepare: StrictBool = False
    foundation: StrictStr = ""
    engine: dict[str, Any] = Field(default_factory=dict)
    phases: tuple[Phase, ...] = ()
    class_names: tuple[StrictStr, ...] | None = None
    diverged: StrictStr | StrictBool = ""
    pixel_margin: Annotated[float, Field(strict=True, ge=0)] | Literal["unbounded"] = PIXEL_MARGIN


class Metric(Record):
    """A measured quantity; `values` holds one number per student, or a single one.

    `basis` tells apart what the values are relative to and the name does not say, such as the parameters of a feature
    extractor; values of different bases compare only roughly. Empty where there is no such thing.
    """

    name: str
    unit: str
    higher_is_better: bool
    values: Annotated[tuple[Measured, ...], Field(min_length=1)]
    basis: str = ""

    @field_validator("higher_is_better", "values", mode="before")
    @classmethod
    def _is_what_it_is(cls, given: object, field: ValidationInfo) -> object:
        """Refuse text and bools for numbers and numbers for a bool, which pydantic would take, and odd numbers."""
        if field.field_name == "higher_is_better":
            return as_flag(given, "higher_is_better")
        if isinstance(given, list | tuple) and any(isinstance(value, bool | str) for value in given):
            raise ValueError("values must be numbers, got a bool or text among them")
        return given

    @property
    def mean(self) -> float:
        """Mean over `values`."""
        return sum(self.values) / len(self.values)


class TeacherRecord(Record):
    """The teacher that soft labels came from; bytes are those of its parameters.

    It was `trained` here, is from a `file`, has `published` weights, or is the mean of `several` networks, its members;
    `sha256` is then that of theirs. `test_accuracy` is that on test images at their own size, without the margin that
    a protocol may give them, because protocols share what was trained.
    """

    network: str
    origin: Literal["trained", "file", "published", "several"]
    sha256: str
    num_bytes: int
    test_accuracy: float
    weights: str = ""
    members: tuple[TeacherRecord, ...] = ()


class Result(Record):
    """One cell of the benchmark, whole: what was run, what came out, what it cost and where.

    `digest` is of all other fields as they stood when the result was written, by `ddbench.runs.results_store`, which
    compares it when it reads one; a result in memory may be changed and is written with a new one. It is no part of
    what makes two results equal.
    """

    key: str
    method: str
    dataset: str
    dataset_fingerprint: str = ""
    dataset_layout: str = ""
    ipc: Annotated[StrictInt, Field(ge=1)] | None
    network: str
    students: StrictInt
    distill_seed: StrictInt
    eval_seed: StrictInt
    config: dict[str, Any]
    protocol: str
    protocol_hash: str
    status: Status
    reason: str = ""
    metrics: tuple[Metric, ...] = ()
    phases: tuple[Phase, ...] = ()
    distilled_bytes: int | None = None
    class_sizes: tuple[StrictInt, StrictInt] | None = None
    decode_factor: StrictInt = 1
    space: str = ""
    label_mode: str = ""
    student_lr: float | None = None
    share_prepare: bool = False
    foundation: str = ""
    teacher: TeacherRecord | None = None
    engine: dict[str, Any] = Field(default_factory=dict)
    machine: dict[str, Any] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    git_commit: str = ""
    command: str = ""
    started_at: str = ""
    digest: str = ""
    _standing: Standing = PrivateAttr("whole")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Result):
            return NotImplemented
        names = [name for name in Result.model_fields if name != "digest"]
        return self.standing == other.standing and all(getattr(self, n) == getattr(other, n) for n in names)

    __hash__ = None  # type: ignore[assignment]  # its settings are a dictionary

    @property
    def standing(self) -> Standing:
        """Whether it is as it was measured: `whole`; not so where it was read and did not fit its digest or place."""
        return self._standing

    @property
    def is_altered(self) -> bool:
        """Whether it is known not to be what was measured for its cell: its numbers are evidence of nothing."""
        return self._standing in ("altered", "misplaced")

    def standing_as(self, standing: Standing) -> Result:
        """Return the same result, marked."""
        copy = self.model_copy()
        copy._standing = standing
        return copy

    def metric(self, name: str) -> Metric | None:
        """Return the metric called `name`, or None."""
        return next((m for m in self.metrics if m.name == name), None)

    @property
    def title(self) -> str:
        """Method, data set and size in words."""
        return f"{self.method} on {self.dataset}, {size_words(self.ipc)}"

    def phase(self, name: str) -> Phase | None:
        """Return the phase called `name`, or None."""
        return next((p for p in self.phases if p.name == name), None)
