"""Error rates of the claims engine on made-up results whose truth is known, as a Markdown table.

    uv run python -m tests._claims_simulation [SETS [ROW]]

Every set is a list of Results that goes through `ddbench.claims.judge` as recorded ones do. Three truths per rule:
exactly at the claim's border, where each verdict is an error that may happen in at most 5 % of sets; clearly within,
where the claim should be supported; clearly beyond, where it should be refuted.
"""

from __future__ import annotations

import math
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.random import Generator

from ddbench.claims import ClaimsFile, judge, load_claims
from ddbench.claims.kinds import AbsoluteClaim, AnyClaim, ClaimedEntry, CostClaim, RelativeClaim, ScalingClaim
from ddbench.claims.recording import Recording, record
from ddbench.errors import BadInputError
from ddbench.protocol import PROTOCOLS
from ddbench.records import Metric, Phase, Reading, Result

LEVEL = 0.05
SEED = 20261124
PROTOCOL = PROTOCOLS.get("quick")
CELL = ClaimedEntry(method="dm", dataset="digits", network="convnet", ipc=10, protocol=f"quick@{PROTOCOL.hash}")
OTHER = CELL.model_copy(update={"method": "random_real"})
TEST_IMAGES = 360  # of digits: accuracies of one student are multiples of 1 / 360
BLANK = Result(
    key="",
    method="dm",
    dataset="digits",
    dataset_fingerprint="f1",
    ipc=10,
    network="convnet",
    students=1,
    distill_seed=0,
    eval_seed=0,
    config={},
    protocol="quick",
    protocol_hash=PROTOCOL.hash,
    status="ok",
    machine={"id": "simulated"},
)

Claims = Callable[[Generator], ClaimsFile]
Draw = Callable[[Generator, float], Sequence[Result]]
Runs = Callable[[Generator, Iterable[int]], Sequence[Result]]


@dataclass(frozen=True)
class Scenario:
    """A rule under realistic circumstances.

    Attributes:
        rule: kind of claim, in words.
        spread: of the values over seeds, and n.
        claims: the family. A set counts as supported or refuted where any of its claims is; of recorded baselines, as
            supported where all are.
        draw: makes results of a truth, which is a number in the rule's own terms.
        border, within, beyond: that number at the border, and where a verdict should come; None where there is none.
        unit: of these numbers.
    """

    rule: str
    spread: str
    claims: Claims
    draw: Draw
    border: float | None
    within: float
    beyond: float
    unit: str


@dataclass(frozen=True)
class Rates:
    """Shares of sets: wrongly supported or refuted at the border, correctly supported, correctly refuted."""

    false_support: float | None
    false_refutation: float | None
    support: float
    refutation: float


def result(
    method: str, ipc: int, seed: int, values: Iterable[float] = (), seconds: float = 0, peak: float = 0
) -> Result:
    """A finished result; `values` are students' accuracies in percent, `peak` is in MiB."""
    reading = Reading.model_construct(seconds=seconds, peak_host_bytes=round(peak * 2**20) or None)
    shares = tuple(value / 100 for value in values)
    metric = Metric.model_construct(
        name="test_accuracy", unit="fraction", higher_is_better=True, values=shares, basis=""
    )
    return BLANK.model_copy(
        update={
            "key": f"{method}-{ipc}-{seed}",
            "method": method,
            "ipc": ipc,
            "distill_seed": seed,
            "metrics": (metric,) if shares else (),
            "phases": (Phase.model_construct(name="distill", reading=reading, cached=False),) if seconds else (),
        }
    )


def accuracies(rng: Generator, mean: float, sd: float, n: int, counted: bool = False) -> list[float]:
    """Accuracies in percent of n seeds; `counted` ones are multiples of one test image."""
    drawn = rng.normal(mean, sd, n)
    return list(np.round(drawn * TEST_IMAGES / 100) * 100 / TEST_IMAGES if counted else drawn)


def near(sd: float, n: int, counted: bool = False) -> Draw:
    return lambda rng, gap: [
        result("dm", 10, seed, [value]) for seed, value in enumerate(accuracies(rng, 70 + gap, sd, n, counted))
    ]


def two_methods(sd: float, n: int, shared: float, counted: bool = False) -> Draw:
    """Two methods a gap apart; `shared` is the share of variance that a seed gives to both."""

    def draw(rng: Generator, gap: float) -> list[Result]:
        common = rng.normal(0, sd * math.sqrt(shared), n)
        sides = {"dm": 70 + gap, "random_real": 70.0}
        return [
            result(method, 10, seed, [value])
            for method, mean in sides.items()
            for seed, value in enumerate(common + accuracies(rng, mean, sd * math.sqrt(1 - shared), n, counted))
        ]

    return draw


def two_costs(sd: float, n: int) -> Draw:
    return lambda rng, factor: [
        result(method, 10, seed, seconds=float(value))
        for method, mean in (("dm", 60 * factor), ("random_real", 60.0))
        for seed, value in enumerate(mean * np.exp(rng.normal(0, sd, n)))
    ]


def by_ipc(cost: Callable[[int, float], float], sd: float, n: int) -> Draw:
    return lambda rng, truth: [
        result("dm", ipc, seed, seconds=float(value))
        for ipc in (1, 10, 50)
        for seed, value in enumerate(cost(ipc, truth) * np.exp(rng.normal(0, sd, n)))
    ]


def recorded_runs(sd: float, gap: float = 0.0, slower: float = 1.0, larger: float = 1.0) -> Runs:
    """Runs of an entry with accuracy, time (sd 5 %) and memory (sd 1 %); options move them off the recorded ones."""
    return lambda rng, seeds: [
        result(
            "dm",
            10,
            seed,
            [rng.normal(88 + gap, sd)],
            60 * slower * math.exp(rng.normal(0, 0.05)),
            900 * larger * math.exp(rng.normal(0, 0.01)),
        )
        for seed in seeds
    ]


def many_entries(sd: float, count: int, gap: float = 0.0) -> Runs:
    """Runs of so many entries with an accuracy each."""
    return lambda rng, seeds: [
        result("dm", ipc, seed, [rng.normal(80 + gap, sd)]) for ipc in range(1, count + 1) for seed in seeds
    ]


def baseline(runs: Runs, n: int) -> Claims:
    """Claims as `ddbench claims record` writes them of n runs, and as `ddbench claims` reads them."""

    def recorded(rng: Generator) -> Recording:
        while True:
            try:
                return record(runs(rng, range(n)), "simulated")
            except BadInputError:  # every entry spread too much, which gives no file and no verdict
                continue

    def claims(rng: Generator) -> ClaimsFile:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "recorded.toml"
            path.write_text(recorded(rng).text, encoding="utf-8")
            return load_claims(path)

    return claims


def fresh(runs: Callable[[float], Runs], n: int) -> Draw:
    """As many new runs of fresh seeds, moved by the truth."""
    return lambda rng, truth: runs(truth)(rng, range(1000, 1000 + n))


def fixed(*claims: AnyClaim) -> Claims:
    file = ClaimsFile(path=Path("simulated.toml"), family="simulated", level=LEVEL, claims=claims)
    return lambda rng: file


def absolute(**fields: object) -> AbsoluteClaim:
    return AbsoluteClaim(**{"id": "c", "sentence": "s", "kind": "absolute", "cell": CELL, "value": 70.0, **fields})


def relative(**fields: object) -> RelativeClaim:
    return RelativeClaim(**{"id": "c", "sentence": "s", "kind": "relative", "cell": CELL, "against": OTHER, **fields})


def cost(limit: float) -> CostClaim:
    return CostClaim(id="c", sentence="s", kind="cost", cell=CELL, against=OTHER, metric="distill_seconds", limit=limit)


def scaling(law: str, tolerance: float) -> ScalingClaim:
    cell = CELL.model_copy(update={"ipc": None})
    fields = {"ipc": [1, 10, 50], "metric": "distill_seconds", "law": law, "tolerance": tolerance}
    return ScalingClaim(id="c", sentence="s", kind="scaling", cell=cell, **fields)


def relative_family(size: int) -> Sequence[AnyClaim]:
    """One method against others, each claim on results of its own."""
    return [
        relative(
            id=f"c{ipc}",
            cell=CELL.model_copy(update={"ipc": ipc}),
            against=OTHER.model_copy(update={"ipc": ipc}),
        )
        for ipc in range(1, size + 1)
    ]


def each_ipc(draw: Draw, size: int) -> Draw:
    return lambda rng, truth: [
        found.model_copy(update={"ipc": ipc}) for ipc in range(1, size + 1) for found in draw(rng, truth)
    ]


def linear(ipc: int, exponent: float) -> float:
    return 6.0 * float(ipc) ** exponent


def dearest_last(ipc: int, factor: float) -> float:
    return 60.0 * (factor if ipc == 50 else 1.0)


WITHIN, AT_LEAST = absolute(margin=2.0), absolute(bound="at_least", margin=1.0)
SCENARIOS = (
    Scenario("absolute, within 2 points", "sd 0.5, n 5", fixed(WITHIN), near(0.5, 5), 2.0, 0.0, 4.0, "points"),
    Scenario("absolute, within 2 points", "sd 1, n 5", fixed(WITHIN), near(1.0, 5), 2.0, 0.0, 4.0, "points"),
    Scenario("absolute, within 2 points", "sd 2, n 10", fixed(WITHIN), near(2.0, 10), 2.0, 0.0, 5.0, "points"),
    Scenario("absolute, at least, margin 1", "sd 1, n 5", fixed(AT_LEAST), near(1.0, 5), -1.0, 0.5, -2.5, "points"),
    Scenario(
        "absolute, at least, margin 1, counts of test images",
        "sd 0.5, n 3",
        fixed(AT_LEAST),
        near(0.5, 3, counted=True),
        -1.0,
        0.5,
        -2.5,
        "points",
    ),
    Scenario(
        "relative, better, paired t", "sd 1, half shared, n 5", fixed(relative()),
        two_methods(1, 5, 0.5), 0.0, 1.5, -1.5, "points",
    ),
    Scenario(
        "relative, better, paired t", "sd 2, nothing shared, n 10", fixed(relative()),
        two_methods(2, 10, 0), 0.0, 2.6, -2.6, "points",
    ),
    Scenario(
        "relative, better, paired t, counts of test images", "sd 0.5, nothing shared, n 5", fixed(relative()),
        two_methods(0.5, 5, 0, counted=True), 0.0, 1.1, -1.1, "points",
    ),
    Scenario(
        "relative, better, Welch t", "sd 1, n 5 a side", fixed(relative(paired=False)),
        two_methods(1, 5, 0), 0.0, 1.8, -1.8, "points",
    ),
    Scenario(
        "relative, better, permutation", "sd 1, n 5 a side", fixed(relative(paired=False, test="permutation")),
        two_methods(1, 5, 0), 0.0, 2.0, -2.0, "points",
    ),
    Scenario(
        "relative, no worse by 1 point, paired t", "sd 1, half shared, n 5", fixed(relative(margin=1.0)),
        two_methods(1, 5, 0.5), -1.0, 0.5, -2.5, "points",
    ),
    Scenario(
        "cost, at most 1.1 times", "sd 3 %, n 5", fixed(cost(1.1)),
        two_costs(0.03, 5), 1.1, 1.0, 1.2, "times",
    ),
    Scenario(
        "cost, at most 1.25 times", "sd 8 %, n 5", fixed(cost(1.25)),
        two_costs(0.08, 5), 1.25, 1.05, 1.5, "times",
    ),
    Scenario(
        "scaling, independent of IPC within 25 %", "sd 5 %, n 3 at 3 IPC", fixed(scaling("independent", 0.25)),
        by_ipc(dearest_last, 0.05, 3), 1.25, 1.0, 1.65, "times",
    ),
    Scenario(
        "scaling, independent of IPC within 25 %", "sd 8 %, n 5 at 3 IPC", fixed(scaling("independent", 0.25)),
        by_ipc(dearest_last, 0.08, 5), 1.25, 1.0, 1.6, "times",
    ),
    Scenario(
        "scaling, linear in IPC, exponent within 0.1", "sd 8 %, n 3 at 3 IPC", fixed(scaling("linear", 0.1)),
        by_ipc(linear, 0.08, 3), 1.1, 1.0, 1.2, "",
    ),
    Scenario(
        "scaling, linear in IPC, exponent within 0.05", "sd 8 %, n 5 at 3 IPC", fixed(scaling("linear", 0.05)),
        by_ipc(linear, 0.08, 5), 1.05, 1.0, 1.1, "",
    ),
    Scenario(
        "family of 4 relative claims, any of them", "sd 1, half shared, n 5", fixed(*relative_family(4)),
        each_ipc(two_methods(1, 5, 0.5), 4), 0.0, 1.5, -1.5, "points",
    ),
    Scenario(
        "recorded baseline, accuracy", "sd 0.5, 5 recorded, 3 new", baseline(recorded_runs(0.5), 5),
        fresh(lambda lost: recorded_runs(0.5, gap=-lost), 3), None, 0.0, 3.0, "points lost",
    ),
    Scenario(
        "recorded baseline, accuracy", "sd 1, 10 recorded, 5 new", baseline(recorded_runs(1.0), 10),
        fresh(lambda lost: recorded_runs(1.0, gap=-lost), 5), None, 0.0, 3.0, "points lost",
    ),
    Scenario(
        "recorded baseline, time", "sd 5 %, 5 recorded, 3 new", baseline(recorded_runs(0.5), 5),
        fresh(lambda factor: recorded_runs(0.5, slower=factor), 3), None, 1.0, 1.5, "times",
    ),
    Scenario(
        "recorded baseline, memory", "sd 1 %, 5 recorded, 3 new", baseline(recorded_runs(0.5), 5),
        fresh(lambda factor: recorded_runs(0.5, larger=factor), 3), None, 1.0, 1.3, "times",
    ),
    Scenario(
        "recorded baseline, accuracy of 10 cells", "sd 1, 5 recorded, 3 new", baseline(many_entries(1.0, 10), 5),
        fresh(lambda lost: many_entries(1.0, 10, gap=-lost), 3), None, 0.0, 4.0, "points lost",
    ),
)  # fmt: skip


def simulate(scenario: Scenario, sets: int) -> Rates:
    """Draw `sets` result sets of each truth, always the same ones, and count verdicts."""
    at_border = _count(scenario, scenario.border, sets)
    within, beyond = _count(scenario, scenario.within, sets), _count(scenario, scenario.beyond, sets)
    if at_border is None:  # a gate: the border is that nothing moved, and only an alarm can be an error there
        return Rates(None, within["refuted"], within["supported"], beyond["refuted"])
    return Rates(at_border["supported"], at_border["refuted"], within["supported"], beyond["refuted"])


def _count(scenario: Scenario, truth: float | None, sets: int) -> dict[str, float] | None:
    if truth is None:
        return None
    rng = np.random.default_rng([SEED, round(1000 * abs(truth)), *scenario.rule.encode(), *scenario.spread.encode()])
    counts = {"supported": 0, "refuted": 0}
    for _ in range(sets):
        words = [verdict.verdict for verdict in judge(scenario.claims(rng), scenario.draw(rng, truth))]
        for word in counts:
            how = all if scenario.border is None and word == "supported" else any
            counts[word] += how(found == word for found in words)
    return {word: count / sets for word, count in counts.items()}


def render(scenario: Scenario, rates: Rates) -> str:
    """Return one line of the table."""
    unit = f" {scenario.unit}" if scenario.unit else ""
    border = scenario.within if scenario.border is None else scenario.border
    cells = [
        scenario.rule,
        scenario.spread,
        f"{border:g}{unit}",
        _percent(rates.false_support),
        _percent(rates.false_refutation),
        f"{scenario.within:g}: {_percent(rates.support)}",
        f"{scenario.beyond:g}: {_percent(rates.refutation)}",
    ]
    return f"| {' | '.join(cells)} |"


def _percent(share: float | None) -> str:
    return "\N{EN DASH}" if share is None else f"{100 * share:.1f} %"


def _line(index: int, sets: int) -> str:
    return render(SCENARIOS[index], simulate(SCENARIOS[index], sets))


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    chosen = [int(sys.argv[2]) - 1] if len(sys.argv) > 2 else list(range(len(SCENARIOS)))
    write = sys.stdout.write
    write("| rule | spread and n | border | supported there | refuted there | truth: supported | truth: refuted |\n")
    write("| --- | --- | --: | --: | --: | --: | --: |\n")
    with ProcessPoolExecutor() as pool:
        for line in pool.map(_line, chosen, [count] * len(chosen)):
            write(f"{line}\n")
