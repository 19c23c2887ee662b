"""Seconds in a table that were measured on a busy machine: marked where there are no others, named in notes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from statistics import median

from ddbench.analysis.aggregate import Entry
from ddbench.records import BUSY_SHARE, Reading, Result
from ddbench.tables.quantities import seconds_text

BUSY = "(busy)"
SHOWN_PHASES = ("prepare", "distill", "teacher", "evaluate")
# Results of one entry do the same work: beyond this factor, and from so many seconds, the difference is not its own.
LARGEST_FACTOR, SHORTEST_SECONDS = 2.0, 1.0
MOST_NAMED = 10


def seconds_texts(results: Sequence[Result], phases: Iterable[str], *, busy_costs: bool) -> dict[str, str]:
    """Return the median seconds of each phase as text; marked where measurements on a busy machine are in it.

    They are where there are no others, or where `busy_costs` asks for them.
    """
    texts = {}
    for phase in phases:
        every = _readings(results, phase)
        counted = [reading.seconds for reading in every if busy_costs or not reading.is_busy]
        is_marked = any(reading.is_busy for reading in every) and (busy_costs or not counted)
        seconds = [reading.seconds for reading in every] if is_marked else counted
        text = seconds_text(median(seconds) if seconds else None)
        texts[phase] = f"{text} {BUSY}" if is_marked else text
    return texts


def reading_text(reading: Reading) -> str:
    """Return the seconds of one measurement as text, marked where the machine was busy."""
    return f"{seconds_text(reading.seconds)} {BUSY}" if reading.is_busy else seconds_text(reading.seconds)


def count_busy(results: Iterable[Result]) -> int:
    """Return how many results have a phase that was measured on a busy machine."""
    return sum(any(phase.reading.is_busy for phase in result.phases) for result in results)


def busy_notes(entries: Sequence[Entry], *, busy_costs: bool) -> list[str]:
    """Say which seconds were measured on a busy machine, and which differ too much to be those of the work alone."""
    marked, left_out, apart = [], [], []
    for entry in entries:
        for phase in SHOWN_PHASES:
            readings = _readings(entry.ok, phase)
            busy = sum(reading.is_busy for reading in readings)
            some = f"{entry.name} ({phase}, {busy} of {len(readings)} results)"
            if busy == len(readings) > 0 or (busy and busy_costs):
                marked.append(f"{entry.name} ({phase})" if busy == len(readings) else some)
            elif busy:
                left_out.append(some)
        apart += [f"{entry.name} ({words})" for words in _far_apart(entry, busy_costs=busy_costs)]
    counting = "Such seconds count here" if busy_costs else "No comparison, plot or claim of costs counts such seconds"
    notes = []
    if marked or left_out:
        notes.append(
            f"Measured on a busy machine: at least {100 * BUSY_SHARE:.0f} % of the time was lost waiting for a "
            f"processor. {counting}."
        )
    if marked:
        what = "a median that counts them" if busy_costs else "nothing else was measured"
        notes.append(f"{BUSY}: {what}: {_listed(marked)}.")
    if left_out:
        notes.append(f"Left out of the median, measured on a busy machine: {_listed(left_out)}.")
    if apart:
        notes.append(
            f"Processor seconds of results of one entry differ by more than {LARGEST_FACTOR:g} times, so their median "
            f"is not a reliable measure: {_listed(apart)}."
        )
    return notes


def _far_apart(entry: Entry, *, busy_costs: bool) -> Iterator[str]:
    """Yield, for each phase whose processor seconds differ too much on one machine, the phase and their range."""
    for results in entry.by_machine().values():
        for phase in SHOWN_PHASES:
            readings = [reading for reading in _readings(results, phase) if busy_costs or not reading.is_busy]
            found = [seconds for reading in readings if (seconds := reading.processor_seconds) is not None]
            least, most = min(found, default=0.0), max(found, default=0.0)
            if most >= SHORTEST_SECONDS and most > LARGEST_FACTOR * least:
                yield f"{phase}, {seconds_text(least)} to {seconds_text(most)} s"


def _readings(results: Iterable[Result], phase: str) -> list[Reading]:
    return [found.reading for result in results for found in result.phases if found.name == phase]


def _listed(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMED
    return "; ".join(names[:MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")
