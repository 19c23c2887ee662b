"""The pack itself, on any machine: steps that are killed, fail or are cut off, and what is made of what they leave."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

from ddbench.errors import BadInputError
from ddbench.forecast.suite_forecast import OtherMachine, forecast_suite
from ddbench.runs.distill import RunOptions
from ddbench.runs.results_store import Store, read_results
from ddbench.runs.suite import Suite
from tests.gpu import pack
from tests.gpu._computations import distribution_match, network_gradients
from tests.gpu._same import compare
from tests.gpu._step import Step
from tests.gpu.take_over import slug, table, take_over

CPU = torch.device("cpu")


def make_step(folder: Path, seconds: float = 60.0) -> Step:
    return Step("trial", folder, folder, seconds, dry_run=True, device=CPU)


def kept(folder: Path, name: str = "trial") -> dict:
    return json.loads((folder / f"{name}.json").read_text())


def test_a_part_that_fails_is_kept_with_its_last_lines_and_the_next_one_runs(tmp_path):
    step = make_step(tmp_path)
    assert step.part("bad", lambda: 1 / 0) is None
    assert step.part("good", lambda: 7) == 7
    found = kept(tmp_path)
    assert found["failed"] == ["bad"]
    assert found["parts"]["bad"]["error"] == "ZeroDivisionError: division by zero"
    assert "1 / 0" in "\n".join(found["parts"]["bad"]["lines"])
    assert found["parts"]["good"] == 7
    assert not found["is_whole"]


def test_a_part_for_which_no_time_is_left_is_not_begun_and_says_so(tmp_path):
    step = make_step(tmp_path, seconds=10)
    assert step.part("long", lambda: pytest.fail("begun"), needs=20) is None
    assert re.match(r"needs 20 s, \d s were left", kept(tmp_path)["parts"]["long"]["not_run"])
    assert step.failed == []


@pytest.mark.slow
def test_a_step_killed_in_the_middle_leaves_what_it_had_and_the_others_run(tmp_path, monkeypatch, capsys):
    run = pack.run

    def run_in_time(name, out, work, seconds, log, **options):  # `correct` has less than it needs
        return run(name, out, work, 1.0 if name == "correct" else seconds, log, **options)

    monkeypatch.setattr(pack, "run", run_in_time)
    monkeypatch.setattr(pack, "STEPS", {"correct": 1, "no_such_step": 1})
    assert pack.main(["--out", str(tmp_path), "--dry-run"]) == 1
    printed = capsys.readouterr().out
    summary = printed[printed.index("Summary") :]
    assert re.search(r"correct: killed after its 1 s, \d+ s", summary)
    # A step that ends with an error is there with its last lines.
    assert "no_such_step: failed, exit code 1" in summary
    assert "No module named tests.gpu.no_such_step" in summary
    assert printed == (tmp_path / "log").read_text()


@pytest.mark.slow
def test_killing_at_any_moment_leaves_whole_files(tmp_path):
    with (tmp_path / "log").open("a") as log:
        seconds = 4.0
        while not (tmp_path / "correct.json").is_file():
            ended = pack.run("correct", tmp_path, tmp_path, seconds, log, dry_run=True)
            seconds *= 2
    found = kept(tmp_path, "correct")  # a whole JSON, whenever it was killed: also between its last write and its end
    assert found["is_whole"] or ended.state != "ok"
    assert f"correct: {ended.state}" in pack.summary(["correct", "meter"], [ended], tmp_path)
    assert "meter: not run" in pack.summary(["correct", "meter"], [ended], tmp_path)


def test_bad_arguments_are_told(tmp_path, capsys):
    for arguments in (["--only", "sped"], ["--minutes", "0"], ["--minutes", "nan"]):
        with pytest.raises(SystemExit) as stopped:
            pack.main(["--out", str(tmp_path), *arguments])
        assert stopped.value.code == 2
    assert "invalid choice: 'sped'" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is there")
def test_without_a_gpu_only_a_dry_run_runs(tmp_path, capsys):
    assert pack.main(["--out", str(tmp_path), "--minutes", "1", "--only", "meter"]) == 1
    assert "this machine has no CUDA device; --dry-run runs every step" in capsys.readouterr().out


@pytest.mark.parametrize("computation", [network_gradients("convnet-d3-w8"), distribution_match("convnet-d3-w8")])
def test_rounding_of_float32_lies_within_the_bound_and_that_of_tf32_does_not(computation):
    def in_tf32(give):
        def rounded(tensor):
            values = give(tensor)
            if values.dtype != torch.float32:
                return values
            return (values.view(torch.int32) + 0x1000 & ~0x1FFF).view(torch.float32)  # ten bits of mantissa

        return computation(rounded)

    assert all(errors["holds"] for errors in compare(computation, CPU).values())
    assert not any(errors["holds"] for errors in compare(in_tf32, CPU).values())


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> Path:
    """What a dry run leaves, made to look as if a GPU had measured it."""
    folder = tmp_path_factory.mktemp("measured")
    assert pack.main(["--out", str(folder), "--dry-run"]) == 0
    for name in ("doctor", "speed", "rows"):
        record = kept(folder, name)
        record["dry_run"] = False
        if name == "doctor":
            record["parts"]["machine"] |= {"device_name": "NVIDIA H200", "id": "elsewhere", "device": "cuda"}
        for result in record["parts"].get("results", []):
            result["machine"] |= {"id": "elsewhere", "device": "cuda"}
        (folder / f"{name}.json").write_text(json.dumps(record))
    return folder


@pytest.mark.slow
def test_a_dry_run_leaves_eight_small_files_at_most(measured):
    sizes = {path.name: path.stat().st_size for path in measured.iterdir()}
    steps = {f"{name}.json" for name in pack.STEPS if name != "backbone"}
    assert sizes.keys() == {"log", "backbone.safetensors", *steps}
    assert len(sizes) == 8
    assert max(size for name, size in sizes.items() if name != "backbone.safetensors") < 2**20
    assert pack.read_record(measured, "backbone")["parts"]["training"]["steps"] == 5


@pytest.mark.slow
def test_what_was_found_becomes_results_a_table_and_a_picture(measured, tmp_path):
    said = take_over(measured, tmp_path)
    target = tmp_path / "nvidia_h200"
    assert [result.method for result in read_results([target])] == ["random_real"]
    assert (target / "pack" / "samples.png").stat().st_size > 0
    rows = [line for line in said if line.startswith("| ")]
    assert rows == table({"speed": kept(measured, "speed")})
    assert any("student training, IPC 10 | 2 at once, captured |" in row for row in rows)
    assert slug("NVIDIA GeForce RTX 4090 (24 GB)") == "nvidia_geforce_rtx_4090_24_gb"


def test_folders_that_measured_nothing_are_refused(tmp_path):
    with pytest.raises(BadInputError, match="holds no findings of step doctor"):
        take_over(tmp_path, tmp_path / "out")
    (tmp_path / "doctor.json").write_text(json.dumps({"dry_run": True, "parts": {"machine": {"id": "x"}}}))
    with pytest.raises(BadInputError, match="is of a dry run"):
        take_over(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_forecast_for_the_machine_that_was_measured(measured, tmp_path):
    elsewhere = OtherMachine.load(measured)
    content = {"name": "s", "protocol": "quick", "datasets": ["digits"], "ipc": [1, 10], "students": 1}
    methods = ["random_real", {"name": "dm", "settings": {"network": "convnet-d3-w4"}}]
    suite = Suite.model_validate({**content, "methods": methods})
    cells = forecast_suite(suite, Store(tmp_path), RunOptions(device="cpu"), elsewhere)
    found = {(cell.cell.method, cell.cell.ipc): cell for cell in cells}
    # The recorded cell itself, another IPC of it, and a network that the other machine has not measured on digits.
    took = kept(measured, "rows")["parts"]["results"][0]["phases"][-1]["reading"]["seconds"]
    assert found["random_real", 1].phases["evaluate"].seconds == pytest.approx(took)
    assert found["random_real", 10].phases["evaluate"].basis == "earlier"
    assert found["dm", 1].phases["distill"].basis == "unknown"


def test_a_forecast_for_no_machine_is_refused(tmp_path):
    (tmp_path / "doctor.json").write_text('{"parts": {}}')
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(BadInputError, match="is not a folder of measurements"):
            OtherMachine.load(folder)
