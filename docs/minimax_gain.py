"""What minimax gains over the same backbone without its criteria: the tables and the plot in docs/results.md.

Run: `uv run python docs/minimax_gain.py baselines/results/MACHINE/{digits,digits_weights}_minimax.jsonl
--out docs/minimax_gain.png`. Differences are paired by distillation seed; intervals are 95 % each, not corrected for
their number, and hold for the one backbone that all seeds share. Each run of a seed may be given once.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

from ddbench.analysis.significance import paired_difference
from ddbench.records import Result
from ddbench.runs.results_store import read_results

METRICS = ("test_accuracy", "recall", "precision", "coverage", "diversity")
VARIANTS = {  # by criteria space, weights over those of the paper, and which entries memories keep
    ("features", 20, 20, "latest"): "both",
    ("features", 20, 0, "latest"): "representativeness alone",
    ("features", 0, 20, "latest"): "diversity alone",
    ("features", 20, 20, "first"): "both, fixed memory",
    ("inputs", 1, 1, "latest"): "the paper's space and weights",
}
PAPER = (0.002, 0.008)


def variant_of(config: dict[str, Any]) -> tuple[str, float, float, str]:
    """Return what of a minimax run's settings the plot tells apart."""
    weights = (config["representativeness_weight"], config["diversity_weight"])
    factors = [round(weight / of_paper, 3) for weight, of_paper in zip(weights, PAPER, strict=True)]
    return config.get("criteria_space", "inputs"), *factors, config.get("memory_keeps", "latest")


def values(results: Iterable[Result]) -> dict[str, dict[int, float]]:
    """Return for each metric its mean over students by seed, times 100."""
    found: dict[str, dict[int, float]] = defaultdict(dict)
    for result in results:
        for metric in result.metrics:
            name = metric.name.partition("[")[0]
            if name in METRICS:
                if result.distill_seed in found[name]:
                    raise SystemExit(f"two results of {result.title}, seed {result.distill_seed}: give one of each")
                found[name][result.distill_seed] = 100 * fmean(metric.values)
    return found


def grouped(results: Iterable[Result]) -> dict[tuple[str, int], dict[Any, dict[str, dict[int, float]]]]:
    """Return values by data set and IPC, then by method or variant."""
    groups: dict[tuple[str, int], dict[Any, list[Result]]] = defaultdict(lambda: defaultdict(list))
    for result in results:
        name = variant_of(result.config) if result.method == "minimax" else result.method
        groups[result.dataset, result.ipc or 0][name].append(result)
    return {place: {name: values(own) for name, own in by_name.items()} for place, by_name in groups.items()}


def gain(found: dict[Any, dict[str, dict[int, float]]], name: object, metric: str) -> tuple[float, float, float]:
    """Return the mean difference to dit, paired by seed, and the ends of its interval."""
    ours, plain = found[name][metric], found["dit"][metric]
    seeds = sorted(set(ours) & set(plain))
    estimate = paired_difference([ours[s] for s in seeds], [plain[s] for s in seeds])
    return estimate.effect, estimate.low, estimate.high


def rows(groups: dict[tuple[str, int], Any]) -> Iterator[str]:
    """Yield the lines of the tables in Markdown."""
    for (dataset, ipc), found in sorted(groups.items()):
        if "dit" not in found:
            raise SystemExit(f"no results of dit on {dataset} at IPC {ipc}, to compare with")
        count = len(found["dit"]["test_accuracy"])
        yield f"\n| {dataset}, IPC {ipc}, {count} seeds | {' | '.join(METRICS)} |"
        yield "| --- |" + " ---: |" * len(METRICS)
        for name in (name for name in ("random_real", "dit") if name in found):
            yield f"| {name} | " + " | ".join(f"{fmean(found[name][m].values()):.1f}" for m in METRICS) + " |"
        for variant, own in found.items():
            if own is not found["dit"] and variant != "random_real":
                ends = [gain(found, variant, metric) for metric in METRICS]
                cells = (f"{value:+.1f} [{low:+.1f}, {high:+.1f}]" for value, low, high in ends)
                yield f"| less dit: {VARIANTS.get(variant, variant)} | {' | '.join(cells)} |"


def draw(groups: dict[tuple[str, int], Any], out: Path) -> None:
    """Plot on digits the gain by IPC for each variant, and by weight for each IPC."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(10, 6.5), sharey="row", layout="constrained")
    digits = {ipc: found for (dataset, ipc), found in sorted(groups.items()) if dataset == "digits"}
    for line, (metric, label) in enumerate((("test_accuracy", "accuracy"), ("recall", "recall"))):
        by_ipc, by_weight = axes[line]
        for place, (variant, name) in enumerate(VARIANTS.items()):
            there = [(number, found) for number, found in enumerate(digits.values()) if variant in found]
            places = [place * 0.06 - 0.12 + number for number, _ in there]
            _plot(by_ipc, places, [gain(found, variant, metric) for _, found in there], name)
        for ipc, found in digits.items():
            chosen = sorted(v for v in found if v[0] == "features" and v[1] == v[2] and v[3] == "latest")
            if len(chosen) > 1:
                ends = [gain(found, v, metric) for v in chosen]
                _plot(by_weight, [v[1] for v in chosen], ends, f"features, IPC {ipc}")
        by_ipc.set_ylabel(f"{label} less dit's, points")
    axes[1, 0].set_xticks(range(len(digits)), [str(ipc) for ipc in digits])
    axes[0, 0].set_xticks(range(len(digits)), ["" for _ in digits])
    axes[1, 0].set_xlabel("images per class")
    axes[1, 1].set_xlabel("weights over the paper's, 0.002 and 0.008")
    for axis in axes.flat:
        axis.axhline(0, color="gray", linewidth=1)
        axis.grid(alpha=0.3)
    for axis in axes[:, 1]:
        axis.set_xscale("log")
    axes[0, 1].legend(fontsize=8)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)
    figure.savefig(out, dpi=120)


def _plot(axis: Any, places: list[float], ends: list[tuple[float, float, float]], label: str) -> None:  # noqa: ANN401
    below = [value - low for value, low, _ in ends]
    above = [high - value for value, _, high in ends]
    axis.errorbar(places, [value for value, _, _ in ends], [below, above], fmt="o-", capsize=3, label=label)


def main() -> None:
    """Print the tables; draw the plot where a place for it is given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    groups = grouped(read_results(given.results))
    sys.stdout.write("\n".join(rows(groups)) + "\n")
    if given.out is not None:
        draw(groups, given.out)


if __name__ == "__main__":
    main()
