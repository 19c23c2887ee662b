"""What stands behind a number: the command that repeats it, settings, commit, versions, machine, and each seed."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import yaml

from ddbench.analysis.aggregate import GAP, Entry, machine_label
from ddbench.records import Result
from ddbench.tables.busy_costs import SHOWN_PHASES, reading_text
from ddbench.tables.layout import ALTERED
from ddbench.tables.quantities import bytes_text, gpu_text


@dataclass(frozen=True)
class Circumstances:
    """Everything recorded about one entry, as text.

    Attributes:
        commands: as recorded, else the command that makes and evaluates the same sets.
        recorded: whether the commands were recorded with the results.
        facts: name and value; values that seeds do not share stand once each, with their seeds.
        settings: the method's config, name and value.
        headings: of the columns of `seeds`.
        seeds: one row per result.
    """

    commands: tuple[str, ...]
    recorded: bool
    facts: tuple[tuple[str, str], ...]
    settings: tuple[tuple[str, str], ...]
    headings: tuple[str, ...]
    seeds: tuple[tuple[str, ...], ...]


def describe(entry: Entry) -> Circumstances:
    """Return what is recorded about an entry."""
    results = entry.results
    recorded = tuple(dict.fromkeys(result.command for result in results if result.command))
    names = sorted({name for result in results for name in result.config})
    table = [_seed_row(result) for result in results]
    headings = [name for name in table[0] if any(row[name] not in (GAP, "") for row in table)]
    return Circumstances(
        commands=recorded or commands_for(results),
        recorded=bool(recorded),
        facts=tuple((name, text) for name, text in _facts(results) if text),
        settings=tuple((name, _distinct(results, partial(_setting, name))) for name in names),
        headings=tuple(headings),
        seeds=tuple(tuple(row[name] for name in headings) for row in table),
    )


def commands_for(results: Sequence[Result]) -> tuple[str, ...]:
    """Return a shell line per config and evaluation that distils and evaluates the sets of these results again."""
    groups: dict[str, list[int]] = defaultdict(list)
    for result in results:
        groups[_command(result)].append(result.distill_seed)
    lines = []
    for command, seeds in groups.items():
        unique = sorted(set(seeds))
        if "$seed" not in command:
            lines.append(command)
        elif len(unique) == 1:
            lines.append(command.replace("$seed", str(unique[0])))
        else:
            lines.append(f"for seed in {' '.join(map(str, unique))}; do {command}; done")
    return tuple(lines)


def _command(result: Result) -> str:
    dataset, evaluation = shlex.quote(result.dataset), f"--seed {result.eval_seed}"
    evaluate = (
        f"--dataset {dataset} --protocol {shlex.quote(result.protocol)} --network {shlex.quote(result.network)} "
        f"--students {result.students} {evaluation}"
    )
    if result.method == "external":
        return f"ddbench evaluate FOLDER {evaluate}"
    settings = "".join(f" --set {shlex.quote(f'{k}={setting_text(v)}')}" for k, v in sorted(result.config.items()))
    size = "full" if result.ipc is None else f"ipc{result.ipc}"
    folder = f"{result.method}_{size}_seed$seed"
    return (
        f"ddbench distill {shlex.quote(result.method)} --dataset {dataset} --ipc {result.ipc or 1} --seed $seed"
        f"{settings} --out {folder} && ddbench evaluate {folder} {evaluate}"
    )


def setting_text(value: object) -> str:
    """Return a setting as `--set` reads it: one YAML value on one line."""
    text: str = yaml.safe_dump(value, default_flow_style=True, width=float("inf"))
    return text.removesuffix("\n").removesuffix("\n...")


def _facts(results: Sequence[Result]) -> Iterable[tuple[str, str]]:
    yield "protocol", _distinct(results, lambda r: f"{r.protocol}@{r.protocol_hash}")
    yield "student network", _distinct(results, lambda r: r.network)
    yield "data", _distinct(results, lambda r: " ".join(filter(None, (r.dataset, r.dataset_fingerprint))))
    yield "distilled set", _distinct(results, _describe_set)
    yield "preparation", _distinct(results, _describe_preparation)
    yield "teacher", _distinct(results, lambda r: _pairs(r.teacher.model_dump()) if r.teacher else "")
    yield "engine", _distinct(results, lambda r: _pairs(r.engine))
    yield "commit", _distinct(results, lambda r: r.git_commit)
    yield "machine", _distinct(results, lambda r: f"{machine_label(r.machine)}: {_pairs(r.machine)}")
    yield "versions", _distinct(results, lambda r: _pairs(r.versions))


def _describe_set(result: Result) -> str:
    rate = f"student lr {result.student_lr:g}" if result.student_lr is not None else ""
    labels = f"{result.label_mode} labels" if result.label_mode else ""
    space = f"space {result.space}" if result.space else ""
    size = bytes_text(result.distilled_bytes) if result.distilled_bytes is not None else ""
    counts = "{} to {} images a class".format(*result.class_sizes) if result.class_sizes else ""
    parts = f"{result.decode_factor**2} images in each" if result.decode_factor > 1 else ""
    return ", ".join(filter(None, (space, labels, rate, size, counts, parts)))


def _describe_preparation(result: Result) -> str:
    shared = "one preparation for all seeds (share_prepare: true in the suite)" if result.share_prepare else ""
    foundation = f"foundation {result.foundation}" if result.foundation else ""
    phases = ", ".join(phase.name for phase in result.phases if phase.cached)
    return "; ".join(filter(None, (shared, foundation, f"measured earlier and reused: {phases}" if phases else "")))


def _setting(name: str, result: Result) -> str:
    return setting_text(result.config[name]) if name in result.config else GAP


def _distinct(results: Sequence[Result], read: Callable[[Result], object]) -> str:
    """Return the value all results share, or each value with the seeds that have it."""
    values: dict[str, list[int]] = defaultdict(list)
    for result in results:
        values[str(read(result))].append(result.distill_seed)
    if len(values) == 1:
        return next(iter(values))
    groups = ((text or GAP, "seed" if len(seeds) == 1 else "seeds", seeds) for text, seeds in values.items())
    return "; ".join(f"{text} ({word} {', '.join(map(str, seeds))})" for text, word, seeds in groups)


def _pairs(content: Mapping[str, object]) -> str:
    shown = {key: f"({_pairs(value)})" if isinstance(value, Mapping) else value for key, value in content.items()}
    return ", ".join(f"{key} {value}" for key, value in shown.items() if value is not None and value != "")


def _seed_row(result: Result) -> dict[str, str]:
    accuracy = result.metric("test_accuracy")
    seconds = {phase: result.phase(phase) for phase in SHOWN_PHASES}
    peaks = [phase.reading for phase in result.phases]
    allocated = max((r.peak_allocated_bytes for r in peaks if r.peak_allocated_bytes is not None), default=None)
    host = max((r.peak_host_bytes for r in peaks if r.peak_host_bytes is not None), default=None)
    return {
        "seed": str(result.distill_seed),
        "evaluation seed": str(result.eval_seed),
        "status": result.status.replace("_", " ")
        + (f": {result.reason}" if result.reason else "")
        + (f" ({ALTERED})" if result.is_altered else ""),
        "students (%)": ", ".join(f"{100 * value:.2f}" for value in accuracy.values) if accuracy else GAP,
        **{f"{name} (s)": reading_text(phase.reading) if phase else GAP for name, phase in seconds.items()},
        "peak GPU": gpu_text(allocated, on_gpu=bool(result.machine.get("gpu"))),
        "peak host": bytes_text(host),
        "started (UTC)": result.started_at or GAP,
        "key": result.key,
    }
