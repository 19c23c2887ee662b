"""Mean ranks of methods over data sets and their tests (Demšar, JMLR 7, 2006, section 3.2.2)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from ddbench.analysis.aggregate import Entry

LEAST_DATASETS = 5  # of fewer, no difference of ranks says much
LEAST_METHODS = 3
ALPHA = 0.05


@dataclass(frozen=True)
class Ranks:
    """Methods at one IPC, protocol and network by their mean rank over data sets; 1 is the highest accuracy.

    Attributes:
        ipc: images per class.
        protocol: its name.
        protocol_hash: of its content.
        network: of the students.
        datasets: that count, in order.
        methods: names and mean ranks, the best first.
        p_value: of the hypothesis that all methods are equal: Friedman's test by the F statistic of Iman and
            Davenport, ties corrected for.
        critical_difference: of two mean ranks, from which on they differ by Nemenyi's test at 5 %.
        left_out: methods that lack one of these data sets.
    """

    ipc: int
    protocol: str
    protocol_hash: str
    network: str
    datasets: tuple[str, ...]
    methods: tuple[tuple[str, float], ...]
    p_value: float
    critical_difference: float
    left_out: tuple[str, ...]

    @property
    def groups(self) -> tuple[tuple[int, int], ...]:
        """Largest runs of methods that do not differ, as the index of their first and last, each of two or more."""
        ranks = [rank for _, rank in self.methods]
        found: list[tuple[int, int]] = []
        for first, rank in enumerate(ranks):
            last = max(index for index, other in enumerate(ranks) if other - rank < self.critical_difference)
            if last > first and not (found and found[-1][1] >= last):
                found.append((first, last))
        return tuple(found)


def rank_methods(panels: Iterable[Sequence[Entry]]) -> tuple[Ranks, ...]:
    """Return ranks for each IPC, content of a protocol and network with three methods on five data sets or more.

    Methods that lack data sets are left out, those with the fewest first, until five data sets are left that all have.
    Altered results do not count, nor does a data set whose name stands for several data.

    Args:
        panels: entries of one data set, protocol and network each.
    """
    found: dict[tuple[int, str, str, str], list[tuple[str, dict[str, float]]]] = {}
    for entries in panels:
        columns: dict[tuple[int, str, str, str], dict[str, float]] = {}
        for entry in entries:
            if entry.ipc is not None and entry.accuracy and not entry.is_altered:
                first = entry.results[0]
                place = (entry.ipc, first.protocol, first.protocol_hash, first.network)
                name = " ".join(filter(None, (entry.method, entry.config)))
                columns.setdefault(place, {})[name] = entry.accuracy.mean
        for place, column in columns.items():
            found.setdefault(place, []).append((entries[0].results[0].dataset, column))
    made = (_rank(*place, blocks) for place, blocks in sorted(found.items()))
    return tuple(ranks for ranks in made if ranks is not None)


def _rank(
    ipc: int, protocol: str, protocol_hash: str, network: str, blocks: Sequence[tuple[str, dict[str, float]]]
) -> Ranks | None:
    counts = Counter(dataset for dataset, _ in blocks)
    columns = {dataset: column for dataset, column in blocks if counts[dataset] == 1}
    methods, datasets = _complete(columns)
    if len(methods) < LEAST_METHODS or len(datasets) < LEAST_DATASETS:
        return None

    from scipy.stats import f, friedmanchisquare, rankdata, studentized_range  # takes a second: only where it is used

    values = [[columns[dataset][method] for method in methods] for dataset in datasets]
    rows = [rankdata([-value for value in row]) for row in values]
    means = {method: fmean(float(row[index]) for row in rows) for index, method in enumerate(methods)}
    k, n = len(methods), len(datasets)
    is_tied = all(len(set(row)) == 1 for row in values)  # everywhere, of which the statistic is 0 / 0
    chi2 = 0.0 if is_tied else float(friedmanchisquare(*zip(*values, strict=True)).statistic)
    rest = n * (k - 1) - chi2
    statistic = (n - 1) * chi2 / rest if rest > 1e-9 else math.inf
    p_value = float(f.sf(statistic, k - 1, (k - 1) * (n - 1)))
    q = float(studentized_range.ppf(1 - ALPHA, k, math.inf)) / math.sqrt(2)
    everybody = dict.fromkeys(method for column in columns.values() for method in column)
    return Ranks(
        ipc,
        protocol,
        protocol_hash,
        network,
        datasets,
        tuple(sorted(means.items(), key=lambda item: (item[1], item[0]))),
        p_value,
        q * math.sqrt(k * (k + 1) / (6 * n)),
        tuple(method for method in everybody if method not in means),
    )


def _complete(columns: dict[str, dict[str, float]]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return methods and data sets such that every method has every data set."""
    having = Counter(method for column in columns.values() for method in column)
    methods = [method for method in having if having[method] >= LEAST_DATASETS]
    while methods:
        datasets = tuple(dataset for dataset, column in columns.items() if all(m in column for m in methods))
        if len(datasets) >= LEAST_DATASETS:
            return tuple(methods), datasets
        methods.remove(min(reversed(methods), key=having.__getitem__))
    return (), ()
