"""Loggers of a run: what reaches them, that they change nothing, and that no failure of theirs ends a run."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ddbench import distill, evaluate, run_suite
from ddbench.cli.main import main
from ddbench.errors import BadInputError, UnknownNameError
from ddbench.logger import LoggedRun, Logger
from ddbench.registry import LOGGERS
from ddbench.runs.cell import run_cell
from ddbench.runs.distill import RunOptions
from ddbench.runs.logged_values import is_images, picture_of
from ddbench.runs.results_store import Store, read_results
from ddbench.runs.run_log import RunLog
from tests._toy import INFO
from tests.loggers._logged import CELL, run_logged
from tests.runs.test_suite_runner import write_suite

pytestmark = pytest.mark.usefixtures("own_cache")
CPU = RunOptions(device="cpu")
SHORT = CELL.model_copy(update={"config": {**CELL.config, "steps": 2}})


class Kept(Logger):
    """Keeps what it is given, in the process."""

    runs: ClassVar[list[Kept]] = []

    def __init__(self, run: LoggedRun) -> None:
        self.run, self.values, self.states = run, [], []
        self.runs.append(self)

    def scalar(self, name, value, step):
        self.values.append((name, step, value))

    def text(self, name, value, step):
        self.values.append((name, step, value))

    def image(self, name, picture, step):
        self.values.append((name, step, picture.shape))

    def close(self, state):
        self.states.append(state)


class Full(Kept):
    """Writes to a full disk."""

    def scalar(self, name, value, step):
        with Path("/dev/full").open("w") as file:
            file.write(f"{value}\n")


class Shut(Kept):
    """Cannot be opened."""

    def __init__(self, run):
        raise ConnectionRefusedError(111, "no server")


class Leaves(Kept):
    """Ends the process, as trackers do that are not content with where they are."""

    def scalar(self, name, value, step):
        sys.exit("not logged in")


class Absent(Kept):
    """Needs what nobody has."""

    package, install = "no_such_tracker", "ddbench[absent]"


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    """The loggers above under their names."""
    monkeypatch.setattr(Kept, "runs", [])
    for logger in (Kept, Full, Shut, Leaves, Absent):
        monkeypatch.setitem(LOGGERS._entries, logger.__name__.lower(), logger)


def run_log(folder, *names, every=1):
    return RunLog(names, folder, "a-run", {"method": "dm", "config": {"steps": 3, "lr": None}}, every)


def test_steps_stand_in_brackets_and_other_values_are_counted(tmp_path):
    log = run_log(tmp_path, "kept")
    for name in ("loss[0]", "rate", "loss[100]", "rate", "part[1, 2]", "part[1, 3]", "a: b[7]"):
        log.log(name, 0.5)
    expected = [("loss", 0), ("rate", 0), ("loss", 100), ("rate", 1), ("part", 0), ("part", 1), ("a: b", 7)]
    assert Kept.runs[0].values == [(name, step, 0.5) for name, step in expected]


def test_values_are_numbers_images_or_texts(tmp_path):
    log = run_log(tmp_path, "kept")
    for value in (1, torch.tensor(2.0), np.float32(3), np.array([4.0]), True, "five", [6], torch.zeros(2)):
        log.log("v", value)
    log.log("v", torch.zeros(4, 3, 8, 8, dtype=torch.uint8))
    kept = [value for _, _, value in Kept.runs[0].values]
    assert kept == [1.0, 2.0, 3.0, 4.0, "True", "five", "[6]", "tensor([0., 0.])", (22, 22, 3)]
    assert Kept.runs[0].run.settings == {"method": "dm", "config.steps": 3, "config.lr": "None"}


def test_every_nth_value_of_a_name_is_kept_from_the_first_on(tmp_path):
    log = run_log(tmp_path, "kept", every=3)
    for step in range(0, 70, 10):
        log.log(f"loss[{step}]", float(step))
        log.log("rate", float(step))
    assert [value[:2] for value in Kept.runs[0].values] == [
        ("loss", 0), ("rate", 0), ("loss", 30), ("rate", 3), ("loss", 60), ("rate", 6),
    ]  # fmt: skip


def test_a_picture_shows_normalised_images_as_pixels():
    pixels = torch.randint(256, (4, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    picture = picture_of(INFO.normalise(pixels), INFO)
    assert np.array_equal(picture, picture_of(pixels))
    assert np.array_equal(picture[2:10, 12:20], pixels[1].permute(1, 2, 0).numpy())
    assert picture.shape == (22, 22, 3)
    assert picture_of(torch.full((1, 1, 4, 4), 2.0)).tolist() == picture_of(torch.ones(1, 1, 4, 4)).tolist()


@pytest.mark.parametrize(("count", "side", "shown"), [(5000, 8, 100), (90, 8, 90), (64, 256, 16), (3, 700, 2)])
def test_a_picture_has_a_hundred_images_and_a_megapixel_at_most(count, side, shown):
    images = torch.zeros(1, 1, 1, 1, dtype=torch.uint8).expand(count, 1, side, side)
    height, width, _ = picture_of(images).shape
    assert ((height - 2) // (side + 2)) * ((width - 2) // (side + 2)) == shown


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 4, 8, 8), (0, 3, 8, 8)])
def test_other_tensors_are_no_images(shape):
    assert not is_images(torch.zeros(shape))
    assert not is_images(torch.zeros(2, 3, 8, 8, dtype=torch.int64))


def test_without_loggers_nothing_is_written_and_images_are_not_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cell").mkdir()
    run_cell(SHORT, CPU, tmp_path / "cell")
    assert sorted(path.name for path in (tmp_path / "cell").iterdir()) == ["distilled", "log.txt"]
    assert not (tmp_path / "logs").exists()
    assert "images" not in (tmp_path / "cell" / "log.txt").read_text()
    assert not CPU.context(torch.Generator(), tmp_path, INFO).shows_images


def test_methods_show_their_images_where_they_log_losses(tmp_path):
    for method, settings in (
        ("dm", {"network": "convnet-d1-w8", "steps": 1, "real_batch_size": 4}),
        ("dsa", {"network": "convnet-d1-w8", "steps": 1, "real_batch_size": 4}),
    ):
        distill(method, "digits", 1, 0, settings, options=replace(CPU, loggers=("kept",)))
    for run in Kept.runs:
        names = [name for name, _, _ in run.values]
        assert names[:3] == ["loss", "images", "distilled"]
        assert run.states == ["finished"]
        assert "result/distill/seconds" in names


@pytest.mark.parametrize("zca", [False, True])
def test_trajectory_matching_shows_pixels_whatever_space_it_works_in(zca, tmp_path):
    from ddbench.registry import METHODS

    settings = {**METHODS.get("mtt").smoke_settings, "zca": zca, "steps": 1, "image_lr": 1e-9}
    made = distill("mtt", "digits", 1, 0, settings, options=replace(CPU, loggers=("tensorboard",), log_dir=tmp_path))
    (folder,) = (tmp_path / "tensorboard").iterdir()
    events = EventAccumulator(str(folder)).Reload()
    first, last = (events.Images(name)[0].encoded_image_string for name in ("images", "distilled"))
    assert first == last
    assert made.space == ("zca" if zca else "normalised")


def test_an_evaluation_of_its_own_is_a_run_of_its_own(tmp_path):
    made = distill("random_real", "digits", 1, options=CPU)
    options = replace(CPU, loggers=("kept",), log_dir=tmp_path)
    result = evaluate(made, "digits", "quick", "convnet-d1-w8", students=2, options=options)
    (run,) = Kept.runs
    assert run.run.name.startswith("random_real-digits-ipc1-seed0-")
    assert run.run.settings["protocol"] == "quick"
    assert ("result/test_accuracy", 0, result.metric("test_accuracy").mean) in run.values


def test_a_logger_that_fails_is_one_warning_and_the_others_go_on(tmp_path):
    with pytest.warns(UserWarning, match="^logger (shut|full|leaves) ") as told:
        logged = run_logged(tmp_path, "shut", "full", "leaves", "kept")
    assert [str(warning.message) for warning in told] == [
        "logger shut could not be opened, the run continues without it: ConnectionRefusedError: [Errno 111] no server",
        "logger full failed, the run continues without it: OSError: [Errno 28] No space left on device",
        "logger leaves failed, the run continues without it: SystemExit: not logged in",
    ]
    full, leaves, kept = Kept.runs
    assert full.states == leaves.states == ["failed"]
    assert kept.states == ["finished"]
    assert {step: value for name, step, value in kept.values if name == "loss"} == logged.losses
    assert logged.result.status == "ok"


def test_what_cannot_be_shown_is_told_and_left_out(tmp_path):
    class Odd:
        def __str__(self):
            raise ValueError("no words")

    log = run_log(tmp_path, "kept")
    with pytest.warns(UserWarning, match=r"odd\[3\] is not logged: ValueError: no words"):
        log.log("odd[3]", Odd())
    log.log("even[4]", 4)
    assert Kept.runs[0].values == [("even", 4, 4.0)]


def test_loggers_are_closed_after_a_failure_and_an_interrupt(tmp_path):
    options = replace(CPU, loggers=("kept",))
    failed = run_cell(SHORT.model_copy(update={"ipc": 1000}), options, tmp_path)

    def interrupted(iterable, description, state=None):
        yield from ()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_cell(SHORT, replace(options, track=interrupted), tmp_path)
    with pytest.raises(BadInputError):
        distill("dm", "digits", 1, 0, {"network": "convnet-d9"}, options=options)
    assert [run.states for run in Kept.runs] == [["failed"], ["killed"], ["failed"]]
    assert ("result/reason", 0, f"skipped: {failed.reason}") in Kept.runs[0].values


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("tensorbord", UnknownNameError, "unknown logger 'tensorbord'; did you mean tensorboard?"),
        ("absent", BadInputError, r"no_such_tracker, which is not installed: pip install 'ddbench\[absent\]'"),
    ],
)
def test_a_logger_that_is_not_there_is_refused_before_any_work(name, error, message, tmp_path, capsys):
    with pytest.raises(error, match=message):
        RunOptions(loggers=(name,))
    suite = str(write_suite(tmp_path / "s.yaml"))
    for command in (
        ["run", suite, "--results", str(tmp_path / "results")],
        ["distill", "random_real", "--dataset", "digits", "--ipc", "1", "--out", str(tmp_path / "set")],
        ["quickstart", "--out", str(tmp_path / "quick")],
    ):
        assert main([*command, "--logger", "tensorboard", "--logger", name]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["s.yaml"]


def test_results_are_read_as_before_beside_logs_of_any_form(tmp_path):
    suite, results = write_suite(tmp_path / "s.yaml"), tmp_path / "results"
    done = run_suite(suite, results, replace(CPU, loggers=("tensorboard",)))
    (results / "logs" / "lines").mkdir()
    (results / "logs" / "lines" / "log.jsonl").write_text('{"loss": 1}\n')
    assert {path.name for path in (results / "logs").iterdir()} == {"tensorboard", "lines"}
    assert len(list((results / "logs" / "tensorboard").iterdir())) == 2
    for read in (read_results([results]), Store(results).results()):
        assert sorted(read, key=lambda result: result.distill_seed) == done
    for result in done:
        (results / result.key / "result.json").unlink()
    with pytest.raises(BadInputError, match="holds no results"):
        read_results([results])


def test_the_command_line_logs_beside_the_set(tmp_path, capsys):
    command = ["distill", "dm", "--dataset", "digits", "--ipc", "1", "--set", "network=convnet-d1-w8"]
    command += ["--set", "steps=301", "--set", "real_batch_size=4", "--logger", "tensorboard", "--log-every", "2"]
    assert main([*command, "--out", str(tmp_path / "set"), "--device", "cpu"]) == 0
    logs = tmp_path / "logs" / "tensorboard"
    assert f"logs: {logs}\n" in capsys.readouterr().out
    (run,) = logs.iterdir()
    events = EventAccumulator(str(run)).Reload()
    assert [event.step for event in events.Scalars("loss")] == [0, 200]
    assert [event.step for event in events.Images("images")] == [0, 200]


# Runs a suite with loggers; waits in the second cell where asked to, after what it has logged.
PROGRAM = """
import sys, time
from ddbench.runs.distill import RunOptions
from ddbench.runs.suite_runner import run_suite

def track(items, description, state=None):
    for index, item in enumerate(items):
        if len(sys.argv) > 3 and index == 150:
            print("waits", flush=True)
            time.sleep(3600)
        yield item

if __name__ == "__main__":
    options = RunOptions(device="cpu", loggers=("tensorboard", "wandb", "mlflow"), track=track)
    run_suite(sys.argv[1], sys.argv[2], options)
"""


@pytest.fixture
def start(tmp_path):
    """A function that starts a process which runs a suite of DM with every logger."""
    method = {"name": "dm", "settings": {"network": "convnet-d1-w8", "steps": 201, "real_batch_size": 4}}
    suite = write_suite(tmp_path / "s.yaml", methods=[method])
    (tmp_path / "program.py").write_text(PROGRAM)
    processes = []

    def begin(*arguments):
        command = [sys.executable, str(tmp_path / "program.py"), str(suite), str(tmp_path / "results"), *arguments]
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return processes[-1]

    yield begin
    for process in processes:
        process.kill()
        process.communicate()


def losses(results):
    """The losses by step of each run that TensorBoard finds, by folder."""
    found = {}
    for folder in sorted((results / "logs" / "tensorboard").iterdir()):
        events = EventAccumulator(str(folder)).Reload()
        found[folder.name] = [event.step for event in events.Scalars("loss")]
    return found


def runs_of(results, kind):
    if kind == "wandb":
        return [path.parents[2].name for path in (results / "logs" / "wandb").glob("*/wandb/offline-run-*/*.wandb")]
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{results / 'logs' / 'mlflow' / 'mlflow.db'}")
    found = client.search_runs([client.get_experiment_by_name("ddbench").experiment_id])
    return [(run.info.run_name, run.info.status, run.data.metrics.get("result/test_accuracy")) for run in found]


@pytest.mark.slow
def test_two_processes_log_into_one_results_folder(start, tmp_path):
    processes = start(), start()
    said = [process.communicate(timeout=300) for process in processes]
    assert [(process.returncode, *texts) for process, texts in zip(processes, said, strict=True)] == [(0, "", "")] * 2
    results = tmp_path / "results"
    done = read_results([results])
    assert len(done) == 2
    found = losses(results)
    assert list(found.values()) == [[0, 100, 200]] * 2
    assert sorted(runs_of(results, "wandb")) == sorted(found)
    expected = {(title_of_cell(r), "FINISHED", r.metric("test_accuracy").mean) for r in done}
    assert set(runs_of(results, "mlflow")) == expected


def title_of_cell(result):
    return f"dm-digits-ipc{result.ipc}-seed{result.distill_seed}-{result.key[:8]}"


@pytest.mark.slow
def test_a_cell_that_was_killed_and_done_again_is_two_runs(start, tmp_path):
    killed = start("wait")
    assert killed.stdout.readline() == "waits\n"
    results = tmp_path / "results"
    deadline = time.monotonic() + 60  # what was logged is written within seconds
    while not any(steps for steps in losses(results).values()) and time.monotonic() < deadline:
        time.sleep(0.5)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    (first,) = losses(results)
    done = start()
    assert done.communicate(timeout=300) == ("", "")
    found = losses(results)
    assert len(found) == 3
    assert found[first] == [0, 100]
    assert found[f"{first}-2"] == [0, 100, 200]
    states = [status for name, status, _ in runs_of(results, "mlflow") if name == first]
    assert sorted(states) == ["FINISHED", "RUNNING"]
