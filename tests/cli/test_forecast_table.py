"""What `ddbench run --dry-run` prints."""

from __future__ import annotations

import yaml

from ddbench.cli._forecast_table import describe_bytes, summarise
from ddbench.cli.main import main
from ddbench.forecast.suite_forecast import CellForecast, PhaseForecast
from ddbench.runs.suite import Suite

(CELL,) = Suite(name="s", protocol="quick", datasets=("digits",), methods=("random_real",), ipc=(1,)).cells()


def test_bytes_and_unknown_ones():
    assert [describe_bytes(count) for count in (5 * 2**20, 3 * 2**30, None)] == ["5 MiB", "3.0 GiB", "unknown"]


def test_totals_count_what_will_run():
    running = CellForecast(CELL, "", {"evaluate": PhaseForecast(90.0, 10, "calibrated")}, 2**30)
    unknown = CellForecast(CELL, "", {"distill": PhaseForecast(None, 0, "unknown")}, None)
    done, skipped = CellForecast(CELL, "done", {}), CellForecast(CELL, "will be skipped: too few", {})
    first, *meanings = summarise([running, running, unknown, done, skipped])
    assert first == (
        "3 of 5 cells to run, 1 done, 1 will be skipped: about 3 min and 1 phase of unknown length, "
        "at most 1.0 GiB of memory at once in the known ones"
    )
    assert [line.partition(":")[0] for line in meanings[:2]] == ["calibrated", "unknown"]
    assert summarise([done]) == ["0 of 1 cells to run, 1 done: about 0.0 s"]


def test_a_dry_run_prints_the_total_then_each_method_and_size_and_writes_nothing(
    tmp_path, own_cache, capsys, monkeypatch
):
    monkeypatch.setenv("COLUMNS", "200")
    suite = tmp_path / "suite.yaml"
    suite.write_text(
        yaml.safe_dump(
            {
                "name": "small",
                "protocol": "quick",
                "datasets": ["digits"],
                "networks": ["convnet-d1-w8"],
                "methods": ["random_real"],
                "ipc": [1, 5000],
                "distill_seeds": 3,
            }
        )
    )
    assert main(["run", str(suite), "--dry-run", "--results", str(tmp_path / "results"), "--device", "cpu"]) == 0
    printed = capsys.readouterr().out
    first, _, heading, *table = printed.splitlines()
    assert first.startswith("3 of 6 cells to run, 3 will be skipped: about")
    assert heading == "digits, convnet-d1-w8"
    assert table[0].split()[:3] == ["method", "size", "cells"]
    assert table[2].split()[:4] == ["random_real", "ipc", "1", "3"]
    assert table[3].split()[:4] == ["random_real", "ipc", "5000", "3"]
    assert "will be skipped" in table[3]
    assert not (tmp_path / "results").exists()
