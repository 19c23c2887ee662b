"""The kinds of claims and the entries they are about, as a claims file states them: strict models, no results yet."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ddbench.analysis.aggregate import PEAKS, PHASES
from ddbench.analysis.published import find_published
from ddbench.errors import BadInputError
from ddbench.inputs.network_names import split_spec
from ddbench.records import size_words
from ddbench.registry import DATASETS, METHODS, PROTOCOLS, suggest

COST_METRIC = re.compile(rf"(?P<phase>making|{'|'.join(PHASES)})_(?P<kind>processor_seconds|seconds|{'|'.join(PEAKS)})")
ANY_MACHINE = "any"
FEWEST_RECORDED = 3

Number = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Recorded = Annotated[list[Number], Field(min_length=FEWEST_RECORDED)]


class Strict(BaseModel):
    """Base of what stands in the file: frozen, no unknown key, no value of another type."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ClaimedEntry(Strict):
    """Which results a claim is about: those of one method at one IPC, the `cell` or `against` of its file.

    Attributes:
        protocol: name and content hash, as tables print them: `quick@f58e23...`.
        ipc: images per class, `full` for the whole training set; left out in scaling claims alone.
        settings: the method's settings that results must have; those left out are not looked at.
        students: per distilled set; not looked at if not given, as is `fingerprint`, of the data set.
        layout: of the data set: what results carry that were recorded before fingerprints were of its content.
    """

    method: str
    dataset: str
    network: str
    protocol: Annotated[str, Field(pattern=r"^[^@]+@[0-9a-f]{12}$")]
    ipc: Annotated[int, Field(ge=1)] | Literal["full"] | None = None
    settings: dict[str, Any] = {}
    students: Annotated[int, Field(ge=1)] | None = None
    fingerprint: str | None = None
    layout: str | None = None

    @property
    def budget(self) -> int | None:
        """`ipc` as a Result has it: None for the whole training set."""
        return None if self.ipc == "full" else self.ipc

    @property
    def title(self) -> str:
        """The entry in a few words."""
        return f"{self.method} on {self.dataset}, {size_words(self.budget)}, {self.network}"

    def check_names(self) -> None:
        """Raise UnknownNameError or BadInputError for a name that no registry has.

        A data set with a fingerprint may have a name of its own, as small copies have.
        """
        named = [(self.method, METHODS.names())]
        if self.fingerprint is None:
            named.append((re.split("[:,]", self.dataset)[0], DATASETS.names()))
        for name, known in named:
            if name not in known:
                raise BadInputError(f"unknown name {name!r}; {suggest(name, known)}")
        split_spec(self.network)
        protocol = self.protocol.partition("@")[0]
        if protocol not in PROTOCOLS.names():  # one with options, or none; reading one imports torch
            PROTOCOLS.get(protocol)


class Claim(Strict):
    """What every claim has: a readable id, its sentence, and the fewest runs (per side or size) that may judge it."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.=-]*$")]
    sentence: Annotated[str, Field(min_length=1)]
    min_n: Annotated[int, Field(ge=2)] = 3

    @property
    def entries(self) -> tuple[ClaimedEntry, ...]:
        """The entries that the claim is about."""
        return ()


class AbsoluteClaim(Claim):
    """An entry's mean lies within, above or below `value`, a published number, or what earlier runs gave.

    Values and margins of metrics that are fractions, such as accuracy, are in percent.
    """

    kind: Literal["absolute"]
    cell: ClaimedEntry
    metric: str = "test_accuracy"
    unit: str = "percent"
    bound: Literal["within", "at_least", "at_most"] = "within"
    value: Number | None = None
    published: bool = False
    recorded: Recorded | None = None
    margin: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    machine: str | None = None

    @model_validator(mode="after")
    def _check(self) -> AbsoluteClaim:
        if (self.value is not None) + self.published + (self.recorded is not None) != 1:
            raise ValueError("give exactly one of value, published = true, recorded")
        if self.recorded is not None and self.bound == "within":
            raise ValueError('a recorded claim needs bound = "at_least" or "at_most": which way is worse')
        if self.bound == "within" and self.margin == 0:
            raise ValueError('bound = "within" needs a margin above 0')
        if is_cost(self.metric) and self.machine is None:
            raise ValueError('a cost needs machine = "ID" of the machine it is claimed for, or "any"')
        if self.published and self.metric != "test_accuracy":
            raise ValueError("published = true looks up test_accuracy alone; write other numbers as value")
        return self

    @property
    def entries(self) -> tuple[ClaimedEntry, ...]:
        """The one entry."""
        return (self.cell,)

    @cached_property
    def target(self) -> float:
        """The number claimed, in `unit`: given, or the published one; raises BadInputError where that is no basis."""
        if self.value is not None:
            return self.value
        entry, protocol = self.cell, self.cell.protocol.partition("@")[0]
        found = find_published(entry.method, entry.dataset, entry.budget, entry.network, protocol)
        if found is None:
            raise BadInputError(f"nothing is published for {entry.title} under {protocol}; give a value of your own")
        if not found.is_verified:
            raise BadInputError(f"the published number for {entry.title} was recalled, never read; no claim can use it")
        return found.shown.value


class RelativeClaim(Claim):
    """`cell` is better than `against`, or worse by no more than `margin`; a negative margin asks for a gain.

    Attributes:
        paired: compare sets of the same distillation seed; false for independent runs.
        test: `t`, or `permutation` where a t test's assumptions are in doubt.
    """

    kind: Literal["relative"]
    cell: ClaimedEntry
    against: ClaimedEntry
    metric: str = "test_accuracy"
    unit: str = "percent"
    margin: Number = 0.0
    paired: bool = True
    test: Literal["t", "permutation"] = "t"

    @model_validator(mode="after")
    def _check(self) -> RelativeClaim:
        if is_cost(self.metric):
            raise ValueError('compare costs with kind = "cost"')
        return self

    @property
    def entries(self) -> tuple[ClaimedEntry, ...]:
        """Both entries."""
        return self.cell, self.against


class CostClaim(Claim):
    """A cost is at most `limit` times that of another entry of the same machine, or of earlier runs on it."""

    kind: Literal["cost"]
    cell: ClaimedEntry
    metric: str
    limit: Positive
    against: ClaimedEntry | None = None
    recorded: Annotated[list[Positive], Field(min_length=FEWEST_RECORDED)] | None = None
    machine: str | None = None

    @model_validator(mode="after")
    def _check(self) -> CostClaim:
        _check_cost(self.metric)
        if (self.against is None) == (self.recorded is None):
            raise ValueError("give exactly one of against, recorded")
        if self.recorded is not None and self.machine in (None, ANY_MACHINE):
            raise ValueError('recorded costs need machine = "ID": they mean nothing on another one')
        if self.recorded is not None and self.limit < 1:
            raise ValueError("limit must be at least 1 against recorded runs")
        return self

    @property
    def entries(self) -> tuple[ClaimedEntry, ...]:
        """The entry, and the one it is compared with."""
        return (self.cell,) if self.against is None else (self.cell, self.against)


class ScalingClaim(Claim):
    """A cost is independent of IPC (dearest / cheapest <= 1 + tolerance) or linear in it (exponent within 1 +- it)."""

    kind: Literal["scaling"]
    cell: ClaimedEntry
    metric: str
    ipc: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=2)]
    law: Literal["independent", "linear"]
    tolerance: Positive
    machine: str | None = None

    @model_validator(mode="after")
    def _check(self) -> ScalingClaim:
        _check_cost(self.metric)
        if self.cell.ipc is not None:
            raise ValueError("a scaling claim lists ipc beside its cell, not inside it")
        if len(set(self.ipc)) < len(self.ipc):
            raise ValueError("ipc lists a number twice")
        return self

    @property
    def entries(self) -> tuple[ClaimedEntry, ...]:
        """One entry per IPC."""
        return tuple(self.cell.model_copy(update={"ipc": ipc}) for ipc in self.ipc)


class SpeedClaim(Claim):
    """A ratio that a pytest-benchmark test notes in its `extra_info` is at least so much: ours against plain code."""

    kind: Literal["speed"]
    benchmark: str
    key: str = "ratio"
    at_least: Positive


AnyClaim = AbsoluteClaim | RelativeClaim | CostClaim | ScalingClaim | SpeedClaim


def is_cost(metric: str) -> bool:
    """Return whether a metric's name is that of a cost: `distill_seconds`, `making_peak_host_bytes` and so on."""
    return COST_METRIC.fullmatch(metric) is not None


def _check_cost(metric: str) -> None:
    if not is_cost(metric):
        raise ValueError(
            "metric must be PHASE_seconds, PHASE_processor_seconds or PHASE_peak_host_bytes (_allocated_, _reserved_), "
            f"PHASE one of making, {', '.join(PHASES)}; got {metric!r}"
        )
