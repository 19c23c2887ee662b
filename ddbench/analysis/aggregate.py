"""Entries of a comparison table: all results of one method at one IPC, and the arithmetic on them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean, median, stdev
from typing import Any

from ddbench.analysis.data_identity import DataIdentity
from ddbench.inputs.fingerprints import is_of_content
from ddbench.records import OLDER_SET_DIGEST, SET_DIGEST, Reading, Result

GAP = "\N{EN DASH}"  # shown where nothing was run or nothing applies
SHOWN_DIGITS = 8  # of a set's digest
TIMES = "\N{MULTIPLICATION SIGN}"
PHASES = ("first_use", "prepare", "distill", "teacher", "evaluate")
# Phases that make the set: their peak is what a user's machine must hold for the method, whatever the students need.
MAKING = ("prepare", "distill")
PEAKS = ("peak_allocated_bytes", "peak_reserved_bytes", "peak_host_bytes")


@dataclass(frozen=True)
class Spread:
    """A metric of one entry: students are averaged per distilled set first, the rest is over distilled sets.

    Attributes:
        mean: mean over distilled sets; percent where the metric's unit is a fraction, else the metric's own unit.
        std: sample standard deviation over distilled sets, None for a single one.
        seeds: number of distilled sets.
        students: fewest and most students of a set.
    """

    mean: float
    std: float | None
    seeds: int
    students: tuple[int, int]

    @property
    def student_text(self) -> str:
        """Students of a set: `5`, or `2-5` where sets differ."""
        fewest, most = self.students
        return str(fewest) if fewest == most else f"{fewest}-{most}"

    @property
    def counts(self) -> str:
        """Both counts in words, such as `3 seeds × 2 students`."""
        seeds = "1 seed" if self.seeds == 1 else f"{self.seeds} seeds"
        return f"{seeds} {TIMES} {self.student_text} student{'' if self.students[1] == 1 else 's'}"


@dataclass(frozen=True)
class Entry:
    """Results of one method at one IPC, without duplicates; `config` and `protocol_hash` are set where rows differ."""

    method: str
    ipc: int | None
    config: str
    protocol_hash: str
    results: tuple[Result, ...]

    @property
    def row(self) -> tuple[str, str, str]:
        """What makes the row of the table that the entry stands in."""
        return self.method, self.config, self.protocol_hash

    @property
    def name(self) -> str:
        """The entry in words, for notes."""
        place = "the whole training set" if self.ipc is None else f"IPC {self.ipc}"
        return ", ".join(filter(None, (self.method, self.config, self.protocol_hash, place)))

    @cached_property
    def is_altered(self) -> bool:
        """Whether a result was changed since it was written, or stood in another cell's folder."""
        return any(result.is_altered for result in self.results)

    @cached_property
    def ok(self) -> tuple[Result, ...]:
        """Results that ended well."""
        return tuple(result for result in self.results if result.status == "ok")

    @cached_property
    def not_ok(self) -> tuple[Result, ...]:
        """Results that were skipped, failed or ran out of memory."""
        return tuple(result for result in self.results if result.status != "ok")

    @cached_property
    def accuracy(self) -> Spread | None:
        """Test accuracy in percent; None where no result has one."""
        return self.spread("test_accuracy")

    @cached_property
    def other_metrics(self) -> tuple[str, ...]:
        """Names of metrics that the table does not show elsewhere: neither accuracy nor a phase's reading."""
        shown = {"test_accuracy", *(f"{phase}_{kind}" for phase in PHASES for kind in ("seconds", *PEAKS))}
        names = dict.fromkeys(metric.name for result in self.ok for metric in result.metrics)
        return tuple(name for name in names if name not in shown)

    def spread(self, name: str) -> Spread | None:
        """The spread of one metric over the results that ended well."""
        return spread_of(self.ok, name)

    def by_machine(self) -> dict[str, tuple[Result, ...]]:
        """Results that ended well, by the machine they ran on; the machine with most results first."""
        groups: dict[str, list[Result]] = defaultdict(list)
        for result in self.ok:
            groups[machine_label(result.machine)].append(result)
        ordered = sorted(groups.items(), key=lambda item: -len(item[1]))
        return {label: tuple(results) for label, results in ordered}


def values_by_seed(results: Iterable[Result], name: str) -> dict[int, list[float]]:
    """Return one metric's values of every student, by distillation seed; percent where its unit is a fraction."""
    students: dict[int, list[float]] = defaultdict(list)
    for result in results:
        metric = result.metric(name)
        if metric is not None and metric.values:
            factor = 100 if metric.unit == "fraction" else 1
            students[result.distill_seed].extend(factor * value for value in metric.values)
    return dict(students)


def spread_of(results: Iterable[Result], name: str) -> Spread | None:
    """Return the spread of one metric; sets are told apart by their distillation seed, None where none has it."""
    students = values_by_seed(results, name)
    if not students:
        return None
    means = [fmean(values) for values in students.values()]
    counts = [len(values) for values in students.values()]
    return Spread(fmean(means), stdev(means) if len(means) > 1 else None, len(means), (min(counts), max(counts)))


def costs_of(results: Sequence[Result], *, busy: bool = False) -> dict[str, float | None]:
    """Return medians over results: `PHASE_seconds`, `PHASE_peak_..._bytes`, the peak while making, bytes that are kept.

    None stands for what was not measured, such as GPU memory where there is no GPU; it is never turned into zero.
    Seconds that were measured on a busy machine are left out unless `busy`; memory does not depend on it.
    `making_seconds` is the sum of what phases that make a set took; None where that of one of them was left out.
    """
    costs: dict[str, float | None] = {}
    for phase in PHASES:
        readings = [reading for result in results for reading in _readings(result, phase)]
        costs[f"{phase}_seconds"] = _median(r.seconds for r in readings if busy or not r.is_busy)
        costs |= {f"{phase}_{kind}": _median(getattr(r, kind) for r in readings) for kind in PEAKS}
    making_of = [_readings(result, *MAKING) for result in results]
    for kind in PEAKS:
        costs[f"making_{kind}"] = _median(
            max((peak for r in readings if (peak := getattr(r, kind)) is not None), default=None)
            for readings in making_of
        )
    making = [costs[f"{phase}_seconds"] for phase in MAKING if any(result.phase(phase) for result in results)]
    costs["making_seconds"] = None if None in making or not making else sum(s for s in making if s is not None)
    costs["distilled_bytes"] = _median(result.distilled_bytes for result in results)
    costs["teacher_bytes"] = _median(result.teacher.num_bytes for result in results if result.teacher)
    return costs


def machine_label(machine: dict[str, Any]) -> str:
    """Return a machine in a few words: its GPU, else its processor and threads, with the short id of its identity."""
    if machine.get("gpu"):
        name = str(machine["gpu"])
    else:
        count = machine.get("threads")
        threads = f", {count} thread{'' if count == 1 else 's'}" if count else ""
        name = f"{machine.get('processor') or 'unknown machine'}{threads}, no GPU"
    return f"{name} ({machine['id']})" if machine.get("id") else name


def make_entries(results: Sequence[Result], *, with_hash: bool) -> tuple[Entry, ...]:
    """Group results without duplicates into entries; a method's configs make rows only where one IPC has several.

    Sets from elsewhere are told apart by a digest of their content. Where each seed of a method has one, they are the
    seeds of one row.
    """
    told_apart = config_reader(results)
    configs: dict[tuple[str, str, int | None], dict[str, dict[str, Any]]] = defaultdict(dict)
    for result in results:
        config = told_apart(result)
        configs[result.method, result.protocol_hash, result.ipc][_as_text(config)] = config
    split = {method for (method, _, _), found in configs.items() if len(found) > 1}
    by_method: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for result in results:
        if result.method in split:
            by_method[result.method].append(told_apart(result))
    keys = {method: varying_keys(found) for method, found in by_method.items()}
    groups: dict[tuple[str, int | None, str, str], list[Result]] = defaultdict(list)
    for result in results:
        config_text = ""
        if result.method in split:
            config = told_apart(result)
            config_text = ", ".join(f"{key}={config.get(key, GAP)}" for key in keys[result.method])
        shown_hash = result.protocol_hash if with_hash else ""
        groups[result.method, result.ipc, config_text, shown_hash].append(result)
    entries = (Entry(*key, tuple(sorted(group, key=lambda r: r.distill_seed))) for key, group in groups.items())
    return tuple(sorted(entries, key=_order))


def settings_of(result: Result) -> dict[str, Any]:
    """Return a result's config without the digest that stands in it where a set came from elsewhere."""
    return {key: value for key, value in result.config.items() if key not in (SET_DIGEST, OLDER_SET_DIGEST)}


def config_reader(results: Iterable[Result]) -> Callable[[Result], dict[str, Any]]:
    """Return what gives a result's config as rows are told apart by: a set's digest only where one seed has several."""
    contents: dict[tuple[Any, ...], set[str]] = defaultdict(set)
    for result in results:
        contents[result.method, result.protocol_hash, result.ipc, result.distill_seed].add(_set_digest(result))
    ambiguous = {method for (method, *_), found in contents.items() if len(found) > 1}

    def config_of(result: Result) -> dict[str, Any]:
        digest = _set_digest(result) if result.method in ambiguous else ""
        return {**settings_of(result), **({"set": digest[:SHOWN_DIGITS]} if digest else {})}

    return config_of


def _set_digest(result: Result) -> str:
    return str(result.config.get(SET_DIGEST, result.config.get(OLDER_SET_DIGEST, "")))


def varying_keys(configs: Iterable[dict[str, Any]]) -> tuple[str, ...]:
    """Return the keys that not every config has with the same value, sorted."""
    values: dict[str, set[str]] = defaultdict(set)
    texts = {_as_text(config): config for config in configs}
    every = {key for config in texts.values() for key in config}
    for config in texts.values():
        for key in every:
            values[key].add(_as_text(config[key]) if key in config else "")
    return tuple(sorted(key for key, found in values.items() if len(found) > 1))


def drop_duplicates(results: Sequence[Result]) -> tuple[list[Result], list[list[Result]]]:
    """Split off results that measure the same thing again.

    Same means: the same key, or the same data, network, method, config, IPC, protocol hash and pair of seeds. The first
    by start time stays, one that ended well before one that did not, one that is whole before one that was altered, and
    one whose data is known by content before one of an older version.

    Returns:
        The results to use, and each group of several with the kept one first.
    """
    groups: dict[tuple[Any, ...], list[Result]] = defaultdict(list)
    identities: dict[str, tuple[Any, ...]] = {}
    data = DataIdentity(results)

    def order(result: Result) -> tuple[bool, bool, bool, str]:
        is_older = not is_of_content(result.dataset_fingerprint)
        return result.is_altered, result.status != "ok", is_older, result.started_at

    for result in sorted(results, key=order):
        place = (result.dataset, data.of(result), result.network, result.method, _as_text(result.config), result.ipc)
        identity = (*place, result.protocol_hash, result.distill_seed, result.eval_seed)
        groups[identities.setdefault(result.key, identity) if result.key else identity].append(result)
    return [group[0] for group in groups.values()], [group for group in groups.values() if len(group) > 1]


def _order(entry: Entry) -> tuple[Any, ...]:
    place = {"random_real": 0, "full_real": 2}.get(entry.method, 1)
    return place, *entry.row, entry.ipc is None, entry.ipc or 0


def _readings(result: Result, *phases: str) -> list[Reading]:
    return [phase.reading for phase in result.phases if phase.name in phases]


def _median(values: Iterable[float | None]) -> float | None:
    found = [value for value in values if value is not None]
    return median(found) if found else None


def _as_text(value: object) -> str:
    return json.dumps(value, sort_keys=True, default=str)
