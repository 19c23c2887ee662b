"""What flows through the benchmark: real images, distilled sets, readings, metrics and results."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from typing import Annotated, Any, Literal

from pydantic import (
    ConfigDict,
    Field,
    PrivateAttr,
    StrictBool,
    StrictInt,
    StrictStr,
    ValidationInfo,
    field_validator,
)

from ddbench.facts import facts_html
from ddbench.inputs.checked import Checked
from ddbench.inputs.pixel_margin import PIXEL_MARGIN
from ddbench.inputs.values import LARGEST_SEED, as_flag

# Of a metric; beyond, squares of differences leave the range of floats.
Measured = Annotated[float, Field(ge=-1e30, le=1e30, allow_inf_nan=False)]
Space = Literal["normalised", "pixels", "zca"]
# In the config of a result, where the set came from elsewhere and no method's settings say what it is.
SET_DIGEST, OLDER_SET_DIGEST = "set_digest", "images_sha256"
Status = Literal["ok", "skipped", "failed", "out_of_memory"]
# A measurement that waited for a processor for this share of its time, and for this many seconds, is left out of
# comparisons of cost; docs/performance.md says how they were chosen.
BUSY_SHARE, LEAST_LOST_SECONDS = 0.1, 0.1
# What is known of a result that was read: as it was written, changed since, in another's place, or without a digest.
Standing = Literal["whole", "altered", "misplaced", "older"]


def size_words(ipc: int | None) -> str:
    """Return images per class in words; None is the whole training set."""
    return "whole set" if ipc is None else f"ipc {ipc}"


class Record(Checked):
    """Base of what is stored: frozen, and an unknown field is an error."""

    # Plain JSON has no NaN and would store null, which could not be read back as a number.
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")


class MachineLoad(Record):
    """What the machine did beside a measurement; seconds, so that those of several measurements add up.

    None stands for what the system does not count. A machine is busy for a measurement if that lost a tenth of its
    time, and at least a tenth of a second, because processors were wanted by more than there are of them. Other work
    that leaves processors free, such as cells side by side of one thread each, makes no machine busy.

    Attributes:
        seconds: how long it was looked at.
        core_seconds: of all cores that the process may use.
        before: share of these cores that other processes took just before.
        own_seconds: processor time of the process and of those that it started.
        others_seconds: processor time of all others on these cores.
        stolen_seconds: processor time that the host of a virtual machine kept from these cores.
        waited_seconds: how long a thread of the process was ready and had no core; of all threads the longest.
        throttled_seconds: how long the quota of a container stopped its processes.
        switches: how often a thread of the process was taken off its core.
    """

    seconds: float
    core_seconds: float | None = None
    before: float | None = None
    own_seconds: float | None = None
    others_seconds: float | None = None
    stolen_seconds: float | None = None
    waited_seconds: float | None = None
    throttled_seconds: float | None = None
    switches: int | None = None

    @property
    def others(self) -> float | None:
        """Share of the cores that other processes took meanwhile, 0 to 1."""
        return (
            self.others_seconds / self.core_seconds if self.core_seconds and self.others_seconds is not None else None
        )

    @property
    def lost_seconds(self) -> float:
        """Seconds in which the work waited for a processor, as far as that is known."""
        stolen, used = self.stolen_seconds or 0.0, (self.own_seconds or 0.0) + (self.others_seconds or 0.0)
        stopped = self.seconds * stolen / (stolen + used) if stolen else 0.0
        return min(self.seconds, (self.waited_seconds or 0.0) + (self.throttled_seconds or 0.0) + stopped)

    @property
    def is_busy(self) -> bool:
        """Whether costs that were measured meanwhile say more about the machine than about the work."""
        return self.lost_seconds >= max(BUSY_SHARE * self.seconds, LEAST_LOST_SECONDS)

    def plus(self, later: MachineLoad) -> MachineLoad:
        """Return the load of both times; what went before is what went before the first."""
        before = later.before if self.before is None else self.before
        return self._with(later, 1).model_copy(update={"before": before})

    def less(self, part: MachineLoad) -> MachineLoad:
        """Return the load without that of a part of the time."""
        return self._with(part, -1)

    def _with(self, other: MachineLoad, sign: int) -> MachineLoad:
        pairs = {name: (getattr(self, name), getattr(other, name)) for name in MachineLoad.model_fields}
        known = {name: pair for name, pair in pairs.items() if name != "before"}
        sums = {name: None if None in pair else max(0, pair[0] + sign * pair[1]) for name, pair in known.items()}
        return self.model_copy(update=sums)


class Reading(Record):
    """One measurement. GPU fields are None where there is no GPU; `host_source` says how the host peak was taken.

    `interruptions` counts how often the work was killed and resumed; `seconds` leaves out what ran between the
    last time the cost was kept and the kill. `processor_seconds` is the processor time of all threads of the process,
    without time on a GPU. `load` is what the machine did beside it; None in results from before it was looked at.
    """

    seconds: float
    processor_seconds: float | None = None
    peak_allocated_bytes: int | None = None
    peak_reserved_bytes: int | None = None
    peak_host_bytes: int | None = None
    host_source: str = ""
    interruptions: int = 0
    load: MachineLoad | None = None

    @property
    def is_busy(self) -> bool:
        """Whether it is known to have been taken on a busy machine, so that its seconds are no measure of the work."""
        return self.load is not None and self.load.is_busy

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
            "load": self.load.plus(later.load) if self.load and later.load else self.load or later.load,
        }
        return later.model_copy(update={**sums, **peaks})

    def less(self, part: Reading) -> Reading:
        """Return this measurement without the seconds of a part of it that belongs to another account."""
        both = (self.processor_seconds, part.processor_seconds)
        processor = None if None in both else max(0.0, (both[0] or 0.0) - (both[1] or 0.0))
        seconds = max(0.0, self.seconds - part.seconds)
        load = self.load.less(part.load) if self.load and part.load else self.load
        return self.model_copy(update={"seconds": seconds, "processor_seconds": processor, "load": load})


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

    @property
    def accuracy(self) -> float | None:
        """Mean test accuracy of the students, a fraction from 0 to 1 as in all records; tables have percent."""
        metric = self.metric("test_accuracy")
        return None if metric is None else metric.mean

    def __repr__(self) -> str:
        outcome = self.status.replace("_", " ") if self.accuracy is None else f"{100 * self.accuracy:.1f} %"
        return f"Result({self.title}, {self.network}, {self.protocol}, seed {self.distill_seed}: {outcome})"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        metric = self.metric("test_accuracy")
        each = ", ".join(f"{100 * value:.1f}" for value in metric.values) if metric else ""
        costs = {f"{phase.name} (s)": f"{phase.reading.seconds:,.1f}" for phase in self.phases}
        facts = {"test accuracy (%)": each, "status": self.status, "reason": self.reason, "network": self.network}
        return facts_html(self.title, {**facts, "protocol": self.protocol, "seed": self.distill_seed, **costs})

    def phase(self, name: str) -> Phase | None:
        """Return the phase called `name`, or None."""
        return next((p for p in self.phases if p.name == name), None)
