"""Tests of distilled sets that cells share: of one suite, and of suites that are run in one results folder."""

from __future__ import annotations

import pytest
import torch

from ddbench.distilled.files import load_distilled
from ddbench.registry import METHODS
from ddbench.runs.distill import RunOptions
from ddbench.runs.suite_runner import run_suite
from tests.runs.test_suite_runner import write_suite

CPU = RunOptions(device="cpu")


def test_cells_that_differ_in_network_share_one_distilled_set(tmp_path, monkeypatch):
    calls = []
    distill = METHODS.get("random_real").distill
    monkeypatch.setattr(
        METHODS.get("random_real"), "distill", lambda *arguments: calls.append(1) or distill(*arguments)
    )
    suite = write_suite(tmp_path / "s.yaml", networks=["convnet-d1-w8", "mlp"], distill_seeds=1)
    results = run_suite(suite, tmp_path / "r", CPU)
    assert len(results) == 2
    assert len(calls) == 1


def test_cells_of_another_suite_in_the_same_folder_share_its_distilled_sets(tmp_path, monkeypatch):
    method, seeds = METHODS.get("random_real"), []
    plain = method.distill
    monkeypatch.setattr(method, "distill", lambda *args: seeds.append(1) or plain(*args))
    results = tmp_path / "results"
    first = run_suite(write_suite(tmp_path / "a.yaml"), results, CPU)
    (results / first[1].key / "distilled" / "distilled.safetensors").write_bytes(b"damaged")
    assert len(seeds) == 2
    with pytest.warns(UserWarning, match="a distilled set cannot be reused, so the cell distils its own"):
        second = run_suite(write_suite(tmp_path / "b.yaml", networks=["mlp-w4"]), results, CPU)
    assert len(seeds) == 3  # the damaged one is made again
    assert [result.status for result in second] == ["ok", "ok"]
    sets = [load_distilled(results / result.key / "distilled") for result in (first[0], second[0])]
    assert torch.equal(sets[0].images, sets[1].images)
    run_suite(write_suite(tmp_path / "c.yaml", networks=["mlp-w5"], ipc=[2]), results, CPU)
    assert len(seeds) == 5  # of another IPC
