"""Tests of what identifies a measurement: device, machine, versions, commit."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ddbench.errors import BadInputError
from ddbench.host import machine
from ddbench.host.machine import PACKAGES, describe_machine, describe_versions, git_commit, resolve_device

CPU = torch.device("cpu")


@pytest.fixture
def own_threads():
    """Puts the number of torch's threads back."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """Somebody's git checkout, and in it a copy of the package that `git_commit` takes for its own; not yet tracked."""
    source = tmp_path / "project" / "ddbench" / "machine.py"
    source.parent.mkdir(parents=True)
    source.write_text("first\n")
    git(tmp_path / "project", "init", "-q")
    git(tmp_path / "project", "commit", "-q", "--allow-empty", "-m", "theirs")
    monkeypatch.setattr(machine, "__file__", str(source))
    git_commit.cache_clear()
    yield tmp_path / "project"
    git_commit.cache_clear()


def git(folder, *arguments):
    person = ["-c", "user.name=a", "-c", "user.email=a@b.invalid", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", *person, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


def test_device_is_the_gpu_where_there_is_one():
    assert resolve_device().type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert resolve_device("cpu") == resolve_device(CPU) == CPU


def test_missing_gpu_that_was_asked_for_is_one_line():
    with pytest.raises(BadInputError, match=r"device cuda:99 was asked for, but this machine has .* usable") as caught:
        resolve_device("cuda:99")
    assert "\n" not in str(caught.value)
    assert "--device cpu" in str(caught.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_any_gpu_is_missing_where_there_is_none():
    with pytest.raises(BadInputError, match="device cuda was asked for, but this machine has 0 usable GPUs"):
        resolve_device("cuda")


@pytest.mark.gpu
def test_gpu_that_is_there_is_described():
    found = describe_machine(resolve_device("cuda"))
    assert found["gpu"] == torch.cuda.get_device_name()
    assert found["gpu_memory_bytes"] > 0
    assert found["id"] != describe_machine(CPU)["id"]


@pytest.mark.parametrize("name", ["gpu", "", "cpu:x", "meta", "mps"])
def test_other_devices_are_refused_in_one_line(name):
    with pytest.raises(BadInputError, match=f"device must be cpu, cuda or cuda:<index>, got text {name!r}") as caught:
        resolve_device(name)
    assert "\n" not in str(caught.value)


def test_machine_is_described_alike_each_time_and_fits_json():
    found = describe_machine(CPU)
    assert describe_machine(CPU) == found
    assert json.loads(json.dumps(found)) == found
    assert re.fullmatch("[0-9a-f]{8}", found["id"])
    assert (found["device"], found["gpu"]) == ("cpu", None)
    assert found["processor"]
    assert found["cores"] >= 1
    assert found["memory_bytes"] is None or found["memory_bytes"] > 2**20


def test_number_of_threads_is_part_of_the_identity(own_threads):
    identities = set()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        assert describe_machine(CPU)["threads"] == threads
        identities.add(describe_machine(CPU)["id"])
    assert len(identities) == 2


@pytest.mark.installed
def test_versions_name_python_and_every_package():
    found = describe_versions()
    assert list(found) == ["python", *PACKAGES]
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert "missing" not in found.values()


def test_no_path_of_this_machine_is_told():
    told = json.dumps([describe_machine(CPU), describe_versions(), git_commit()])
    assert not re.search(r'(^|["\s=:])(/|~|[A-Z]:\\\\)\w', told)
    for place in (Path.cwd(), Path.home(), Path(sys.prefix), Path(machine.__file__).parent):
        assert str(place) not in told


def test_commit_is_that_of_the_source_tree_and_changes_show(checkout):
    git(checkout, "add", "ddbench")
    git(checkout, "commit", "-q", "-m", "ours")
    head = git(checkout, "rev-parse", "--short=12", "HEAD").strip()
    git(checkout, "tag", "v1")
    assert git_commit() == head
    git_commit.cache_clear()
    (checkout / "ddbench" / "machine.py").write_text("second\n")
    assert git_commit() == f"{head}+"


def test_commit_of_a_project_that_ddbench_is_installed_in_is_not_ours(checkout):
    assert git_commit() == ""


def test_commit_is_empty_outside_a_checkout(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setattr(machine, "__file__", str(tmp_path / "machine.py"))
    git_commit.cache_clear()
    assert git_commit() == ""
    monkeypatch.setenv("PATH", str(tmp_path))  # and where there is no git
    git_commit.cache_clear()
    assert git_commit() == ""
    git_commit.cache_clear()
