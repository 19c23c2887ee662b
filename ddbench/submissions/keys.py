"""The key of a result, recomputed from its content.

A key covers the evaluators, which a result does not name: they are found again by the metrics that they gave. It covers
the data set as it was asked for, and its fingerprint where the name does not stand for one content.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import combinations, product

from ddbench.records import Result
from ddbench.registry import EVALUATORS
from ddbench.runs.suite import DEFAULT_EVALUATORS, Cell
from ddbench.submissions.data import Specs
from ddbench.submissions.problems import Finding, Findings, note

KEY = re.compile(r"[0-9a-f]{16}")
COVERAGE = re.compile(
    r"(?:representativeness|representativeness_p10|diversity|diversity_nearest|precision|recall|density|coverage)"
    r"\[(.+)\]"
)
REGIME = re.compile(r"(?:gain|random_accuracy|accuracy|label_bytes)\[\w+(?:, teacher of (\d+) epochs)?\]")
CROSS = re.compile(r"test_accuracy\[(.+)\]")
SCORES = re.compile(r"(?:lrs|hlr|ior)(?:\[full (.+)\])?|(ars|gain_\w+)")
OF_RANDOM = ("ars", "label_regimes", "lrs")  # which compare with random images
COST = re.compile(r"\w+_(seconds|peak_\w+_bytes)")


def check_key(result: Result, specs: Specs) -> Findings:
    """Yield what is wrong with a result's key.

    Args:
        result: as it was read.
        specs: what its data set may have been asked for by.
    """
    if not KEY.fullmatch(result.key):
        yield Finding(f"its key {result.key!r} is not a key of a cell: 16 hexadecimal digits")
        return
    evaluators = list(_evaluators_of(result))
    if not evaluators:
        yield note("its key was not recomputed: it has metrics of an evaluator that is not ddbench's own")
    elif any(key == result.key for key in _keys(result, specs.texts, evaluators)):
        return
    elif specs.are_all:
        yield Finding(f"its key {result.key} does not follow from its content: another cell's, or the content changed")
    else:
        yield note(f"its key was not recomputed: how data set {result.dataset} was asked for is not recorded")


def _keys(result: Result, specs: Iterable[str], evaluators: Iterable[tuple[str, ...]]) -> Iterator[str]:
    networks = tuple(found[1] for metric in result.metrics if (found := CROSS.fullmatch(metric.name)))
    fields = {name: getattr(result, name) for name in Cell.model_fields if name in Result.model_fields}
    for spec, chosen, fingerprint in product(specs, evaluators, ("", result.dataset_fingerprint)):
        crossed = networks if "cross_architecture" in chosen else ()
        update = {"dataset": spec, "dataset_fingerprint": fingerprint}
        yield Cell(**{**fields, **update, "evaluators": chosen, "cross_networks": crossed}).key


def _evaluators_of(result: Result) -> Iterator[tuple[str, ...]]:
    """Yield the evaluators that can have given a result's metrics; nothing where a metric is of none that is known."""
    if result.status != "ok":  # which measured nothing: any may have been asked for
        yield DEFAULT_EVALUATORS
        yield from _subsets()
        return
    groups: dict[tuple[str, ...], None] = {}
    names = [metric.name for metric in result.metrics]
    if any(REGIME.fullmatch(name) and not name.endswith("[hard]") for name in names):
        names = [name for name in names if not name.endswith("[hard]")]  # which says nothing of a teacher's epochs
    for name in names:
        found = _givers(name)
        if not found:
            return
        groups.setdefault(found)
    for chosen in product(*groups):
        yield from (tuple(dict.fromkeys((*chosen, *silent))) for silent in _silent(result))


def _silent(result: Result) -> tuple[tuple[str, ...], ...]:
    """Return the evaluators that give no metric of the whole training set, in every choice of them."""
    if result.ipc is not None:
        return ((),)
    return tuple(chosen for size in range(len(OF_RANDOM) + 1) for chosen in combinations(OF_RANDOM, size))


def _givers(metric: str) -> tuple[str, ...]:
    """Return the evaluators, with options, that can have given a metric of this name."""
    if metric in ("test_accuracy", "test_accuracy_best"):
        return ("accuracy",)
    if found := COST.fullmatch(metric):
        return ("wall_clock",) if found[1] == "seconds" else ("peak_memory",)
    if CROSS.fullmatch(metric):
        return ("cross_architecture",)
    if found := COVERAGE.fullmatch(metric):
        return ("coverage", f"coverage:{found[1]}")
    if found := REGIME.fullmatch(metric):
        return (f"label_regimes:{found[1]}",) if found[1] else ("label_regimes",)
    if found := SCORES.fullmatch(metric):
        return ("ars",) if found[2] else (f"lrs:{found[1]}",) if found[1] else ("lrs",)
    return ()


@lru_cache(maxsize=1)
def _subsets() -> tuple[tuple[str, ...], ...]:
    """Return every choice of ddbench's evaluators without options."""
    names = EVALUATORS.names()
    return tuple(chosen for size in range(1, len(names) + 1) for chosen in combinations(names, size))
