"""Footnotes of a comparison table: how to read it, what went wrong, what was left out, who published what."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from ddbench.analysis.aggregate import GAP, Entry, settings_of, varying_keys
from ddbench.records import Result
from ddbench.tables.layout import (
    ALTERED,
    DISAGREEING,
    PLUS_MINUS,
    UNVERIFIED,
    Citations,
    ipc_name,
    row_text,
    status_words,
)


def explain(
    entries: Sequence[Entry], duplicates: Sequence[Sequence[Result]], citations: Citations | None, *, has_gap: bool
) -> tuple[str, ...]:
    """Return the notes of one panel, one line each.

    Args:
        entries: of the panel, in its order.
        duplicates: groups of results that measure the same, the kept one first.
        citations: the published entries the table shows; None where none were asked for.
        has_gap: whether the pivot has an entry that was not run.
    """
    notes = [
        *_reading_notes(entries, has_gap=has_gap),
        *_problem_notes(entries),
        *_altered_notes(entries, duplicates),
        *_duplicate_notes(duplicates),
        *_config_notes(entries),
        *_set_notes(entries),
        *_sharing_notes(entries),
        *_basis_notes(entries),
        *_cost_notes(entries),
        *(_published_notes(citations) if citations else ()),
    ]
    return tuple(" ".join(note.split()) for note in notes)


def _reading_notes(entries: Sequence[Entry], *, has_gap: bool) -> list[str]:
    notes = []
    spreads = [entry.accuracy for entry in entries if entry.accuracy]
    if any(spread.seeds > 1 for spread in spreads):
        notes.append(
            f"Students of one distilled set are averaged first; {PLUS_MINUS} is the sample standard deviation over "
            "distillation seeds."
        )
    if any(spread.seeds == 1 for spread in spreads):
        notes.append(f"One distillation seed gives no spread, so there is no {PLUS_MINUS}.")
    groups: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.accuracy:
            groups[entry.accuracy.counts].append(entry)
    usual = max(groups, key=lambda counts: len(groups[counts]), default="")
    notes += [f"{counts}: {_list_entries(found)}." for counts, found in groups.items() if counts != usual]
    if has_gap:
        notes.append(f"{GAP}: not run, or not recorded.")
    return notes


def _problem_notes(entries: Sequence[Entry]) -> list[str]:
    notes = []
    for entry in entries:
        reasons: dict[tuple[str, str], list[Result]] = defaultdict(list)
        for result in entry.not_ok:
            reasons[result.status, result.reason].append(result)
        for (_, reason), found in reasons.items():
            notes.append(f"{entry.name}: {status_words(found)}, {_join_seeds(found)}: {reason or 'no reason recorded'}")
    return notes


def _altered_notes(entries: Sequence[Entry], duplicates: Sequence[Sequence[Result]]) -> list[str]:
    """Say which results are not as they were written, the copies that are not shown among them."""
    copies = [other for _, *left in duplicates for other in left]
    altered = [result for entry in entries for result in entry.results if result.is_altered]
    altered += [result for result in copies if result.is_altered]
    reasons = {
        "altered": "was changed after it was written, its digest differs",
        "misplaced": "stood in the folder of another cell",
    }
    return [
        f"{ALTERED.capitalize()}: the result of {result.method}, {ipc_name(result.ipc)}, seed {result.distill_seed} "
        f"{reasons[result.standing]}; what it holds is not evidence and counts in no claim."
        for result in altered
    ]


def count_older(results: Iterable[Result]) -> str:
    """Return the note of results from before there were digests; empty where there are none."""
    count = sum(result.standing == "older" for result in results)
    what = "1 result was" if count == 1 else f"{count} results were"
    return f"{what} recorded before results carried a digest." if count else ""


def _duplicate_notes(duplicates: Sequence[Sequence[Result]]) -> list[str]:
    notes = []
    for kept, *left in duplicates:
        place = "full" if kept.ipc is None else f"IPC {kept.ipc}"
        notes.append(
            f"Duplicate: {kept.method}, {place}, seed {kept.distill_seed} was found {len(left) + 1} times; shown is "
            f"{_outcome(kept)}, left out {'; '.join(_outcome(other) for other in left)}."
        )
    return notes


def _config_notes(entries: Sequence[Entry]) -> list[str]:
    notes = []
    methods: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        if not entry.config:
            methods[entry.method].append(entry)
    for method, found in methods.items():
        for key in varying_keys(settings_of(result) for entry in found for result in entry.results):
            values: dict[str, list[Entry]] = defaultdict(list)
            for entry in found:
                values[str(entry.results[0].config.get(key, GAP))].append(entry)
            places = "; ".join(f"{value} at {_list_ipcs(places)}" for value, places in values.items())
            notes.append(f"{method}: config {key} is {places}.")
    return notes


def _set_notes(entries: Sequence[Entry]) -> list[str]:
    """Say of sets with classes of different size how far these go, and of images that hold several how many."""
    notes = []
    for entry in entries:
        sizes = sorted({result.class_sizes for result in entry.ok if result.class_sizes})
        if sizes:
            fewest, most = min(low for low, _ in sizes), max(high for _, high in sizes)
            notes.append(f"{entry.name}: uneven, {fewest} to {most} images a class; the IPC is their mean, rounded up.")
        factors = sorted({result.decode_factor for result in entry.ok if result.decode_factor > 1})
        if factors:
            parts = " or ".join(str(factor**2) for factor in factors)
            notes.append(f"{entry.name}: each stored image holds {parts}, which students see enlarged.")
    return notes


def _sharing_notes(entries: Sequence[Entry]) -> list[str]:
    shared = dict.fromkeys(
        entry.method for entry in entries if any(r.share_prepare and r.phase("prepare") for r in entry.results)
    )
    notes = [
        f"{method}: all seeds share one preparation (share_prepare), so {PLUS_MINUS} does not include its variation."
        for method in shared
    ]
    founded = dict.fromkeys((entry.method, r.foundation) for entry in entries for r in entry.ok if r.foundation)
    notes += [
        f"{method}: all seeds share one {foundation}. {PLUS_MINUS} does not include its variation; the cost of each "
        "set includes all of it."
        for method, foundation in founded
    ]
    reused = dict.fromkeys(
        f"{entry.method} ({phase.name})" for entry in entries for r in entry.ok for phase in r.phases if phase.cached
    )
    if reused:
        notes.append(f"Reused from an earlier run; the time shown is that run's: {', '.join(reused)}.")
    return notes


def _basis_notes(entries: Sequence[Entry]) -> list[str]:
    """Say which metrics were measured on several bases, such as feature extractors trained on two machines."""
    bases: dict[str, set[str]] = defaultdict(set)
    for metric in (metric for entry in entries for result in entry.ok for metric in result.metrics):
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


def _cost_notes(entries: Sequence[Entry]) -> list[str]:
    results = [result for entry in entries for result in entry.ok if result.phases]
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
    entries = [found[0] for found in citations.shown.values()]
    if any(entry.protocol != citations.protocol for entry in entries):
        notes.append(
            f"A protocol in brackets: published under that protocol, not under {citations.protocol}; not comparable."
        )
    if not all(entry.is_verified for entry in entries):
        notes.append(f"{UNVERIFIED} unverified: recalled from memory, not read in the source.")
    for (method, ipc), found in citations.shown.items():
        if found[0].disagreeing:
            others = "; ".join(f"{n.value} ({n.kind}: {n.source})" for n in found[0].disagreeing)
            notes.append(
                f"{DISAGREEING} {method}, {ipc_name(ipc)}: sources disagree; shown {found[0].shown.value} "
                f"({found[0].shown.kind}), also published {others}."
            )
    notes += [
        f"{caveat[0].upper()}{caveat[1:]}." for caveat in dict.fromkeys(c for n in entries for c in n.shown.caveats)
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


def _list_entries(entries: Iterable[Entry]) -> str:
    methods: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        methods[row_text(entry.row)].append(entry)
    return "; ".join(f"{name} {_list_ipcs(found)}" for name, found in methods.items())


def _list_ipcs(entries: Iterable[Entry]) -> str:
    ipcs = [entry.ipc for entry in entries]
    numbers = ", ".join(str(ipc) for ipc in ipcs if ipc is not None)
    return ", ".join(filter(None, (f"IPC {numbers}" if numbers else "", "full" if None in ipcs else "")))
