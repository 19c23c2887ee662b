"""Verdicts on a family of claims: each claim's rule, Holm's correction, and one line that says what moved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ddbench.analysis.significance import holm, smallest_p
from ddbench.claims.evidence import UnjudgedError
from ddbench.claims.file import ClaimsFile, load_claims
from ddbench.claims.kinds import AnyClaim
from ddbench.claims.rules import Finding, find
from ddbench.claims.sources import Sources
from ddbench.errors import BadInputError
from ddbench.records import Result

Word = Literal["supported", "refuted", "inconclusive", "not comparable", "not measured"]
NOT_MEASURED: Word = "not measured"
ORDER: tuple[Word, ...] = ("refuted", "inconclusive", "not comparable", "supported", NOT_MEASURED)  # as they are shown
EXIT_HOLD, EXIT_REFUTED, EXIT_OPEN = 0, 1, 3


@dataclass(frozen=True)
class Verdict:
    """What results say of one claim.

    Attributes:
        verdict: `refuted` only where the data show the contrary beyond the margin at the family's error level.
        effect: in `unit`, with its interval `low` to `high`; None where nothing could be computed.
        unit: of the effect; a multiplication sign for ratios.
        n: runs per side, or per IPC.
        p: Holm's adjusted p of the side that the verdict is on; None for an unjudged claim.
        test: name of the test.
        moved: one line that says what moved, or why there is no verdict.
    """

    id: str
    sentence: str
    verdict: Word
    moved: str
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    unit: str = ""
    n: tuple[int, ...] = ()
    p: float | None = None
    test: str = ""


def judge(
    claims: Path | str | ClaimsFile | Iterable[Path | str | ClaimsFile], results: Sources | Sequence[Result]
) -> list[Verdict]:
    """Return a verdict for every claim of one claims file or several, each file a family of its own, in their order.

    Args:
        claims: files, or what `load_claims` returned.
        results: what to judge them against; `read_sources` reads it, saved benchmarks too.

    Raises:
        BadInputError: a malformed file, results that must not be pooled, or a family in which no claim could be
            supported at the given number of runs; nothing has been judged then.
    """
    sources = results if isinstance(results, Sources) else Sources(tuple(results))
    several = [claims] if isinstance(claims, str | Path | ClaimsFile) else list(claims)
    files = [file if isinstance(file, ClaimsFile) else load_claims(file) for file in several]
    return [verdict for file in files for verdict in _judge_file(file, sources)]


def exit_code(verdicts: Iterable[Verdict]) -> int:
    """Return 0 where all claims hold, 1 where some are refuted, else 3."""
    words = {verdict.verdict for verdict in verdicts}
    if "refuted" in words:
        return EXIT_REFUTED
    return EXIT_HOLD if words <= {"supported"} else EXIT_OPEN


def _judge_file(file: ClaimsFile, sources: Sources) -> list[Verdict]:
    findings: dict[str, Finding] = {}
    unjudged: dict[str, UnjudgedError] = {}
    for claim in file.claims:
        try:
            findings[claim.id] = find(claim, sources, file.level)
        except UnjudgedError as error:
            unjudged[claim.id] = error
        except BadInputError as error:
            raise BadInputError(f"{file.path}, claim {claim.id}: {error}") from error
    to_show = [claim.id for claim in file.claims if claim.id not in findings or findings[claim.id].gate is None]
    _check_family(file, {name: findings[name] for name in to_show if name in findings}, len(to_show))
    # A claim without a verdict keeps its place in the family: leaving it out would make the others look surer.
    for_p = dict(zip(to_show, holm([_p(findings.get(name)) for name in to_show]), strict=True))
    against = [findings[claim.id].p_against if claim.id in findings else 1.0 for claim in file.claims]
    left_out = [1.0] * (file.size - len(against))
    against_p = dict(zip((claim.id for claim in file.claims), holm(against + left_out), strict=False))
    return [
        _unjudged(claim, unjudged[claim.id])
        if claim.id in unjudged
        else _verdict(claim, findings[claim.id], for_p.get(claim.id), against_p[claim.id], file)
        for claim in file.claims
    ]


def _p(finding: Finding | None) -> float:
    return 1.0 if finding is None else finding.estimate.p


def _check_family(file: ClaimsFile, shown: Mapping[str, Finding], size: int) -> None:
    """Raise BadInputError where no test of the family could ever give a p that survives the correction."""
    bounds = {name: smallest_p(f.estimate.test, f.estimate.n) for name, f in shown.items()}
    if bounds and size * min(bounds.values()) > file.level:
        name = min(bounds, key=bounds.__getitem__)
        raise BadInputError(
            f"{file.path}: no claim of the family {file.family!r} could be supported: the smallest p of a "
            f"{shown[name].estimate.test} test of n {_counts(shown[name].estimate.n)} is {bounds[name]:.2g}, times "
            f"{size} claims above {file.level:g}; use t tests, a smaller family or more seeds"
        )


def _verdict(claim: AnyClaim, found: Finding, p_for: float | None, p_against: float, file: ClaimsFile) -> Verdict:
    if found.gate is not None:
        refuted = p_against <= file.level and found.gate.is_beyond
        word: Word = "refuted" if refuted else "supported"
        p = p_against
        limit = f"limit {found.limit(file.level / file.size)}"
    else:
        shown = p_for is not None and p_for <= file.level
        word = "supported" if shown else "refuted" if p_against <= file.level else "inconclusive"
        p = p_against if word == "refuted" else p_for if p_for is not None else 1.0
        limit = ""
    e = found.estimate
    n = _counts(e.n)
    numbers = "; ".join(filter(None, (found.effect, limit, f"n {n}", e.test, f"p {p:.2g}")))
    return Verdict(
        id=claim.id,
        sentence=claim.sentence,
        verdict=word,
        moved=f"{found.words}: {numbers}",
        effect=e.effect,
        low=e.low,
        high=e.high,
        unit=found.unit.strip(),
        n=e.n,
        p=p,
        test=e.test,
    )


def _unjudged(claim: AnyClaim, error: UnjudgedError) -> Verdict:
    return Verdict(id=claim.id, sentence=claim.sentence, verdict=error.verdict, moved=str(error))


def _counts(n: tuple[int, ...]) -> str:
    return " and ".join(map(str, n))
