"""Tests of the Dockerfile, which no engine builds here: a linter, what the project says of itself, and its choice."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml
from packaging.specifiers import SpecifierSet

from ddbench.dataset import DATA_DIR_VARIABLE
from ddbench.host.files import CACHE_DIR_VARIABLE
from ddbench.pretrained.model_files import MODEL_DIR_VARIABLE

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "Dockerfile"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
HADOLINT = Path(sys.executable).with_name("hadolint")


def instructions():
    """(stage, instruction, text) of each, comments left out; stage 0 is before the first."""
    lines = (line for line in FILE.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#"))
    stage = 0
    for line in re.sub(r"\\\n", "", "\n".join(lines)).splitlines():
        if line.strip():
            name, _, text = line.partition(" ")
            stage += name == "FROM"
            yield stage, name, text.strip()


def texts(name, stage=None):
    return [text for number, found, text in instructions() if found == name and stage in (None, number)]


def values(name, stage=None):
    """The names and values that ARG or ENV instructions set."""
    return {key: value for text in texts(name, stage) for key, _, value in (w.partition("=") for w in text.split())}


def copied():
    """Paths of the checkout that the image is made from."""
    return [word for text in texts("COPY") if not text.startswith("--from") for word in text.split()[:-1]]


@pytest.mark.skipif(not HADOLINT.exists(), reason="hadolint, of the group dev, is not installed")
def test_the_linter_finds_nothing():
    done = subprocess.run([HADOLINT, "--no-color", FILE], capture_output=True, text=True)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


@pytest.mark.skipif(not HADOLINT.exists(), reason="hadolint, of the group dev, is not installed")
def test_the_linter_sees_a_fault(tmp_path):
    bad = tmp_path / "Dockerfile"
    bad.write_text(FILE.read_text(encoding="utf-8").replace("# hadolint ignore=DL3008\n", ""))
    assert "DL3008" in subprocess.run([HADOLINT, "--no-color", bad], capture_output=True, text=True).stdout


def test_both_stages_have_the_same_python_which_continuous_integration_tests():
    """The environment is made in one and used in the other; it names its Python by its path."""
    images = {text.split(" AS ")[0] for text in texts("FROM")}
    assert len(texts("FROM")) == 2
    assert len(images) == 1
    python = values("ARG", 0)["PYTHON"]
    assert python in SpecifierSet(PROJECT["project"]["requires-python"])
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    assert python in workflow["jobs"]["check"]["strategy"]["matrix"]["python"]


def test_what_it_copies_is_there_and_is_what_a_wheel_is_built_from():
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    project = PROJECT["project"]
    needed = {
        "pyproject.toml",
        project["readme"],
        *project["license-files"],
        *wheel["packages"],
        *wheel["force-include"],
    }
    assert sorted(copied()) == sorted(needed)
    assert all((ROOT / path).exists() for path in copied())


def test_the_context_is_what_it_copies_and_nothing_else():
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert sorted(rule.removeprefix("!") for rule in rules[1:] if rule.startswith("!")) == sorted(copied())
    left_out = [rule for rule in rules[1:] if not rule.startswith("!")]
    assert any(fnmatch("ddbench/cli/__pycache__", rule) for rule in left_out)


def test_it_starts_the_program_as_a_user_of_its_own():
    assert [json.loads(text) for text in texts("ENTRYPOINT")] == [list(PROJECT["project"]["scripts"])]
    assert texts("USER", 2) == ["${USER_ID}"]
    assert int(values("ARG", 2)["USER_ID"]) > 0


def test_folders_that_stay_are_volumes_that_the_user_owns():
    (volumes,) = (json.loads(text) for text in texts("VOLUME"))
    environment = values("ENV", 2)
    assert {environment[DATA_DIR_VARIABLE], environment[CACHE_DIR_VARIABLE], *texts("WORKDIR", 2)} == set(volumes)
    assert environment[MODEL_DIR_VARIABLE].startswith(f"{environment[DATA_DIR_VARIABLE]}/")
    assert f"--owner=ddbench --group=ddbench {' '.join(volumes)}" in texts("RUN", 2)[0]


def test_a_compiler_is_in_the_image():
    assert re.search(r"apt-get install .*\bg\+\+( |$)", texts("RUN", 2)[0])


@pytest.mark.parametrize(("device", "backend"), [("cpu", "cpu"), ("cuda", ""), ("tpu", None), ("", None)])
def test_the_device_chooses_the_build_of_torch(device, backend, tmp_path):
    """The command of the image, with a `uv` that prints what it is asked for."""
    (command,) = (text for text in texts("RUN", 1) if "DEVICE" in text)
    (tmp_path / "uv").write_text('#!/bin/sh\necho "$UV_TORCH_BACKEND|$*"\n')
    (tmp_path / "uv").chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "DEVICE": device}
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, env=environment)
    if backend is None:
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == f"DEVICE is cpu or cuda, got {device}\n"
    else:
        assert done.stdout == f"{backend}|pip install --requirements pyproject.toml --extra testing\n"
        assert "testing" in PROJECT["project"]["optional-dependencies"]
