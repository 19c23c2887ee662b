"""Checks of one result by itself: as it was written, of a known protocol, from a machine that is named, in range."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from ddbench.errors import DDBenchError, UnknownNameError
from ddbench.inputs.network_names import split_spec
from ddbench.inputs.values import LARGEST_SEED, MOST_STUDENTS
from ddbench.method import make_method, with_added
from ddbench.records import OLDER_SET_DIGEST, SET_DIGEST, MachineLoad, Metric, Result
from ddbench.registry import METHODS, PROTOCOLS
from ddbench.submissions.problems import Finding, Findings, note

BEFORE_DIGESTS = ("0.1.",)  # versions of ddbench that wrote none
IDENTITY = ("processor", "cores", "threads", "device", "gpu", "tf32")  # what the id of a machine is a hash of
NEEDED_VERSIONS = ("python", "torch", "ddbench")
DIFFERENCES = ("gain[", "gain_", "ior", "hlr")  # fractions that may be negative


def check_content(result: Result) -> Findings:
    """Yield what is wrong with a result that could be read, and what could not be checked."""
    for check in (_standing, _protocol, _names, _machine, _counts, _outcome, _values, _costs):
        yield from check(result)


def _standing(result: Result) -> Findings:
    if result.standing == "altered":
        yield Finding("it was changed after it was written: its digest differs; run the cell again")
    elif result.standing == "older":
        version = result.versions.get("ddbench", "")
        if version.startswith(BEFORE_DIGESTS):
            yield note(f"ddbench {version} wrote no digests: that nothing changed since cannot be seen")
        else:
            yield Finding("it carries no digest, and the version that wrote it gives one; export it again")


def _protocol(result: Result) -> Findings:
    name = result.protocol
    try:
        known = PROTOCOLS.get(name)
    except UnknownNameError:
        yield Finding(f"protocol {name!r} is not known to this version of ddbench")
        return
    except DDBenchError:
        yield note(f"protocol {name} has a teacher that is not on this machine: its hash was not compared")
        return
    if known.hash != result.protocol_hash:
        yield Finding(f"protocol {name}@{result.protocol_hash} is not that of this version, {name}@{known.hash}")


def _names(result: Result) -> Findings:
    try:
        split_spec(result.network)
    except DDBenchError:
        yield note(f"network {result.network} is not known here, a plug-in's for instance")
    if result.method not in METHODS.names():
        if not {SET_DIGEST, OLDER_SET_DIGEST} & result.config.keys():
            yield note(
                f"method {result.method} is not known here, a plug-in's for instance: its settings were not read"
            )
        return
    try:
        make_method(result.method, with_added(result.method, result.config))
    except DDBenchError as error:
        if not {SET_DIGEST, OLDER_SET_DIGEST} & result.config.keys():
            yield Finding(f"its settings are none of {result.method}: {error}")


def _machine(result: Result) -> Findings:
    missing = [name for name in ("id", "processor", "device") if not result.machine.get(name)]
    if missing:
        yield Finding(f"its machine does not say {' and '.join(missing)}")
    elif result.machine["id"] != _machine_id(result):
        yield Finding(f"the id of its machine, {result.machine['id']}, does not follow from what the machine is")
    absent = [name for name in NEEDED_VERSIONS if result.versions.get(name, "missing") == "missing"]
    if absent:
        yield Finding(f"its versions do not say {' and '.join(absent)}")


def _machine_id(result: Result) -> str:
    identity = {name: result.machine.get(name) for name in IDENTITY}
    return hashlib.sha256(repr(sorted(identity.items())).encode()).hexdigest()[:8]


def _counts(result: Result) -> Findings:
    if not 1 <= result.students <= MOST_STUDENTS:
        yield Finding(f"it has {result.students} students; 1 to {MOST_STUDENTS:,} are possible")
    for name in ("distill_seed", "eval_seed"):
        seed = getattr(result, name)
        if not 0 <= seed <= LARGEST_SEED:
            yield Finding(f"its {name} {seed} is not a seed: 0 to 2^63 - 1")


def _outcome(result: Result) -> Findings:
    if result.status != "ok":
        if not result.reason:
            yield Finding(f"it is {result.status.replace('_', ' ')} without a reason")
        if result.metrics:
            yield Finding(f"it is {result.status.replace('_', ' ')} and has metrics all the same")
        return
    if result.metric("test_accuracy") is None:
        yield Finding("it ended well and has no test_accuracy")
    names = [metric.name for metric in result.metrics]
    yield from (Finding(f"it has metric {name} twice") for name in dict.fromkeys(names) if names.count(name) > 1)


def _values(result: Result) -> Findings:
    for metric in result.metrics:
        count = len(metric.values)
        per_student = metric.name.startswith(("test_accuracy", "accuracy[", "random_accuracy[", "gain["))
        if count != result.students and (per_student or count != 1):
            yield Finding(f"{metric.name} has {count} values for {result.students} students")
        low, high = _range_of(metric)
        wrong = next((value for value in metric.values if not low <= value <= high), None)
        if wrong is not None:
            span = f"{low:g} to {high:g}" if high < float("inf") else f"at least {low:g}"
            yield Finding(f"{metric.name} of {wrong:g} is out of range, {span}")


def _range_of(metric: Metric) -> tuple[float, float]:
    """Return what values a metric can have, by its unit."""
    if metric.unit == "fraction":
        return (-1.0 if metric.name.startswith(DIFFERENCES) else 0.0), 1.0
    return (0.0 if metric.unit in ("seconds", "bytes", "ratio") else -float("inf")), float("inf")


def _costs(result: Result) -> Findings:
    if result.status == "ok" and result.phase("evaluate") is None:
        yield Finding("it ended well and does not say what its evaluation took")
    for what, value in _readings(result):
        if value is not None and value < 0:
            yield Finding(f"{what} of {value:g} is below zero")


def _readings(result: Result) -> Iterator[tuple[str, float | None]]:
    for phase in result.phases:
        for name in ("seconds", "processor_seconds", "peak_allocated_bytes", "peak_reserved_bytes", "peak_host_bytes"):
            yield f"{phase.name} {name}", getattr(phase.reading, name)
        if phase.reading.load is not None:
            for name in MachineLoad.model_fields:
                yield f"{phase.name} load {name}", getattr(phase.reading.load, name)
    yield "distilled_bytes", result.distilled_bytes
