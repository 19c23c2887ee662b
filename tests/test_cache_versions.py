"""When ddbench's own code makes something else of the same settings, the version of that kind of cached work must rise.

The code of methods and plug-ins is part of each key. That of the core is not, for the sake of hours of training; here
is what watches over it: a tiny piece of every kind, compared with what was recorded for its version.
"""

from __future__ import annotations

import json

import pytest

from tests._cached_works import GOLDEN, VERSIONS, describe, make_all

RECORD = "then record it with `python -m tests._cached_works`"
RECORDED = json.loads(GOLDEN.read_text())


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("DDBENCH_CACHE_DIR", str(folder))
        make_all(folder)
        return describe(folder)


@pytest.mark.parametrize("kind", VERSIONS)
def test_a_kind_of_work_is_what_was_recorded_for_its_version(kind, made):
    problem = difference(RECORDED[kind], made[kind])
    assert problem is None, f"what {kind} keep has changed ({problem}): raise their CACHE_VERSION, {RECORD}"


def test_a_raised_version_is_recorded_anew():
    assert {kind: version() for kind, version in VERSIONS.items()} == {
        kind: entry["version"] for kind, entry in RECORDED.items()
    }, f"a CACHE_VERSION was raised: {RECORD}"


@pytest.mark.parametrize(
    "change",
    [
        {"values": [1.01]},
        {"shape": [2]},
        {"dtype": "torch.float64"},
    ],
)
def test_a_change_is_seen(change):
    entry = {"version": 1, "tensors": {"a": {"shape": [1], "dtype": "torch.float32", "values": [1.0]}}}
    other = {"version": 1, "tensors": {"a": {**entry["tensors"]["a"], **change}}}
    assert difference(entry, entry) is None
    assert difference(entry, other)
    assert difference(entry, {"version": 1, "tensors": {}})


def difference(recorded: dict, found: dict) -> str | None:
    """Say what differs first; values may differ by what the order of sums on another machine does."""
    if recorded["tensors"].keys() != found["tensors"].keys():
        return f"tensors {sorted(recorded['tensors'].keys() ^ found['tensors'].keys())[0]}"
    for name, before in recorded["tensors"].items():
        now = found["tensors"][name]
        if (before["shape"], before["dtype"]) != (now["shape"], now["dtype"]):
            return f"shape or dtype of {name}"
        if now["values"] != pytest.approx(before["values"], rel=2e-3, abs=2e-4):
            return f"values of {name}: {before['values']} were recorded, {now['values']} found"
    return None
