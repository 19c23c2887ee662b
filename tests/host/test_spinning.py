"""Tests of how long threads spin: what a user has said stays, and a started program has it from the beginning."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from ddbench.host.spinning import SAID, SPINS, spin_briefly

SETTINGS = (
    "import sys; from ddbench.cli.main import main; sys.argv = ['ddbench', 'list', 'protocols']; main(); import torch"
)


def environment(**said):
    return {name: value for name, value in os.environ.items() if name not in SAID} | said


@pytest.mark.parametrize("said", [{"GOMP_SPINCOUNT": "7"}, {"OMP_WAIT_POLICY": "active"}], ids=str)
def test_what_a_user_has_said_stays(monkeypatch, said):
    for name in SAID:
        monkeypatch.delenv(name, raising=False)
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    spin_briefly()
    assert {name: os.environ[name] for name in SAID if name in os.environ} == said


def test_otherwise_they_spin_briefly(monkeypatch):
    for name in SAID:
        monkeypatch.delenv(name, raising=False)
    spin_briefly()
    assert {name: os.environ[name] for name in SAID if name in os.environ} == {"GOMP_SPINCOUNT": SPINS}


@pytest.mark.skipif(sys.platform != "linux", reason="torch computes with another OpenMP here")
def test_the_program_says_it_before_torch_is_there():
    told = environment(OMP_DISPLAY_ENV="verbose")  # the library prints what it goes by when it is loaded
    done = subprocess.run([sys.executable, "-c", SETTINGS], env=told, capture_output=True, text=True, check=True)
    assert f"GOMP_SPINCOUNT = '{SPINS}'" in done.stderr
