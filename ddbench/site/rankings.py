"""Rankings: entries of one data set, protocol, kind of labels, student network and IPC, from the highest accuracy down.

Numbers are those of `ddbench table`, which makes the panels that rankings are taken from; marks and intervals are those
of `ddbench.analysis`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ddbench.analysis.aggregate import GAP, TIMES, Entry, Spread, costs_of
from ddbench.analysis.data_identity import DataIdentity
from ddbench.analysis.marks import EntryKey, Mark, mark_entries
from ddbench.records import Result
from ddbench.report.curves import interval_of
from ddbench.tables.layout import group_rows, ipc_name, name_machines, row_traits, spread_text
from ddbench.tables.quantities import bytes_text, gpu_text, seconds_text
from ddbench.tables.table import Panel, make_table

Labels = Literal["hard", "soft"]


@dataclass(frozen=True)
class Cost:
    """What making one set took, medians over results of the machine that has most of them; None where not measured.

    Attributes:
        machine: letter of the machine in its ranking.
        seconds: to prepare and distil.
        peak_bytes: of memory while doing so, of the GPU where there is one, else of the host.
        on_gpu: which of the two it is.
    """

    machine: str
    seconds: float | None
    peak_bytes: float | None
    on_gpu: bool

    @property
    def seconds_text(self) -> str:
        """Seconds with about three digits."""
        return seconds_text(self.seconds)

    @property
    def peak_text(self) -> str:
        """Bytes in binary units, with the word GPU where they are its."""
        text = gpu_text(self.peak_bytes, on_gpu=True) if self.on_gpu else bytes_text(self.peak_bytes)
        return f"{text} GPU" if self.on_gpu and self.peak_bytes is not None else text


@dataclass(frozen=True)
class Row:
    """One entry of a ranking.

    Attributes:
        place: 1 for the highest mean; equal means share one.
        entry: the results.
        tidy: its record in `ddbench table --format json`.
        accuracy: in percent.
        interval: 95 % of the mean over distilled sets, in percent; None for a single set.
        mark: where it stands against the highest mean; None where it is alone.
        cost: of making one set; None where no result has a phase.
        published: the published number with its marks and source, as the table shows it; empty for none.
    """

    place: int
    entry: Entry
    tidy: Mapping[str, Any]
    accuracy: Spread
    interval: tuple[float, float] | None
    mark: Mark | None
    cost: Cost | None
    published: str

    @property
    def accuracy_text(self) -> str:
        """`mean ± std` as tables show it."""
        return spread_text(self.accuracy)

    @property
    def interval_text(self) -> str:
        """Both ends of the interval."""
        return GAP if self.interval is None else f"{self.interval[0]:.1f} to {self.interval[1]:.1f}"

    @property
    def counts_text(self) -> str:
        """Distilled sets times students of each."""
        return f"{self.accuracy.seeds} {TIMES} {self.accuracy.student_text}"

    @property
    def problems(self) -> str:
        """How many results of the entry have no number; empty where all have one."""
        count = len(self.entry.not_ok)
        return f"{count} of {len(self.entry.results)} without a number" if count else ""

    @property
    def verdict(self) -> str:
        """How the number compares with the published one, in words; empty where nothing is compared."""
        verdict = str(self.tidy.get("published_verdict") or "")
        return "" if verdict in self.published else verdict

    @property
    def published_number(self) -> str:
        """The published number without the number of its source."""
        return re.sub(r" \[\d+\]$", "", self.published)


@dataclass(frozen=True)
class Ranking:
    """The entries that compare with each other.

    Attributes:
        id: short name, unique in the site.
        panel: the table that it is taken from.
        dataset: name, with its fingerprint where results are of several contents.
        ipc: images per class.
        protocol: name.
        protocol_hash: of its content.
        labels: what students were trained on: `hard`, or `soft`, of the set or of the protocol's teacher.
        network: of the students.
        rows: from the highest mean down.
        whole: accuracy of the whole training set under the same protocol, in percent; None where it was not measured.
        machines: letters by machine.
    """

    id: str
    panel: Panel
    dataset: str
    ipc: int
    protocol: str
    protocol_hash: str
    labels: Labels
    network: str
    rows: tuple[Row, ...]
    whole: Spread | None
    machines: Mapping[str, str]

    @property
    def title(self) -> str:
        """What is ranked, in one line."""
        return (
            f"{self.dataset}, IPC {self.ipc}, protocol {self.protocol}@{self.protocol_hash}, {self.labels} labels, "
            f"network {self.network}"
        )

    @property
    def whole_text(self) -> str:
        """The accuracy of the whole training set, empty where it was not measured."""
        return "" if self.whole is None else spread_text(self.whole)


def panels_of(results: Sequence[Result]) -> tuple[Panel, ...]:
    """Return the panels of `ddbench table --published`, each content of a protocol as rows of its own; none of none."""
    return make_table(results, published=True, mix_protocols=True).panels if results else ()


def rankings_of(panels: Sequence[Panel]) -> tuple[Ranking, ...]:
    """Return every ranking that has an accuracy, by data set, protocol, labels, network and IPC."""
    names, published = _dataset_names(panels), [_published_texts(panel) for panel in panels]
    groups: dict[tuple[Any, ...], list[tuple[Entry, Mapping[str, Any]]]] = {}
    for index, panel in enumerate(panels):
        for entry, tidy in zip(panel.entries, panel.rows, strict=True):
            if entry.accuracy is not None and entry.ipc is not None:
                first = entry.results[0]
                place = (names[index], first.protocol, first.protocol_hash, labels_of(entry), first.network, entry.ipc)
                groups.setdefault((*place, index), []).append((entry, tidy))
    return tuple(
        _make_ranking(f"r{number}", panels[key[-1]], key, groups[key], published[key[-1]])
        for number, key in enumerate(sorted(groups))
    )


def labels_of(entry: Entry) -> Labels:
    """Return what the students of an entry were trained on; a protocol's teacher replaces labels of the set."""
    return "hard" if row_traits([entry])["labels"] == "hard" else "soft"


def _make_ranking(
    name: str,
    panel: Panel,
    key: tuple[Any, ...],
    found: Sequence[tuple[Entry, Mapping[str, Any]]],
    published: Mapping[EntryKey, str],
) -> Ranking:
    dataset, protocol, protocol_hash, labels, network, ipc, _ = key
    entries = [entry for entry, _ in found]
    marks, machines = mark_entries(entries), name_machines(entries)
    places: dict[float, int] = {}
    for place, mean in enumerate(sorted((entry.accuracy.mean for entry in entries if entry.accuracy), reverse=True), 1):
        places.setdefault(mean, place)
    rows = [
        Row(
            place=places[entry.accuracy.mean],
            entry=entry,
            tidy=tidy,
            accuracy=entry.accuracy,
            interval=interval_of(entry),
            mark=marks.get((entry.row, entry.ipc)),
            cost=_cost_of(entry, machines),
            published=published.get((entry.row, entry.ipc), ""),
        )
        for entry, tidy in found
        if entry.accuracy is not None
    ]
    return Ranking(
        id=name,
        panel=panel,
        dataset=dataset,
        ipc=ipc,
        protocol=protocol,
        protocol_hash=protocol_hash,
        labels=labels,
        network=network,
        rows=tuple(sorted(rows, key=lambda row: (row.place, row.entry.row))),
        whole=next((e.accuracy for e in panel.entries if _is_whole_beside(e, protocol_hash, labels)), None),
        machines=machines,
    )


def _is_whole_beside(entry: Entry, protocol_hash: str, labels: Labels) -> bool:
    is_whole = entry.ipc is None and entry.accuracy is not None
    return is_whole and entry.results[0].protocol_hash == protocol_hash and labels_of(entry) == labels


def _cost_of(entry: Entry, machines: Mapping[str, str]) -> Cost | None:
    for machine, results in entry.by_machine().items():
        costs = costs_of(results)
        on_gpu = any(result.machine.get("gpu") for result in results)
        peak = costs[f"making_peak_{'allocated' if on_gpu else 'host'}_bytes"]
        return Cost(machines[machine], costs["making_seconds"], peak, on_gpu)
    return None


def _published_texts(panel: Panel) -> dict[EntryKey, str]:
    """Return what the panel's table says is published, by row and IPC."""
    frame = panel.accuracy
    texts: dict[EntryKey, str] = {}
    columns = {ipc: f"{ipc_name(ipc)} published" for ipc in {entry.ipc for entry in panel.entries}}
    shown = {ipc: frame[column].tolist() for ipc, column in columns.items() if column in frame.columns}
    for position, row in enumerate(group_rows(panel.entries)):
        for ipc, column in shown.items():
            text = str(column[position])
            texts[row, ipc] = "" if text == GAP else text
    return texts


def _dataset_names(panels: Sequence[Panel]) -> list[str]:
    """Return the data set of each panel, with its fingerprint where the name has several contents."""
    data = DataIdentity(result for panel in panels for entry in panel.entries for result in entry.results)
    firsts = [panel.entries[0].results[0] for panel in panels]
    contents = [(first.dataset, data.of(first)) for first in firsts]
    several = {name for name, count in Counter(name for name, _ in set(contents)).items() if count > 1}
    return [f"{name} ({content or 'content not known'})" if name in several else name for name, content in contents]
