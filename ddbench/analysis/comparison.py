"""Two methods, or two folders of results, against each other: entries paired, tested and judged in words.

The test of an entry is a paired t test over distillation seeds that both sides have, else Welch's; students are
averaged per distilled set first. p values are corrected over all entries of a comparison (Holm); `comparison_table`
shows them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from ddbench.analysis.aggregate import Entry, drop_duplicates, make_entries, settings_of, values_by_seed
from ddbench.analysis.data_identity import DataIdentity
from ddbench.analysis.significance import Estimate, difference_of_means, holm, paired_difference
from ddbench.errors import BadInputError
from ddbench.records import Result
from ddbench.registry import suggest

METRIC = "test_accuracy"
# Two differences may agree by chance, accuracies being counts of test images; then a t test sees no spread at all.
FEWEST_SEEDS = 3


@dataclass(frozen=True)
class Side:
    """One side of a comparison: `name` is what verdicts call it, `source` where it comes from, if that is another."""

    name: str
    results: tuple[Result, ...]
    source: str = ""

    @property
    def title(self) -> str:
        """Name and source in words."""
        return f"{self.name} ({self.source})" if self.source else self.name


@dataclass(frozen=True)
class Compared:
    """One entry on both sides.

    Attributes:
        a: results of the first side.
        b: of the second.
        estimate: a - b in points, two-sided; None where a side has too few seeds.
        p_holm: its p, corrected over the comparison.
        verdict: `<side> higher`, `not distinguishable`, or `too few seeds`.
        shared: distillation seeds that both sides have.
    """

    a: Entry
    b: Entry
    estimate: Estimate | None
    p_holm: float | None
    verdict: str
    shared: tuple[int, ...]

    @property
    def is_paired(self) -> bool:
        """Whether seeds that both sides have were compared one by one."""
        return self.estimate is not None and len(self.estimate.n) == 1


@dataclass(frozen=True)
class Group:
    """The compared entries of one data set, protocol and network.

    Attributes:
        rows: in the order of methods and IPC.
        unmatched: entries that one side alone has a number for, as (side, entry).
        duplicates: results of either side that were left out.
    """

    dataset: str
    protocol: str
    protocol_hash: str
    network: str
    rows: tuple[Compared, ...]
    unmatched: tuple[tuple[str, Entry], ...]
    duplicates: int


@dataclass(frozen=True)
class Comparison:
    """A whole comparison; `by_method` where the sides are folders, whose entries are matched by method too."""

    a: str
    b: str
    title: str
    by_method: bool
    level: float
    groups: tuple[Group, ...]

    @property
    def tests(self) -> int:
        """Number of p values that were corrected together."""
        return sum(row.estimate is not None for group in self.groups for row in group.rows)


def compare_methods(a: str, b: str, results: Sequence[Result], level: float = 0.95) -> Comparison:
    """Compare two methods IPC by IPC.

    Args:
        a: a method's name.
        b: another's.
        results: of any methods, data sets, protocols and networks.
        level: of the intervals; the comparison errs at most at 1 - `level`.

    Raises:
        BadInputError: the same name twice, a method without results, several contents of a protocol or a data set, or
            no entry that both have a number for.
    """
    if a == b:
        raise BadInputError(f"compare needs two different methods, got {a} twice")
    known = {result.method for result in results}
    for name in (a, b):
        if name not in known:
            raise BadInputError(f"the results hold no method {name!r}; {suggest(name, known)}")
    sides = [Side(name, tuple(result for result in results if result.method == name)) for name in (a, b)]
    return _compare(*sides, by_method=False, level=level)


def compare_sides(a: Side, b: Side, level: float = 0.95) -> Comparison:
    """Compare two lots of results, such as two folders, method by method and IPC by IPC; see `compare_methods`."""
    return _compare(a, b, by_method=True, level=level)


def accuracies(entry: Entry) -> dict[int, float]:
    """Return an entry's test accuracy in percent by distillation seed, the mean over the students of each set."""
    return {seed: fmean(values) for seed, values in sorted(values_by_seed(entry.ok, METRIC).items())}


def _compare(a: Side, b: Side, *, by_method: bool, level: float) -> Comparison:
    if not 0 < level < 1:
        raise BadInputError(f"level must lie between 0 and 1, such as 0.95, got {level:g}")
    _check_contents((*a.results, *b.results))
    groups = tuple(
        _make_group(key, a, b, by_method=by_method, level=level)
        for key in sorted({_place(result) for result in (*a.results, *b.results)})
    )
    if not any(group.rows for group in groups):
        raise BadInputError(
            f"no entry has an accuracy on both sides: {a.title} has {_list_entries(a.results)}; {b.title} has "
            f"{_list_entries(b.results)}; run what is missing"
        )
    return _judge(Comparison(a.name, b.name, f"{a.title} against {b.title}", by_method, level, groups))


def _judge(comparison: Comparison) -> Comparison:
    """Correct p over all rows and say in words what they show."""
    rows = [row for group in comparison.groups for row in group.rows if row.estimate is not None]
    corrected = iter(holm([row.estimate.p for row in rows if row.estimate is not None]))

    def judged(row: Compared) -> Compared:
        if row.estimate is None:
            return row
        p = next(corrected)
        higher = comparison.a if row.estimate.effect > 0 else comparison.b
        verdict = f"{higher} higher" if p <= 1 - comparison.level else "not distinguishable"
        return replace(row, p_holm=p, verdict=verdict)

    groups = (replace(group, rows=tuple(map(judged, group.rows))) for group in comparison.groups)
    return replace(comparison, groups=tuple(groups))


def _make_group(key: tuple[str, str, str], a: Side, b: Side, *, by_method: bool, level: float) -> Group:
    split = [drop_duplicates([result for result in side.results if _place(result) == key]) for side in (a, b)]
    entries = [make_entries(kept, with_hash=False) for kept, _ in split]
    pairs, unmatched = _match(*entries, by_method=by_method)
    first = next(result for side in (a, b) for result in side.results if _place(result) == key)
    names = {id(entry): side.name for side, found in zip((a, b), entries, strict=True) for entry in found}
    return Group(
        dataset=first.dataset,
        protocol=first.protocol,
        protocol_hash=first.protocol_hash,
        network=first.network,
        rows=tuple(_test(*pair, level) for pair in pairs),
        unmatched=tuple((names[id(entry)], entry) for entry in unmatched),
        duplicates=sum(len(group) - 1 for _, groups in split for group in groups),
    )


def _match(a: Sequence[Entry], b: Sequence[Entry], *, by_method: bool) -> tuple[list[tuple[Entry, Entry]], list[Entry]]:
    """Return the entries that stand against each other, and those without a partner or without a number."""
    configs = {id(entry): _config(entry) for entry in (*a, *b)} if by_method else {}

    def place_of(entry: Entry) -> tuple[Any, ...]:
        return (entry.ipc, entry.method) if by_method else (entry.ipc,)

    # Of several settings in a folder, the same stand against each other; where none is the same, each against each.
    taken = {(place_of(entry), configs[id(entry)]) for entry in a} if by_method else set()
    same: dict[tuple[Any, ...], list[Entry]] = defaultdict(list)
    others: dict[tuple[Any, ...], list[Entry]] = defaultdict(list)
    for entry in b:
        place = place_of(entry)
        if by_method and (place, configs[id(entry)]) in taken:
            same[place, configs[id(entry)]].append(entry)
        else:
            others[place].append(entry)
    pairs = []
    for entry in a:
        place = place_of(entry)
        against = (same.get((place, configs[id(entry)])) if by_method else None) or others.get(place, [])
        pairs += [(entry, other) for other in against if entry.accuracy and other.accuracy]
    found = {id(entry) for pair in pairs for entry in pair}
    return pairs, [entry for entry in (*a, *b) if id(entry) not in found]


def _test(a: Entry, b: Entry, level: float) -> Compared:
    ours, theirs = accuracies(a), accuracies(b)
    shared = tuple(sorted(ours.keys() & theirs.keys()))
    estimate = None
    if len(shared) >= FEWEST_SEEDS:
        pairs = [ours[seed] for seed in shared], [theirs[seed] for seed in shared]
        estimate = paired_difference(*pairs, alternative="two-sided", level=level)
    elif min(len(ours), len(theirs)) >= FEWEST_SEEDS:
        estimate = difference_of_means(list(ours.values()), list(theirs.values()), alternative="two-sided", level=level)
    return Compared(a, b, estimate, None, "too few seeds", shared)


def _check_contents(results: Iterable[Result]) -> None:
    """Refuse results whose protocol or data has the same name and another content."""
    found: dict[tuple[str, str, str], list[Result]] = defaultdict(list)
    for result in results:
        found[_place(result)].append(result)
    data = DataIdentity(result for group in found.values() for result in group)
    for (dataset, protocol, network), group in sorted(found.items()):
        for what, values in (
            (f"protocol {protocol}", {result.protocol_hash for result in group}),
            ("the data", {data.of(result) for result in group} - {""}),
        ):
            if len(values) > 1:
                raise BadInputError(
                    f"results of {dataset} on {network} must share one content of {what}, got "
                    f"{', '.join(sorted(values))}; compare runs of the same content"
                )


def _place(result: Result) -> tuple[str, str, str]:
    return result.dataset, result.protocol, result.network


def _config(entry: Entry) -> str:
    return repr(sorted(settings_of(entry.results[0]).items()))


def _list_entries(results: Sequence[Result]) -> str:
    places: dict[tuple[Any, ...], set[int | None]] = defaultdict(set)
    for result in results:
        places[result.method, *_place(result)].add(result.ipc)
    listed = [
        f"{method} on {dataset} under {protocol}, {network}, IPC "
        + "/".join("full" if ipc is None else str(ipc) for ipc in sorted(ipcs, key=lambda ipc: (ipc is None, ipc or 0)))
        for (method, dataset, protocol, network), ipcs in sorted(places.items())
    ]
    more = f" and {len(listed) - 3} more" if len(listed) > 3 else ""
    return ", ".join(listed[:3]) + more
