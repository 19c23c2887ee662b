"""What a comparison table shows, as text: the accuracy pivot, the costs, further metrics."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from functools import cached_property
from string import ascii_uppercase

import pandas as pd

from ddbench.analysis.aggregate import GAP, Entry, Spread, costs_of, machine_label
from ddbench.analysis.published import PublishedEntry, PublishedNumber
from ddbench.analysis.regime_gains import is_of_regimes
from ddbench.records import Result, TeacherRecord
from ddbench.tables.busy_costs import SHOWN_PHASES, seconds_texts
from ddbench.tables.quantities import bytes_text, gpu_text

Published = Mapping[tuple[str, int | None], tuple[PublishedEntry, ...]]

PLUS_MINUS = "\N{PLUS-MINUS SIGN}"
UNVERIFIED = "\N{DAGGER}"
DISAGREEING = "\N{DOUBLE DAGGER}"
ALTERED = "altered"
ROW_NAMES = ("method", "config", "protocol hash")
SETTINGS = "settings differ"
PROTOCOLS_LR = "protocol's"  # students' rate where the distilled set has not learned one


class Citations:
    """Numbers the sources of published values in the order in which a table first shows them."""

    def __init__(self, protocol: str) -> None:
        self.protocol = protocol
        self.sources: dict[str, int] = {}
        self.shown: dict[tuple[str, int | None], tuple[PublishedEntry, ...]] = {}

    def cite(self, method: str, ipc: int | None, found: tuple[PublishedEntry, ...]) -> str:
        """Return the text of what is published: value, marks, protocol where it is another one, source number."""
        if not found:
            return ""
        self.shown[method, ipc] = found
        entry = found[0]
        marks = ("" if entry.is_verified else UNVERIFIED) + (DISAGREEING if entry.disagreeing else "")
        protocol = "" if entry.protocol == self.protocol else f" ({entry.protocol})"
        return f"{published_text(entry.shown)}{marks}{protocol} [{self.number_of(entry.shown.source)}]"

    def number_of(self, source: str) -> int:
        """Return the number of a source, the next one where it has none yet."""
        return self.sources.setdefault(source, len(self.sources) + 1)


def published_text(number: PublishedNumber) -> str:
    """Return a published number as its source prints it, with its spread where there is one."""
    return f"{number.value}" + ("" if number.std is None else f" {PLUS_MINUS} {number.std}")


def accuracy_frame(
    entries: Sequence[Entry], published: Published, citations: Citations, cut: Container[int] = ()
) -> pd.DataFrame:
    """Return methods by IPC as text; a published column stands right of each IPC for which anything is published.

    `cut` are the `id` of entries that are not at published settings: nothing published stands beside them.
    """
    rows = group_rows(entries)
    ipcs = sorted({entry.ipc for entry in entries}, key=lambda ipc: (ipc is None, ipc or 0))
    traits = {row: row_traits(found) for row, found in rows.items()}
    told_apart = differing(list(traits.values()))
    methods = {row[0] for row in rows}
    published_at = {ipc for (method, ipc), found in published.items() if found and method in methods}
    frame = []
    for row, found in rows.items():
        record = {**row_names(row, rows), **{key: traits[row][key] for key in told_apart}}
        by_ipc = {entry.ipc: entry for entry in found}
        for ipc in ipcs:
            # A method that compresses has no entry for the whole set, and the whole set has no IPC: not a gap.
            applies = any((entry.ipc is None) == (ipc is None) for entry in found)
            record[ipc_name(ipc)] = entry_text(by_ipc[ipc]) if ipc in by_ipc else GAP if applies else ""
            if ipc in published_at:
                is_cut = ipc in by_ipc and id(by_ipc[ipc]) in cut
                cited = SETTINGS if is_cut else citations.cite(row[0], ipc, published.get((row[0], ipc), ()))
                record[f"{ipc_name(ipc)} published"] = cited or (GAP if applies else "")
        frame.append(record)
    return pd.DataFrame(frame)


def cost_frame(entries: Sequence[Entry], *, busy_costs: bool = False) -> pd.DataFrame:
    """Return one row per entry and machine: median seconds of each phase, peak memory, bytes of set and teacher.

    A phase, a teacher or a GPU that no entry has is left out. Machines have the letters of `name_machines` where there
    are several.
    Seconds that were measured on a busy machine count with `busy_costs`, or where there are no others, and are marked.
    """
    rows = group_rows(entries)
    machines = name_machines(entries)
    ran = {phase.name for entry in entries for result in entry.ok for phase in result.phases}
    phases = [phase for phase in SHOWN_PHASES if phase in ran]
    has_teacher = any(result.teacher for entry in entries for result in entry.ok)
    has_gpu = any(result.machine.get("gpu") for entry in entries for result in entry.ok)
    frame = []
    for entry in entries:
        for machine, results in entry.by_machine().items():
            costs = costs_of(results)
            seconds = seconds_texts(results, phases, busy_costs=busy_costs)
            on_gpu = any(result.machine.get("gpu") for result in results)
            frame.append(
                {
                    **row_names(entry.row, rows),
                    "IPC": " ".join(filter(None, (_ipc_text(entry), altered_words(entry)))),
                    **({"machine": machines[machine]} if len(machines) > 1 else {}),
                    **{f"{phase} (s)": text for phase, text in seconds.items()},
                    **(_gpu_texts(costs, on_gpu=on_gpu) if has_gpu else {}),
                    "host memory": bytes_text(costs["making_peak_host_bytes"]),
                    "set size": bytes_text(costs["distilled_bytes"]),
                    **({"teacher size": bytes_text(costs["teacher_bytes"])} if has_teacher else {}),
                }
            )
    return pd.DataFrame(frame)


def _ipc_text(entry: Entry) -> str:
    return "full" if entry.ipc is None else str(entry.ipc)


def _gpu_texts(costs: Mapping[str, float | None], *, on_gpu: bool) -> dict[str, str]:
    kinds = ("allocated", "reserved")
    return {f"GPU {kind}": gpu_text(costs[f"making_peak_{kind}_bytes"], on_gpu=on_gpu) for kind in kinds}


def teacher_lines(entries: Iterable[Entry]) -> list[str]:
    """Return one line per teacher that gave soft labels: what it is, how good, how large, and whose students it had."""
    users: dict[TeacherRecord, dict[str, None]] = {}
    for entry in entries:
        for result in entry.ok:
            if result.teacher is not None:
                users.setdefault(result.teacher, {})[entry.method] = None
    return [
        f"soft labels by {teacher.network}, {_origin_words(teacher)}: "
        f"{100 * teacher.test_accuracy:.1f} % on the test set, {bytes_text(teacher.num_bytes)}, "
        f"sha256 {teacher.sha256[:12]}" + (f" ({', '.join(methods)})" if len(users) > 1 else "")
        for teacher, methods in users.items()
    ]


def _origin_words(teacher: TeacherRecord) -> str:
    """Return in words where a teacher comes from."""
    words = {"trained": "trained here", "file": "from a file", "several": "their logits averaged"}
    return words.get(teacher.origin, f"with weights {teacher.weights}")


def name_machines(entries: Iterable[Entry]) -> dict[str, str]:
    """Return a letter, or a number beyond 26, for each machine that any entry ran on, failed ones included."""
    labels = dict.fromkeys(machine_label(result.machine) for entry in entries for result in entry.results)
    return {label: ascii_uppercase[i] if i < len(ascii_uppercase) else str(i + 1) for i, label in enumerate(labels)}


def other_frame(entries: Sequence[Entry]) -> pd.DataFrame:
    """Return metrics beside accuracy and cost by IPC, as text: one row per metric and method; empty without any."""
    rows = group_rows(entries)
    ipcs = sorted({entry.ipc for entry in entries}, key=lambda ipc: (ipc is None, ipc or 0))
    units = {metric.name: metric.unit for entry in entries for result in entry.ok for metric in result.metrics}
    # A small set may lack some: the entry that has most of them gives the order.
    fullest = sorted(entries, key=lambda entry: -len(entry.other_metrics))
    frame = []
    for name in dict.fromkeys(name for entry in fullest for name in entry.other_metrics):
        unit = "%" if units[name] == "fraction" else units[name]
        if is_of_regimes(name):  # which have a table of their own
            continue
        for row, found in rows.items():
            texts = {entry.ipc: spread_text(entry.spread(name), 1 if unit == "%" else 3) for entry in found}
            if any(text != GAP for text in texts.values()):
                by_ipc = {ipc_name(ipc): texts.get(ipc, "") for ipc in ipcs}
                frame.append({"metric": f"{name} ({unit})", **row_names(row, rows), **by_ipc})
    return pd.DataFrame(frame)


class Rows(dict[tuple[str, str, str], list[Entry]]):
    """The entries of each row of a table, in its order."""

    @cached_property
    def headings(self) -> tuple[str, ...]:
        """What names a row: its method, and its config and protocol hash where any row has one."""
        shown = (True, any(row[1] for row in self), any(row[2] for row in self))
        return tuple(heading if is_shown else "" for heading, is_shown in zip(ROW_NAMES, shown, strict=True))


def group_rows(entries: Iterable[Entry]) -> Rows:
    """Return the entries of each row, rows in the table's order."""
    rows = Rows()
    for entry in entries:
        rows.setdefault(entry.row, []).append(entry)
    return rows


def row_text(row: tuple[str, str, str]) -> str:
    """Return what a row is called where all that makes it stands in one text, as in a legend."""
    return " ".join(filter(None, row))


def row_names(row: tuple[str, str, str], rows: Rows) -> dict[str, str]:
    """Return what names a row, by the headings of its table."""
    return {heading: text or GAP for heading, text in zip(rows.headings, row, strict=True) if heading}


def row_traits(entries: Iterable[Entry]) -> dict[str, str]:
    """Return what belongs to the distilled sets of a row: their space, labels and learned student rate.

    Labels are those that students were trained on: a protocol's `teacher` replaces a set's own.
    """
    results = [result for entry in entries for result in entry.ok]
    rates = sorted({result.student_lr for result in results if result.student_lr is not None})
    texts = list(dict.fromkeys(f"{rate:.3g}" for rate in rates))
    rate = ", ".join(texts) if len(texts) < 3 else f"{texts[0]} to {texts[-1]}"
    return {
        "space": _joined(result.space for result in results) or GAP,
        "labels": _joined("teacher" if result.teacher else result.label_mode for result in results) or GAP,
        "student lr": rate or (PROTOCOLS_LR if results else GAP),
    }


def differing(traits: Sequence[Mapping[str, str]]) -> list[str]:
    """Return the traits that rows with results do not share."""
    return [key for key in ("space", "labels", "student lr") if len({t[key] for t in traits} - {GAP}) > 1]


def entry_text(entry: Entry) -> str:
    """Return an entry of the pivot: the accuracy, what went wrong, or both."""
    problems = status_words(entry.not_ok)
    accuracy = entry.accuracy
    if accuracy is None:
        return " ".join(filter(None, (problems or "no accuracy", altered_words(entry))))
    text = spread_text(accuracy)
    failed = f"({len(entry.not_ok)} of {len(entry.results)} {problems})" if problems else ""
    return " ".join(filter(None, (text, failed, altered_words(entry))))


def altered_words(entry: Entry) -> str:
    """Return the mark of an entry that holds altered results, in brackets; empty for the rest."""
    altered = sum(result.is_altered for result in entry.results)
    if not altered:
        return ""
    return f"({ALTERED})" if altered == len(entry.results) else f"({altered} of {len(entry.results)} {ALTERED})"


def status_words(results: Iterable[Result]) -> str:
    """Return the statuses of results in words, each once."""
    return _joined(result.status.replace("_", " ") for result in results)


def spread_text(spread: Spread | None, decimals: int = 1) -> str:
    """Return `mean ± std`, or the mean alone where one seed gives no spread."""
    if spread is None:
        return GAP
    text = f"{spread.mean:.{decimals}f}"
    return text if spread.std is None else f"{text} {PLUS_MINUS} {spread.std:.{decimals}f}"


def ipc_name(ipc: int | None) -> str:
    """Return the heading of an IPC column."""
    return "full" if ipc is None else f"IPC {ipc}"


def _joined(words: Iterable[str]) -> str:
    return ", ".join(word for word in dict.fromkeys(words) if word)
