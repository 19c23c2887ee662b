"""Recorded baselines: repeated runs turned into claims whose limits follow from the runs' own spread.

A baseline keeps the values of its runs, not only their mean: the limit is that of the prediction interval for as many
new runs as there are, at the error level of the whole family. Fresh seeds of unchanged code then pass all claims of a
file in at least 19 of 20 cases, as far as runs are independent and near normal. A loss must also pass a margin, because
values that repeat exactly, as memory often does, would make a gate out of rounding.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import exp, log
from pathlib import Path
from typing import Any

from ddbench.analysis.aggregate import drop_duplicates
from ddbench.analysis.data_identity import DataIdentity
from ddbench.claims.evidence import UnjudgedError, values_of
from ddbench.claims.file import load_claims
from ddbench.claims.kinds import FEWEST_RECORDED
from ddbench.claims.prediction import predict
from ddbench.errors import BadInputError
from ddbench.host.files import digest_of, staged_file
from ddbench.inputs.fingerprints import is_of_content
from ddbench.records import Result
from ddbench.runs.known_settings import with_added

LEVEL = 0.05
# Losses that pass whatever the spread says: noise of these sizes comes from libraries, not from this code.
ACCURACY_MARGIN, SECONDS_LIMIT, BYTES_LIMIT = 1.0, 1.25, 1.10
# A gate that closes only beyond these would hold nothing: the entry is left out, and that is said.
WIDEST_ACCURACY, WIDEST_SECONDS, WIDEST_BYTES = 3.0, 1.5, 1.3
SHORTEST_SECONDS = 0.5  # a shorter phase measures the operating system

Value = str | int | float | bool | list[Any] | dict[str, Any]


@dataclass(frozen=True)
class Recording:
    """A claims file in the making, and in words what could not become a claim."""

    text: str
    count: int
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class _Draft:
    """A claim before the size of its family, and with it its limit, is known."""

    claim: dict[str, Any]
    title: str
    values: list[float]
    sign: float
    margin: float
    widest: float


def record(results: Sequence[Result], family: str) -> Recording:
    """Return the claims file that says of every entry of some results what its runs gave.

    Args:
        results: repeated runs, three distillation seeds or more of an entry.
        family: name of the family.

    Raises:
        BadInputError: no entry has runs enough, or none a spread small enough.
    """
    finished, _ = drop_duplicates([r for r in results if r.status == "ok" and not r.is_altered])
    drafts: list[_Draft] = []
    left_out: list[str] = []
    entries = _entries(finished)
    for name, runs in zip(_names(entries), entries, strict=True):
        if len({result.distill_seed for result in runs}) < FEWEST_RECORDED:
            left_out.append(f"{runs[0].title}: fewer than {FEWEST_RECORDED} runs")
            continue
        drafts += _drafts(name, runs)
    kept = [draft for draft in drafts if _closes(draft, len(drafts))]
    left_out += [f"{draft.title}: its runs spread too much for a useful limit" for draft in drafts if draft not in kept]
    if not kept:
        raise BadInputError(f"nothing can be recorded: {'; '.join(left_out) or 'no finished results'}; run more seeds")
    header = {"family": family, "level": LEVEL, "considered": len(drafts), "recorded_from": _origin(finished)}
    text = _as_toml(header, [{**draft.claim, "sentence": _sentence(draft, len(drafts))} for draft in kept])
    return Recording(text, len(kept), tuple(left_out))


def write_recording(recording: Recording, path: Path) -> None:
    """Write a recorded baseline; what is read back from it has been checked before it takes its place."""
    with staged_file(path) as temporary:
        temporary.write_text(recording.text, encoding="utf-8")
        load_claims(temporary)


def _entries(results: Iterable[Result]) -> list[list[Result]]:
    """Group results into entries of one method, data, IPC, network, protocol, settings and machine."""
    results = list(results)
    data = DataIdentity(results)
    groups: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        groups[_digest(result, data.of(result))].append(result)
    return list(groups.values())


def _digest(result: Result, data: str) -> str:
    names = ("method", "dataset", "ipc", "network", "protocol_hash", "students", "config")
    content = result.model_dump(mode="json", include=set(names))
    return digest_of({**content, "dataset_fingerprint": data, "machine": result.machine.get("id")})


def _drafts(name: str, runs: Sequence[Result]) -> list[_Draft]:
    """Return the drafts of one entry: accuracy, time of each phase, peaks of each phase."""
    first = next((run for run in runs if is_of_content(run.dataset_fingerprint)), runs[0])
    settings = with_added(first.method, first.config)
    cell = {
        "method": first.method,
        "dataset": first.dataset,
        "network": first.network,
        "protocol": f"{first.protocol}@{first.protocol_hash}",
        "ipc": first.ipc or "full",
        "students": first.students,
        "fingerprint": first.dataset_fingerprint,
        **({"layout": first.dataset_layout} if first.dataset_layout else {}),
        "settings": {key: value for key, value in settings.items() if value is not None},
    }
    drafts = []
    accuracy = _values(runs, "test_accuracy")
    if accuracy:
        claim = {
            "id": f"{name}-accuracy",
            "kind": "absolute",
            "min_n": FEWEST_RECORDED,
            "bound": "at_least",
            "margin": ACCURACY_MARGIN,
            "recorded": accuracy,
            "cell": cell,
        }
        title = f"{first.title}: test accuracy"
        drafts.append(_Draft(claim, title, accuracy, 1.0, ACCURACY_MARGIN, WIDEST_ACCURACY))
    for metric in _cost_metrics(runs):
        costs = _values(runs, metric)
        if len(costs) < FEWEST_RECORDED or (metric.endswith("seconds") and min(costs) < SHORTEST_SECONDS):
            continue
        seconds = metric.endswith("seconds")
        limit, widest = (SECONDS_LIMIT, WIDEST_SECONDS) if seconds else (BYTES_LIMIT, WIDEST_BYTES)
        claim = {
            "id": f"{name}-{metric.replace('_', '-')}",
            "kind": "cost",
            "min_n": FEWEST_RECORDED,
            "metric": metric,
            "limit": limit,
            "recorded": costs,
            "machine": str(first.machine.get("id", "unknown")),
            "cell": cell,
        }
        title = f"{first.title}: {metric.replace('_', ' ')}"
        drafts.append(_Draft(claim, title, [log(cost) for cost in costs], -1.0, log(limit), log(widest)))
    return drafts


def _cost_metrics(runs: Sequence[Result]) -> list[str]:
    """Return the costs worth a gate: a GPU's own peak where there is one, else the host's; both times."""
    kinds = ["seconds", "processor_seconds"]
    on_gpu = any(phase.reading.peak_allocated_bytes is not None for run in runs for phase in run.phases)
    kinds.append("peak_allocated_bytes" if on_gpu else "peak_host_bytes")
    return [f"{phase}_{kind}" for phase in ("prepare", "distill", "evaluate") for kind in kinds]


def _values(runs: Sequence[Result], metric: str) -> list[float]:
    try:
        return list(values_of(runs, metric).values())
    except UnjudgedError:
        return []


def _closes(draft: _Draft, family: int) -> bool:
    """Return whether the gate closes before a regression that anybody would call one."""
    return abs(_limit(draft, family)) <= draft.widest


def _limit(draft: _Draft, family: int) -> float:
    """Return the difference from the recorded mean at which the gate closes for the fewest new runs it takes."""
    mean = sum(draft.values) / len(draft.values)
    gate = predict([mean] * FEWEST_RECORDED, draft.values, draft.sign, draft.margin, 1 - LEVEL)
    return gate.limit(LEVEL / family)


def _sentence(draft: _Draft, family: int) -> str:
    limit = _limit(draft, family)
    shown = f"{limit:+.2g} points" if draft.sign > 0 else f"\N{MULTIPLICATION SIGN}{exp(limit):.3g}"
    return f"{draft.title} as recorded; {FEWEST_RECORDED} fresh runs may differ by {shown}."


def _names(groups: Sequence[Sequence[Result]]) -> list[str]:
    """Return a readable name for each entry; a short hash tells apart what the name cannot."""
    names = []
    for first in (runs[0] for runs in groups):
        size = "full" if first.ipc is None else f"ipc{first.ipc}"
        name = f"{first.method}-{first.dataset}-{size}"
        names.append(re.sub(r"[^A-Za-z0-9_.=-]+", "-", name))
    counts = Counter(names)
    return [
        name if counts[name] == 1 else f"{name}-{_digest(runs[0], runs[0].dataset_fingerprint)[:4]}"
        for name, runs in zip(names, groups, strict=True)
    ]


def _origin(results: Sequence[Result]) -> dict[str, str]:
    """Return commits and versions of the runs, for a reader who looks for what changed."""
    commits = sorted({result.git_commit for result in results if result.git_commit})
    origin = {"commits": ", ".join(commits)} if commits else {}
    return {**origin, **{key: value for key, value in results[0].versions.items() if key in ("ddbench", "torch")}}


def _as_toml(header: Mapping[str, Any], claims: Iterable[Mapping[str, Any]]) -> str:
    lines = [
        "# Written by `ddbench claims record`: limits follow from the spread of the recorded values.",
        *(f"{key} = {_toml(value)}" for key, value in header.items()),
    ]
    for claim in claims:
        lines += ["", "[[claim]]", *(f"{key} = {_toml(value)}" for key, value in claim.items())]
    return "\n".join(lines) + "\n"


def _toml(value: Value) -> str:
    if isinstance(value, dict):
        inside = ", ".join(f"{json.dumps(key)} = {_toml(item)}" for key, item in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    # A JSON string is a TOML string too; numbers are written so that they come back the same.
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)
