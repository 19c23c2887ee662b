"""Tests that no command runs modules that lie in the folder one works in."""

import os
import subprocess
import sys

import pytest

from ddbench.host.files import CACHE_DIR_VARIABLE

pytestmark = [pytest.mark.slow, pytest.mark.installed]

# Not those that Python itself imports before it finds the program to run: `collections`, `types` and the like.
NAMES = (
    *("torch", "torchvision", "numpy", "typer", "rich", "pytest", "conftest", "test_x", "site", "sitecustomize"),
    *("typing", "__future__", "re", "json", "random", "multiprocessing", "subprocess", "ddbench_plugin"),
)


@pytest.fixture
def hostile(tmp_path):
    """A folder full of modules that leave a file when they are run, and of an installed plug-in's records."""
    folder = tmp_path / "hostile"
    folder.mkdir()
    for name in NAMES:
        (folder / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'a').write('{name} ')\n")
    (folder / "pytest.ini").write_text("[pytest]\naddopts = -p test_x\n")
    record = folder / "evil-1.0.dist-info"
    record.mkdir()
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n")
    (record / "entry_points.txt").write_text("[ddbench.methods]\nevil = ddbench_plugin:Evil\n")
    return folder


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--version"], 0),
        (["list"], 0),
        (["check", "protocol", "quick"], 0),
        (["check", "evil"], 2),
        (["distill", "random_real", "--dataset", "digits", "--ipc", "1", "--out", "set"], 0),
    ],
)
@pytest.mark.parametrize("module", ["ddbench", "ddbench.cli.main"])
def test_no_module_of_the_working_folder_is_run(hostile, tmp_path, module, arguments, code):
    if module != "ddbench" and arguments[0] == "check":
        pytest.skip("the same once the program has begun")
    environment = {**os.environ, CACHE_DIR_VARIABLE: str(tmp_path / "cache")}
    environment.pop("PYTHONSAFEPATH", None)
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments], cwd=hostile, env=environment, capture_output=True, text=True
    )
    assert not (tmp_path / "ran").exists(), (tmp_path / "ran").read_text()
    assert done.returncode == code, done.stderr
    assert "evil" not in done.stdout


def test_doctor_looks_at_the_installed_packages(hostile, tmp_path):
    environment = {**os.environ, CACHE_DIR_VARIABLE: str(tmp_path / "cache")}
    command = "from ddbench.cli.doctor import check_torch_build; print(check_torch_build())"
    done = subprocess.run(
        [sys.executable, "-P", "-c", command], cwd=hostile, env=environment, capture_output=True, text=True
    )
    assert "work together" in done.stdout, done.stderr
    assert not (tmp_path / "ran").exists()
