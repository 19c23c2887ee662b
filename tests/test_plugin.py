"""A package of plug-ins of every kind beside ddbench: listed, checked and run in one suite, no line of ddbench edited.

The package in `tests/plugin_package` is laid out on a path of its own with the metadata an installer writes; real
installers need a network for their build tools, which tests do without.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from ddbench.runs.results_store import read_results

PACKAGE = Path(__file__).parent / "plugin_package"
KINDS = {
    "method": "brightest",
    "dataset": "slashes",
    "network": "linear",
    "evaluator": "contrast",
    "protocol": "brief",
    "logger": "lines",
}


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


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_plugin_is_listed_and_passes_the_contract(kind, plugin_environment):
    listed = run(plugin_environment, "list", f"{kind}s")
    assert any(line.split() == [KINDS[kind], "plug-in", "ddbench-brightest"] for line in listed.stdout.splitlines())
    checked = run(plugin_environment, "check", kind, KINDS[kind])
    assert checked.returncode == 0, checked.stdout + checked.stderr
    *rules, last = checked.stdout.splitlines()
    assert last == f"{kind} {KINDS[kind]}: {len(rules)} of {len(rules)} rules hold"
    assert all(rule.startswith("ok      ") for rule in rules)


@pytest.mark.slow
def test_plugins_of_every_kind_run_together_in_a_suite(plugin_environment, tmp_path):
    suite = {
        "name": "plugged",
        "protocol": "brief",
        "datasets": ["slashes"],
        "networks": ["linear"],
        "methods": ["random_real", {"name": "brightest", "settings": {"fraction": 0.2}}],
        "ipc": [1, 5],
        "evaluators": ["accuracy", "contrast"],
    }
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump(suite))
    results = str(tmp_path / "results")
    done = run(plugin_environment, "run", str(tmp_path / "suite.yaml"), "--results", results, "--logger", "lines")
    assert done.returncode == 0, done.stderr
    logs = [path.read_text() for path in (tmp_path / "results" / "logs" / "lines").glob("*/log.jsonl")]
    assert len(logs) == 4
    assert all('"result/test_accuracy"' in log and '"result/contrast"' in log for log in logs)
    table = run(plugin_environment, "table", results, "--format", "json")
    assert table.returncode == 0, table.stderr
    for name in ("slashes", "brief", "linear", "contrast", "brightest", "random_real"):
        assert name in table.stdout
        assert name in done.stdout
    kept = read_results([results])
    assert [(result.status, result.protocol, result.dataset) for result in kept] == [("ok", "brief", "slashes")] * 4
    assert all(result.metric("contrast") and result.metric("test_accuracy") for result in kept)


@pytest.mark.slow
def test_everything_offered_to_plugins_is_there_and_nothing_is_imported_for_it():
    code = """
import sys
import ddbench.plugin
assert "torch" not in sys.modules
for name in ddbench.plugin.__all__:
    getattr(ddbench.plugin, name)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_examples_import_from_the_public_places_alone():
    texts = [(PACKAGE.parents[1] / "CONTRIBUTING.md").read_text()]
    texts += [path.read_text() for path in PACKAGE.rglob("*.py")]
    found = {place for text in texts for place in re.findall(r"(?:from|import) (ddbench(?:\.\w+)*)(?!\w)", text)}
    assert found == {"ddbench.plugin", "ddbench.testing"}


def test_without_the_package_its_method_is_unknown(tmp_path):
    refused = run({**os.environ}, "check", "brightest")
    assert refused.returncode == 2
    assert refused.stderr.startswith("ddbench: unknown method 'brightest'")
