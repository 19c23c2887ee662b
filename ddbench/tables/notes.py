"""Footnotes of a comparison table: how to read it, what went wrong, what was left out, who published what."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from ddbench.analysis.aggregate import GAP, Cell, varying_keys
from ddbench.records import Result
from ddbench.tables.layout import DISAGREEING, PLUS_MINUS, UNVERIFIED, Citations, ipc_name, status_words


def explain(
    cells: Sequence[Cell], duplicates: Sequence[Sequence[Result]], citations: Citations | None, *, has_gap: bool
) -> tuple[str, ...]:
    """Return the notes of one block, one line each.

    Args:
        cells: of the block, in its order.
        duplicates: groups of results that measure the same, the kept one first.
        citations: the published entries the table shows; None where none were asked for.
        has_gap: whether the pivot has a cell that was not run.
    """
    notes = [
        *_reading_notes(cells, has_gap=has_gap),
        *_problem_notes(cells),
        *_duplicate_notes(duplicates),
        *_config_notes(cells),
        *_sharing_notes(cells),
        *_basis_notes(cells),
        *_cost_notes(cells),
        *(_published_notes(citations) if citations else ()),
    ]
    return tuple(" ".join(note.split()) for note in notes)


def _reading_notes(cells: Sequence[Cell], *, has_gap: bool) -> list[str]:
    notes = []
    spreads = [cell.accuracy for cell in cells if cell.accuracy]
    if any(spread.seeds > 1 for spread in spreads):
        notes.append(
            f"Students of one distilled set are averaged first; {PLUS_MINUS} is the sample standard deviation over "
            "distillation seeds."
        )
    if any(spread.seeds == 1 for spread in spreads):
        notes.append(f"One distillation seed gives no spread, so there is no {PLUS_MINUS}.")
    groups: dict[str, list[Cell]] = defaultdict(list)
    for cell in cells:
        if cell.accuracy:
            groups[cell.accuracy.counts].append(cell)
    usual = max(groups, key=lambda counts: len(groups[counts]), default="")
    notes += [f"{counts}: {_list_cells(found)}." for counts, found in groups.items() if counts != usual]
    if has_gap:
        notes.append(f"{GAP}: not run, or nothing known.")
    return notes


def _problem_notes(cells: Sequence[Cell]) -> list[str]:
    notes = []
    for cell in cells:
        reasons: dict[tuple[str, str], list[Result]] = defaultdict(list)
        for result in cell.not_ok:
            reasons[result.status, result.reason].append(result)
        for (_, reason), found in reasons.items():
            notes.append(f"{cell.name}: {status_words(found)}, {_join_seeds(found)}: {reason or 'no reason recorded'}")
    return notes


def _duplicate_notes(duplicates: Sequence[Sequence[Result]]) -> list[str]:
    notes = []
    for kept, *left in duplicates:
        place = "full" if kept.ipc is None else f"IPC {kept.ipc}"
        notes.append(
            f"Duplicate: {kept.method}, {place}, seed {kept.distill_seed} was found {len(left) + 1} times; shown is "
            f"{_outcome(kept)}, left out {'; '.join(_outcome(other) for other in left)}."
        )
    return notes


def _config_notes(cells: Sequence[Cell]) -> list[str]:
    notes = []
    methods: dict[str, list[Cell]] = defaultdict(list)
    for cell in cells:
        if not cell.config:
            methods[cell.method].append(cell)
    for method, found in methods.items():
        for key in varying_keys(result.config for cell in found for result in cell.results):
            values: dict[str, list[Cell]] = defaultdict(list)
            for cell in found:
                values[str(cell.results[0].config.get(key, GAP))].append(cell)
            places = "; ".join(f"{value} at {_list_ipcs(places)}" for value, places in values.items())
            notes.append(f"{method}: config {key} is {places}.")
    return notes


def _sharing_notes(cells: Sequence[Cell]) -> list[str]:
    shared = dict.fromkeys(
        cell.method for cell in cells if any(r.share_prepare and r.phase("prepare") for r in cell.results)
    )
    notes = [
        f"{method}: share_prepare, one preparation serves all seeds; the spread leaves it out." for method in shared
    ]
    founded = dict.fromkeys((cell.method, r.foundation) for cell in cells for r in cell.ok if r.foundation)
    notes += [
        f"{method}: one {foundation} serves all seeds; the spread leaves it out, the cost of each set counts it whole."
        for method, foundation in founded
    ]
    reused = dict.fromkeys(
        f"{cell.method} ({phase.name})" for cell in cells for r in cell.ok for phase in r.phases if phase.cached
    )
    if reused:
        notes.append(f"Measured once and reused, shown at what it cost then: {', '.join(reused)}.")
    return notes


def _basis_notes(cells: Sequence[Cell]) -> list[str]:
    """Say which metrics were measured on several bases, such as feature extractors trained on two machines."""
    bases: dict[str, set[str]] = defaultdict(set)
    for metric in (metric for cell in cells for result in cell.ok for metric in result.metrics):
        if metric.basis:
            bases[metric.name].add(metric.basis)
    several: dict[str, list[str]] = defaultdict(list)
    for name, found in bases.items():
        if len(found) > 1:
            several[", ".join(sorted(found))].append(name)
    return [
        f"{', '.join(names)}: measured on several bases ({found}), whose values compare only roughly."
        for found, names in several.items()
    ]


def _cost_notes(cells: Sequence[Cell]) -> list[str]:
    results = [result for cell in cells for result in cell.ok if result.phases]
    if not results:
        return []
    sources = Counter(phase.reading.host_source for result in results for phase in result.phases)
    hosts = ", ".join(source for source, _ in sources.most_common() if source)
    notes = [
        "Costs are medians over results; evaluate covers all students of a distilled set. Peaks are the larger of "
        "prepare and distill" + (f"; host memory is the {hosts}." if hosts else ".")
    ]
    if any(phase.reading.peak_allocated_bytes is not None for result in results for phase in result.phases):
        notes.append("GPU memory is torch's own; what other libraries take outside its allocator is not seen.")
    return notes


def _published_notes(citations: Citations) -> list[str]:
    if not citations.shown:
        return ["No published number is known for these methods on this data set and network."]
    notes = ["Published: percent, as the source prints it; never averaged over sources."]
    cells = [found[0] for found in citations.shown.values()]
    if any(cell.protocol != citations.protocol for cell in cells):
        notes.append(
            f"A protocol in brackets: published under that protocol, not under {citations.protocol}; not comparable."
        )
    if not all(cell.is_verified for cell in cells):
        notes.append(f"{UNVERIFIED} unverified: recalled from memory, not read in the source.")
    for (method, ipc), found in citations.shown.items():
        if found[0].disagreeing:
            others = "; ".join(f"{n.value} ({n.kind}: {n.source})" for n in found[0].disagreeing)
            notes.append(
                f"{DISAGREEING} {method}, {ipc_name(ipc)}: sources disagree; shown {found[0].shown.value} "
                f"({found[0].shown.kind}), also published {others}."
            )
    notes += [
        f"{caveat[0].upper()}{caveat[1:]}." for caveat in dict.fromkeys(c for n in cells for c in n.shown.caveats)
    ]
    return notes + [f"[{number}] {source}" for source, number in citations.sources.items()]


def _join_seeds(results: Iterable[Result]) -> str:
    """Return the distillation seeds of results in words: `seed 0`, `seeds 0, 2`."""
    seeds = sorted({result.distill_seed for result in results})
    return f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))}"


def _outcome(result: Result) -> str:
    metric = result.metric("test_accuracy")
    value = f"{100 * metric.mean:.1f} %" if metric and metric.values else result.status.replace("_", " ")
    return f"{value} (started {result.started_at or 'at an unknown time'})"


def _list_cells(cells: Iterable[Cell]) -> str:
    methods: dict[str, list[Cell]] = defaultdict(list)
    for cell in cells:
        methods[" ".join(filter(None, cell.row))].append(cell)
    return "; ".join(f"{name} {_list_ipcs(found)}" for name, found in methods.items())


def _list_ipcs(cells: Iterable[Cell]) -> str:
    ipcs = [cell.ipc for cell in cells]
    numbers = ", ".join(str(ipc) for ipc in ipcs if ipc is not None)
    return ", ".join(filter(None, (f"IPC {numbers}" if numbers else "", "full" if None in ipcs else "")))
