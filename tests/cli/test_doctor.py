"""Tests of the diagnosis: what it recognises, and that every remedy is named."""

import subprocess
import sys

import pytest

from ddbench.cli.doctor import (
    Finding,
    check_dataset,
    check_imports,
    check_native_code,
    check_torch_build,
    diagnose,
    explain_torch_build,
)
from ddbench.dataset import load_dataset
from ddbench.registry import Registry

VERSIONS = {"torch": "2.9.0+cpu", "torchvision": "0.24.0+cu128"}
NMS = "Traceback (most recent call last):\nRuntimeError: operator torchvision::nms does not exist\n"
SYMBOL = "ImportError: _C.so: undefined symbol: _ZN3c10\n"


@pytest.fixture
def broken_torchvision(tmp_path, monkeypatch):
    """A torchvision that fails at import as one from another build than torch's does."""
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


@pytest.mark.parametrize("errors", [NMS, SYMBOL], ids=["nms", "symbol"])
def test_torch_and_torchvision_of_different_builds_are_recognised(errors):
    finding = explain_torch_build(1, errors, VERSIONS)
    assert finding.is_error
    assert finding.mark == "!!"
    assert "torch 2.9.0+cpu and torchvision 0.24.0+cu128 come from different builds" in finding.text
    assert errors.strip().splitlines()[-1] in finding.text
    assert "pip install --force-reinstall torch torchvision" in finding.text
    assert "\n" not in finding.text


@pytest.mark.parametrize(
    ("code", "errors", "shown"),
    [
        (1, "ModuleNotFoundError: No module named 'torchvision'\n", "No module named 'torchvision'"),
        (-11, "", "code -11"),
    ],
)
def test_other_failures_show_their_last_line_or_exit_code(code, errors, shown):
    finding = explain_torch_build(code, errors, VERSIONS)
    assert finding.is_error
    assert shown in finding.text
    assert "reinstall" in finding.text


def test_builds_that_work_together_are_no_error_whatever_they_warn():
    finding = explain_torch_build(0, "UserWarning: torchvision::nms is slow\n", VERSIONS)
    assert finding == Finding("torch build", "torch 2.9.0+cpu and torchvision 0.24.0+cu128 work together")
    assert finding.mark == "ok"


@pytest.mark.usefixtures("broken_torchvision")
def test_import_is_really_tried_in_another_process():
    finding = check_torch_build()
    assert finding.is_error
    assert "operator torchvision::nms does not exist" in finding.text


@pytest.mark.usefixtures("broken_torchvision")
def test_nothing_more_is_looked_at_where_torchvision_cannot_be_imported(tmp_path):
    assert [(finding.topic, finding.is_error) for finding in diagnose(tmp_path)] == [
        ("versions", False),
        ("torch build", True),
    ]


def test_data_that_is_there_is_described():
    finding = check_dataset("digits", None)
    assert not finding.is_error
    assert finding.topic == "digits"
    assert "1x8x8, 10 classes" in finding.text
    assert load_dataset("digits").info.fingerprint in finding.details


@pytest.mark.parametrize(
    ("name", "remedy"),
    [("cifar10", "ddbench"), ("mnist", "ddbench"), ("imagenette", "put the ILSVRC 2012 images there")],
)
def test_missing_data_is_no_error_and_names_what_to_do(tmp_path, name, remedy):
    finding = check_dataset(name, tmp_path)
    assert not finding.is_error
    assert finding.text.startswith("not installed; ")
    assert finding.mark == "--"
    assert "looked for" in finding.details
    assert remedy in finding.text
    assert "\n" not in finding.text


def test_data_that_cannot_be_used_is_an_error(tmp_path):
    (tmp_path / "one.txt").touch()
    for name in ("no_such_data", f"image_folder:{tmp_path},colour=9"):
        finding = check_dataset(name, tmp_path)
        assert finding.is_error
        assert "\n" not in finding.text


def test_entries_that_fail_to_import_are_listed_with_their_true_error(tmp_path, monkeypatch):
    package = tmp_path / "doctored_things"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "broken.py").write_text("import no_such_module_anywhere\n")
    monkeypatch.syspath_prepend(tmp_path)
    things = Registry("thing", "doctored_things")
    things.register("whole")(1)
    (finding,) = check_imports(things)
    assert finding.is_error
    assert "'broken' is there but failed to import: ModuleNotFoundError: No module named" in finding.text


def test_entries_that_all_import_are_counted():
    things = Registry("thing")
    things.register("one")(1)
    assert check_imports(things) == [Finding("things", "all 1 load")]


@pytest.mark.compiler
def test_native_code_is_compiled():
    assert check_native_code() == Finding("native code", "compiled")


@pytest.mark.slow
def test_native_code_that_cannot_be_compiled_is_said_to_be_missing_with_its_remedy(own_cache, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    # In a process of its own: this one keeps what it has compiled.
    program = "from ddbench.cli.doctor import check_native_code; f = check_native_code(); print(f.is_error, f.text)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("False ")
    assert done.stdout.endswith("(slower): there is no C++ compiler; install one, or name it by $CXX\n")
