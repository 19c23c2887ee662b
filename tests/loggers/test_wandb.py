"""The offline file of Weights & Biases holds what the run has logged, and nothing goes to a server unasked."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ddbench.errors import BadInputError
from ddbench.loggers.wandb import _mode
from tests.loggers._logged import TITLE, assert_same_numbers, pixels_of
from tests.loggers._wandb_file import read_records

HOST = "https://a.server"


@pytest.fixture(scope="module")
def logged(run_once):
    with pytest.MonkeyPatch.context() as patch:
        for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_PROJECT"):
            patch.delenv(name, raising=False)
        return run_once("wandb")


@pytest.fixture(scope="module")
def run_folder(logged):
    (folder,) = (logged.logs / "wandb" / TITLE / "wandb").glob("offline-run-*")
    return folder


@pytest.fixture(scope="module")
def records(run_folder):
    """All records of the run's file by kind."""
    (path,) = run_folder.glob("run-*.wandb")
    return read_records(path)


def items(entries):
    """Names and values of history, summary or config entries."""
    return {"/".join(entry.nested_key) or entry.key: json.loads(entry.value_json) for entry in entries}


def history(records, name):
    """The values of a name by the step logged beside them."""
    rows = [items(row.item) for row in records["history"]]
    return {row["step"]: row[name] for row in rows if name in row}


def test_losses_are_there_by_step(logged, records):
    assert list(logged.losses) == [0, 100, 200]
    assert history(records, "loss") == logged.losses


def test_images_are_there_by_step_and_the_set_at_the_end(logged, records, run_folder):
    assert list(history(records, "images/path")) == [0, 100, 200]
    last = run_folder / "files" / history(records, "distilled/path")[0]
    assert np.array_equal(pixels_of(last), logged.picture)


def test_settings_are_its_config_and_the_title_its_name(logged, records):
    (run,) = records["run"]
    assert run.display_name == TITLE
    assert run.project == "ddbench"
    found = items(run.config.update)
    assert {name: found[name] for name in logged.settings} == logged.settings


def test_metrics_and_costs_are_its_summary(logged, records):
    summary: dict[str, float] = {}
    for record in records["summary"]:
        summary |= items(record.update)
    assert {name: value for name, value in summary.items() if name.startswith("result/")} == logged.values
    assert records["exit"][0].exit_code == 0


@pytest.fixture
def no_login(monkeypatch, tmp_path):
    """A machine that is logged in to no server; returns its netrc file."""
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path / "netrc"


def test_it_is_offline_without_a_login(no_login):
    assert _mode(HOST) == "offline"


@pytest.mark.parametrize("kind", ["WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "login"])
def test_it_is_online_after_a_login_unless_told_otherwise(kind, no_login, monkeypatch):
    if kind == "login":
        no_login.write_text("machine a.server\n  login user\n  password secret\n")
        assert _mode("https://another.server") == "offline"
    else:
        monkeypatch.setenv(kind, "secret")
    assert _mode(HOST) == "online"
    for mode in ("offline", "online", "disabled"):
        monkeypatch.setenv("WANDB_MODE", mode)
        assert _mode(HOST) == mode


def test_online_without_a_login_is_refused_instead_of_asked_for(no_login, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "online")
    with pytest.raises(BadInputError, match="wandb login"):
        _mode(HOST)


def test_numbers_are_those_of_a_run_without_it(logged, run_once):
    assert_same_numbers(logged, run_once())
    assert logged.result.engine == {**run_once().result.engine, "loggers": "wandb"}
