"""Claims as a report shows them: those with a verdict first, each with what it names of the page's choices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ddbench.claims.judging import NOT_MEASURED, ORDER
from ddbench.report.summary import names_in

if TYPE_CHECKING:
    from ddbench.claims import Verdict


@dataclass(frozen=True)
class ShownClaim:
    """A judged claim, and the data sets, protocols and networks of the page that it names, a line each, by kind."""

    verdict: Verdict
    named: Mapping[str, str]


@dataclass(frozen=True)
class ShownClaims:
    """All claims of a page: with a verdict, not measured, and how many there are of each verdict."""

    judged: tuple[ShownClaim, ...]
    unmeasured: tuple[ShownClaim, ...]
    counts: tuple[tuple[str, int], ...]


def show_claims(verdicts: Sequence[Verdict], choices: Mapping[str, Sequence[str]]) -> ShownClaims:
    """Return claims in the order of their verdicts; `choices` are the names that a page can be filtered by, by kind."""
    shown = []
    for claim in sorted(verdicts, key=lambda claim: ORDER.index(claim.verdict)):
        text = f"{claim.sentence} {claim.moved}"
        shown.append(ShownClaim(claim, {kind: "\n".join(names_in(text, names)) for kind, names in choices.items()}))
    words = [claim.verdict for claim in verdicts]
    return ShownClaims(
        tuple(claim for claim in shown if claim.verdict.verdict != NOT_MEASURED),
        tuple(claim for claim in shown if claim.verdict.verdict == NOT_MEASURED),
        tuple((word, words.count(word)) for word in ORDER if word in words),
    )
