"""Which results a claim is about, and the one number per distillation seed that its rule tests."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Any, Literal

from ddbench.analysis.aggregate import MAKING, config_reader, drop_duplicates, values_by_seed, varying_keys
from ddbench.analysis.data_identity import DataIdentity
from ddbench.claims.kinds import ANY_MACHINE, COST_METRIC, ClaimedEntry, is_cost
from ddbench.errors import BadInputError
from ddbench.inputs.fingerprints import is_of_content
from ddbench.records import Reading, Result
from ddbench.runs.known_settings import with_added

Unjudged = Literal["not measured", "not comparable", "inconclusive"]


class UnjudgedError(Exception):
    """A claim that the results cannot judge, and why."""

    def __init__(self, verdict: Unjudged, reason: str) -> None:
        super().__init__(reason)
        self.verdict = verdict


def pick(entry: ClaimedEntry, results: Sequence[Result]) -> list[Result]:
    """Return the finished results of an entry, without duplicates and without those that were altered.

    Raises:
        UnjudgedError: there are none, or they were made under other circumstances than the claim's.
        BadInputError: they are of several settings, data sets or counts of students, which must not be pooled.
    """
    same = [
        result for result in results if _identity(result) == (entry.method, entry.dataset, entry.budget, entry.network)
    ]
    if not same:
        raise UnjudgedError("not measured", f"there is no result of {entry.title}")
    sound = [result for result in same if not result.is_altered]
    if not sound:
        raise UnjudgedError("not measured", f"{entry.title}: its results were altered after they were written")
    fitting = [result for result in sound if not differences(entry, result)]
    if not fitting:
        nearest = min((differences(entry, result) for result in sound), key=len)
        raise UnjudgedError("not comparable", f"{entry.title}: {'; '.join(nearest)}")
    finished = [result for result in fitting if result.status == "ok"]
    if not finished:
        status = fitting[0].status.replace("_", " ")
        raise UnjudgedError("not measured", f"{entry.title}: {status}: {fitting[0].reason}")
    kept, _ = drop_duplicates(finished)
    _check_alike(entry, kept)
    return kept


def differences(entry: ClaimedEntry, result: Result) -> list[str]:
    """Say in which circumstances a result of the entry's method, data set, IPC and network is not the claim's."""
    found = []
    protocol = f"{result.protocol}@{result.protocol_hash}"
    if protocol != entry.protocol:
        found.append(f"protocol {protocol} instead of {entry.protocol}")
    config = with_added(result.method, result.config)
    for key, value in entry.settings.items():
        if key not in config or config[key] != value:
            found.append(f"setting {key} is {config.get(key)!r} instead of {value!r}")
    if entry.students not in (None, result.students):
        found.append(f"{result.students} students per set instead of {entry.students}")
    # A cell that failed before its data was read has no fingerprint.
    if entry.fingerprint is not None and result.dataset_fingerprint and not _is_of_data(entry, result):
        found.append(f"data {result.dataset_fingerprint} instead of {entry.fingerprint}")
    return found


def costs_of(
    entries: Sequence[ClaimedEntry], results: Sequence[Result], metric: str, machine: str | None
) -> list[dict[int, float]]:
    """Return, for each entry, one cost per distillation seed, all from one machine.

    Args:
        entries: what a claim is about.
        results: of anything.
        metric: see `is_cost`.
        machine: an id; `any` for a claim that names no hardware; None where one machine must have run all entries.

    Raises:
        UnjudgedError: an entry was not measured, or they ran on another machine, or on several.
    """
    picked = [pick(entry, results) for entry in entries]
    ids = sorted({_machine(result) for found in picked for result in found})
    if machine is None and len(ids) > 1:
        raise UnjudgedError("not comparable", f"measured on several machines ({', '.join(ids)})")
    if machine not in (None, ANY_MACHINE):
        picked = [[result for result in found if _machine(result) == machine] for found in picked]
        if not all(picked):
            raise UnjudgedError("not comparable", f"measured on machine {', '.join(ids)} instead of {machine}")
    return [values_of(found, metric) for found in picked]


def values_of(results: Sequence[Result], metric: str, unit: str | None = None) -> dict[int, float]:
    """Return one value per distillation seed: the mean over students, percent for fractions; or a phase's cost.

    Args:
        results: of one entry.
        metric: name of a metric, or of a cost (see `is_cost`).
        unit: what the claim is stated in; None for costs.

    Raises:
        UnjudgedError: none of the results has it, or not all relative to the same basis.
        BadInputError: results of several units, or of another one than the claim's.
    """
    values = _costs_by_seed(results, metric) if is_cost(metric) else values_by_seed(results, metric)
    if not values:
        busy = sum(_is_busy(result, metric) for result in results) if is_cost(metric) else 0
        why = f"; {busy} of {len(results)} results were measured on a busy machine" if busy else ""
        raise UnjudgedError("not measured", f"{results[0].title}: no result holds a {metric} of its own{why}")
    _check_units(results, metric, unit)
    return {seed: fmean(found) for seed, found in sorted(values.items())}


def is_higher_better(results: Iterable[Result], metric: str) -> bool:
    """Return which way a metric improves; a cost, the lower the better."""
    found = (result.metric(metric) for result in results)
    return next((metric.higher_is_better for metric in found if metric is not None), False)


def _costs_by_seed(results: Sequence[Result], metric: str) -> dict[int, list[float]]:
    values: dict[int, list[float]] = defaultdict(list)
    for result in results:
        cost = _cost(result, metric)
        if cost is not None:
            values[result.distill_seed].append(cost)
    return values


def _cost(result: Result, metric: str) -> float | None:
    """Return a phase's cost; None where it was not measured, not measured anew, not whole, or on a busy machine."""
    readings, kind = _readings(result, metric)
    numbers = [float(value) for reading in readings if (value := getattr(reading, kind)) is not None]
    if not numbers or any(reading.interruptions for reading in readings) or _is_busy(result, metric):
        return None
    total = sum(numbers) if kind.endswith("seconds") else max(numbers)
    return total if total > 0 else None


def _is_busy(result: Result, metric: str) -> bool:
    """Return whether a time was measured on a busy machine; peaks of memory do not depend on that."""
    readings, kind = _readings(result, metric)
    return kind.endswith("seconds") and any(reading.is_busy for reading in readings)


def _readings(result: Result, metric: str) -> tuple[list[Reading], str]:
    """Return the readings that a cost is taken from, and which of their fields it is."""
    found = COST_METRIC.fullmatch(metric)
    phase, kind = (found["phase"], found["kind"]) if found else ("", "")
    names = MAKING if phase == "making" else (phase,)
    # A reused `prepare` is another result's measurement; as a part of what a set costs it still counts.
    phases = [p for p in result.phases if p.name in names and (phase == "making" or not p.cached)]
    return [p.reading for p in phases], kind


def _check_units(results: Sequence[Result], name: str, unit: str | None) -> None:
    metrics = [metric for result in results if (metric := result.metric(name)) is not None]
    units = sorted({"percent" if metric.unit == "fraction" else metric.unit for metric in metrics})
    if len(units) > 1:
        raise BadInputError(f"{results[0].title}: {name} is in mixed units ({', '.join(units)}); keep results of one")
    if unit is not None and units and units != [unit]:
        raise BadInputError(f"{results[0].title}: {name} is in {units[0]}, the claim in {unit}; state it in {units[0]}")
    bases = sorted({metric.basis for metric in metrics})
    if len(bases) > 1:
        raise UnjudgedError("not comparable", f"{results[0].title}: {name} is relative to several bases")


def _check_alike(entry: ClaimedEntry, results: Sequence[Result]) -> None:
    keys = varying_keys(map(config_reader(results), results))
    if keys:
        raise BadInputError(
            f"results of {entry.title} have several settings ({', '.join(keys)} differ); "
            "name those meant in the settings of its `cell`"
        )
    data = DataIdentity(results)
    students, fingerprints = {str(result.students) for result in results}, {data.of(result) for result in results}
    for key, values in (("students", students), ("fingerprint", fingerprints)):
        found = sorted(values)
        if len(found) > 1:
            raise BadInputError(
                f"results of {entry.title} differ in {key} ({', '.join(found)}); name the claim's, {key} in its `cell`"
            )


def _is_of_data(entry: ClaimedEntry, result: Result) -> bool:
    """Return whether a result is of the claim's data; where either was recorded before content counted, by layout."""
    if entry.fingerprint == result.dataset_fingerprint:
        return True
    layouts = {entry.layout or entry.fingerprint, result.dataset_layout or result.dataset_fingerprint}
    both = is_of_content(entry.fingerprint or "") and is_of_content(result.dataset_fingerprint)
    return not both and len(layouts) == 1


def _identity(result: Result) -> tuple[Any, ...]:
    return result.method, result.dataset, result.ipc, result.network


def _machine(result: Result) -> str:
    return str(result.machine.get("id", "unknown"))
