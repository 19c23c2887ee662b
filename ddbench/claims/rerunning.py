"""A suspected regression is confirmed by one rerun before it fails: entries of refuted claims, with fresh seeds.

A claim that was refuted is judged again on the rerun alone. Both looks must refute it, so that a false alarm takes two
independent accidents; the rerun's verdict is the one that counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from ddbench.claims.evidence import pick
from ddbench.claims.file import ClaimsFile
from ddbench.claims.judging import Verdict, judge
from ddbench.claims.kinds import ClaimedEntry, SpeedClaim, is_cost
from ddbench.claims.sources import Sources
from ddbench.errors import BadInputError
from ddbench.protocol import PROTOCOLS
from ddbench.records import Result
from ddbench.runs.suite import Suite, SuiteMethod


def suites_to_rerun(file: ClaimsFile, verdicts: Sequence[Verdict], sources: Sources) -> list[Suite]:
    """Return the entries of refuted claims as suites, with as many fresh distillation seeds as the results had.

    Raises:
        BadInputError: a refuted claim that a rerun cannot confirm: on a saved benchmark, on a metric beside accuracy
            and costs, or on a protocol that this version of ddbench has with other content.
    """
    refuted = {verdict.id for verdict in verdicts if verdict.verdict == "refuted"}
    suites: dict[str, Suite] = {}
    for claim in (claim for claim in file.claims if claim.id in refuted):
        if isinstance(claim, SpeedClaim):
            raise BadInputError(f"claim {claim.id} is about a saved benchmark; run and save that again by hand")
        if not (is_cost(claim.metric) or claim.metric == "test_accuracy"):
            raise BadInputError(f"claim {claim.id} is about {claim.metric}; a rerun measures accuracy and costs alone")
        entries = [(entry, pick(entry, sources.results)) for entry in claim.entries]
        # The same fresh seeds for all entries of a claim, so that pairs stay pairs.
        seeds = _fresh_seeds(sources.results, max(len({r.distill_seed for r in found}) for _, found in entries))
        for entry, found in entries:
            suite = _suite(entry, found[0], seeds)
            suites[suite.model_dump_json()] = suite
    return list(suites.values())


def confirm(file: ClaimsFile, first: Sequence[Verdict], rerun: Iterable[Result]) -> list[Verdict]:
    """Return the verdicts with those of refuted claims taken from the rerun, and both looks named in `moved`."""
    again = {verdict.id: verdict for verdict in judge(file, tuple(rerun))}
    verdicts = []
    for verdict in first:
        if verdict.verdict != "refuted":
            verdicts.append(verdict)
            continue
        second = again[verdict.id]
        said = "confirmed by a rerun" if second.verdict == "refuted" else "suspected at first, not confirmed by a rerun"
        verdicts.append(replace(second, moved=f"{said}: {second.moved} (first: {verdict.moved})"))
    return verdicts


def _fresh_seeds(results: Iterable[Result], count: int) -> tuple[int, ...]:
    start = 1 + max(result.distill_seed for result in results)
    return tuple(range(start, start + count))


def _suite(entry: ClaimedEntry, result: Result, seeds: tuple[int, ...]) -> Suite:
    protocol = PROTOCOLS.get(result.protocol)
    if protocol.hash != result.protocol_hash:
        raise BadInputError(
            f"{entry.title} was measured under {result.protocol}@{result.protocol_hash}, this ddbench has "
            f"@{protocol.hash}; rerun with the version that made the results"
        )
    return Suite(
        name=f"rerun of {entry.title}",
        protocol=result.protocol,
        datasets=(result.dataset,),
        methods=(SuiteMethod(name=result.method, settings=result.config),),
        ipc=(result.ipc or 1,),
        networks=(result.network,),
        distill_seeds=seeds,
        students=result.students,
        eval_seed=result.eval_seed,
        share_prepare=result.share_prepare,
    )
