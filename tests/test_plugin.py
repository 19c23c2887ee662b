"""A plug-in package beside ddbench: listed, checked and run in a suite, without a line of ddbench edited.

The package in `tests/plugin_package` is laid out on a path of its own with the metadata an installer writes; real
installers need a network for their build tools, which tests do without.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.slow

PACKAGE = Path(__file__).parent / "plugin_package"


@pytest.fixture
def plugin_environment(tmp_path):
    """An environment in which Python finds the example package as installed."""
    project = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]
    site = tmp_path / "site"
    metadata = site / "ddbench_brightest-0.1.0.dist-info"
    metadata.mkdir(parents=True)
    (site / "ddbench_brightest").symlink_to(PACKAGE / "src" / "ddbench_brightest")
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    groups = project["entry-points"]
    lines = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in points.items()) for group, points in groups.items()]
    (metadata / "entry_points.txt").write_text("\n".join(lines))
    return {**os.environ, "PYTHONPATH": str(site), "DDBENCH_CACHE_DIR": str(tmp_path / "cache")}


def run(environment, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "ddbench", *arguments], env=environment, capture_output=True, text=True, check=False
    )


def test_plugin_is_listed_and_passes_the_contract(plugin_environment):
    listed = run(plugin_environment, "list", "methods")
    assert "brightest" in listed.stdout
    assert "plug-in ddbench-brightest" in listed.stdout
    checked = run(plugin_environment, "check", "brightest")
    assert checked.returncode == 0, checked.stdout
    assert "8 passed" in checked.stdout


def test_plugin_runs_in_a_suite(plugin_environment, tmp_path):
    suite = {
        "name": "plugged",
        "protocol": "quick",
        "datasets": ["digits"],
        "networks": ["convnet-d1-w8"],
        "methods": ["random_real", {"name": "brightest", "settings": {"fraction": 0.2}}],
        "ipc": [1],
    }
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump(suite))
    done = run(plugin_environment, "run", str(tmp_path / "suite.yaml"), "--results", str(tmp_path / "results"))
    assert done.returncode == 0, done.stderr
    assert "brightest" in done.stdout


def test_without_the_package_its_method_is_unknown(tmp_path):
    refused = run({**os.environ}, "check", "brightest")
    assert refused.returncode == 2
    assert refused.stderr.startswith("ddbench: unknown method 'brightest'")
