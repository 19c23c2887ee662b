"""A spot check: one submitted cell evaluated again from its distilled set, and compared with what was recorded."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from ddbench.analysis.intervals import Fit
from ddbench.distilled.files import content_digest, load_distilled
from ddbench.distilled.names import SIDECAR
from ddbench.errors import BadInputError, DDBenchError
from ddbench.host.files import digest_of
from ddbench.host.machine import describe_machine, describe_versions, resolve_device
from ddbench.inputs.documents import read_json
from ddbench.records import SET_DIGEST, Result
from ddbench.registry import PROTOCOLS
from ddbench.runs.cell import evaluate
from ddbench.runs.distill import RunOptions, load_real
from ddbench.seeding import derive_seed
from ddbench.submissions.data import specs_of

LEVEL = 0.99  # of the tolerance: one honest cell in a hundred lies outside
FEWEST_STUDENTS = 5  # of a comparison by spread; fewer say little of it
SPREAD = "spread of the students trained now"


@dataclass(frozen=True)
class Reevaluation:
    """Recorded and measured test accuracies of one cell, fractions.

    Attributes:
        result: what was submitted.
        folder: of its distilled set.
        recorded: one accuracy a student.
        measured: those of the students trained now.
        is_same_place: whether machine and versions are those of the result, so that every bit must be.
        tolerance: largest difference of the means that counts as agreement; 0 where bits are compared.
    """

    result: Result
    folder: Path
    recorded: tuple[float, ...]
    measured: tuple[float, ...]
    is_same_place: bool
    tolerance: float

    @property
    def is_equal(self) -> bool:
        """Whether every student of the result came out again to the last bit."""
        return self.measured[: len(self.recorded)] == self.recorded

    @property
    def difference(self) -> float:
        """Measured mean less recorded mean."""
        return fmean(self.measured) - fmean(self.recorded)

    @property
    def agrees(self) -> bool:
        """Whether the number came out again: to the last bit in the same place, else within the tolerance."""
        return self.is_equal or (not self.is_same_place and abs(self.difference) <= self.tolerance)

    @property
    def words(self) -> str:
        """The comparison in one line, with what it was judged by."""
        again = self.measured[: len(self.recorded)] if self.is_equal else self.measured
        recorded, measured = (f"{100 * fmean(values):.2f} %" for values in (self.recorded, again))
        counts = f"{len(self.recorded)} recorded, {len(again)} trained now"
        found = f"recorded {recorded}, measured {measured} (students: {counts})"
        if self.is_equal:
            return f"{found}: bit-equal"
        if self.is_same_place:
            return f"{found}: not bit-equal, on the same machine and with the same versions"
        verdict = "within" if self.agrees else "outside"
        tolerance = f"{100 * self.tolerance:.2f} points, {100 * LEVEL:.0f} % by the {SPREAD}"
        return f"{found}: {verdict} the tolerance of {tolerance}; machine or versions are others, so bits may differ"


def find_sets_of(results: Sequence[Result], folder: Path) -> dict[str, Path]:
    """Return the folders of distilled sets below `folder` by the key of the result that is of them.

    A set belongs to a result by its provenance; one from elsewhere by its content.

    Raises:
        BadInputError: there is no distilled set at all.
    """
    sets: dict[str, Path] = {}
    for sidecar in sorted({folder / SIDECAR, *folder.glob(f"*/{SIDECAR}"), *folder.glob(f"*/*/{SIDECAR}")}):
        if sidecar.is_file() and not any(part.startswith(".") for part in sidecar.relative_to(folder).parts):
            sets.setdefault(_digest_of_set(sidecar), sidecar.parent)
    if not sets:
        raise BadInputError(f"{folder} holds no distilled sets; name a results folder, or the folder of one set")
    found = ((result.key, sets.get(_digest(_facts_of(result)))) for result in results if result.status == "ok")
    return {key: path for key, path in found if path is not None}


def choose(results: Sequence[Result], sets: Mapping[str, Path], key: str | None, seed: int) -> Result:
    """Return the result to evaluate again: that of `key`, else one that has a set, drawn by `seed`.

    Raises:
        BadInputError: no such result, or none with a set.
    """
    by_key = {result.key: result for result in results if result.key in sets}
    if key is not None and key not in by_key:
        known = any(result.key == key for result in results)
        reason = "has no distilled set there, or no number" if known else "is in none of the files"
        raise BadInputError(f"cell {key} {reason}; cells with a set: {', '.join(sorted(by_key)[:3]) or 'none'}")
    if not by_key:
        raise BadInputError("none of the results is of a distilled set there; name the folder of their sets")
    if key is not None:
        return by_key[key]
    return by_key[sorted(by_key)[derive_seed(seed, "check-results") % len(by_key)]]


def evaluate_again(result: Result, folder: Path, options: RunOptions) -> Reevaluation:
    """Train students on a distilled set as a result says, and compare; see `Reevaluation`.

    Raises:
        BadInputError: a protocol of other content, or a result without test accuracies.
        DDBenchError: a set that is damaged or does not fit, data or networks that are not here.
    """
    metric, protocol = result.metric("test_accuracy"), PROTOCOLS.get(result.protocol)
    if metric is None:
        raise BadInputError(f"{result.title} has no test accuracy to compare with; choose another cell with --key")
    if protocol.hash != result.protocol_hash:
        raise BadInputError(
            f"{result.title} was measured under {result.protocol}@{result.protocol_hash}, this ddbench has "
            f"@{protocol.hash}; evaluate it with the version that made it"
        )
    machine = describe_machine(resolve_device(options.device))
    is_same = machine["id"] == result.machine.get("id") and describe_versions() == result.versions
    students = result.students if is_same else max(result.students, FEWEST_STUDENTS)
    spec = _loadable(result.dataset, options)
    again = evaluate(
        load_distilled(folder), spec, protocol, result.network, students, result.eval_seed,
        evaluators=("accuracy",), options=options,
    )  # fmt: skip
    found = again.metric("test_accuracy")
    assert found is not None  # the evaluator that was asked for gives it
    tolerance = 0.0 if is_same else tolerance_of(metric.values, found.values, len(load_real(spec, options).test))
    return Reevaluation(result, folder, metric.values, found.values, is_same, tolerance)


def tolerance_of(recorded: Sequence[float], measured: Sequence[float], test_images: int) -> float:
    """Return by how much two means of students may differ, a fraction, at least one test image.

    The spread is that of the students trained now, which a submitter does not choose: t of their number less one, times
    their standard deviation, times the root of 1/n + 1/m.
    """
    spread = Fit.of(np.asarray(measured, np.float64), SPREAD)
    both = sqrt(len(measured) * (1 / len(measured) + 1 / len(recorded)))  # `error` is that of one mean
    fit = Fit(0.0, spread.error * both, spread.df, spread.n, spread.test, spread.size)
    return max(fit.against(0.0, "two-sided", LEVEL).high, 1 / test_images)


def _loadable(dataset: str, options: RunOptions) -> str:
    """Return the name that a result's data set can be loaded by: its own, else the first that may have been meant."""
    texts = specs_of(dataset).texts
    for spec in texts[1:]:
        try:
            if load_real(spec, options).info.name == dataset:
                return spec
        except DDBenchError:  # a guess; the name itself says what is wrong
            continue
    return dataset


def _facts_of(result: Result) -> dict[str, Any]:
    """Return what the distilled set of a result follows from."""
    if SET_DIGEST in result.config:
        return {"content": result.config[SET_DIGEST]}
    return {
        **{name: getattr(result, name) for name in ("method", "config", "dataset", "ipc", "distill_seed")},
        "share_prepare": result.share_prepare,
    }


def _digest_of_set(sidecar: Path) -> str:
    """Return the digest of the same facts from the sidecar of a set; of its content where it came from elsewhere."""
    content = read_json(sidecar, "sidecar")
    origin = content.get("provenance", {}) if isinstance(content, dict) else {}
    if not isinstance(origin, dict) or origin.get("config") is None:
        return _digest({"content": content_digest(load_distilled(sidecar.parent))})
    names = ("method", "config", "dataset", "distill_seed")
    return _digest(
        {
            **{name: origin.get(name) for name in names},
            "ipc": content.get("ipc"),
            "share_prepare": origin.get("share_prepare", False),
        }
    )


def _digest(facts: Mapping[str, Any]) -> str:
    return digest_of(json.loads(json.dumps(facts)))
