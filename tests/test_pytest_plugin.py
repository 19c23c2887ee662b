"""The pytest plug-in in a pytest within this one: the project's recorded claims hold, others fail or are skipped."""

import json

import pytest

from ddbench.cli.main import main
from ddbench.host.files import baselines_dir
from tests.claims._made import make_results, write_claims

BASELINES = baselines_dir()
MACHINE = BASELINES / "results" / "xeon_2_cores"
RECORDED = ["--ddbench-results", str(MACHINE / "digits_gate_fresh.jsonl")]

pytestmark = pytest.mark.installed  # an entry point tells pytest of the plug-in


@pytest.fixture
def run_pytest(tmp_path, monkeypatch, capsys):
    """A function that runs pytest in the test's folder and returns its exit code and what it printed."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        capsys.readouterr()
        code = pytest.main(["-p", "no:cacheprovider", "-v", "-rs", *arguments])
        return int(code), capsys.readouterr()

    return run


def test_the_projects_recorded_claims_hold_against_fresh_runs(run_pytest):
    claims = BASELINES / "claims" / "digits_gate.toml"
    code, printed = run_pytest("--ddbench-claims", str(claims), *RECORDED)
    assert code == 0, printed.out + printed.err
    assert "digits_gate.toml::dm-digits-ipc10-accuracy PASSED" in printed.out
    assert "12 passed" in printed.out


def test_the_projects_speed_claims_hold_against_saved_runs_and_a_slower_one_is_caught(run_pytest, tmp_path):
    claims, saved = BASELINES / "claims" / "speed.toml", MACHINE / "student_training"
    code, printed = run_pytest("--ddbench-claims", str(claims), "--ddbench-results", str(saved))
    assert code == 0, printed.out + printed.err
    assert "5 passed" in printed.out
    for path in saved.glob("*.json"):
        run = json.loads(path.read_text())
        for benchmark in run["benchmarks"]:
            benchmark["extra_info"]["ratio"] /= 3
        (tmp_path / path.name).write_text(json.dumps(run))
    assert main(["claims", str(claims), str(tmp_path)]) == 1


CELL = 'cell = { method = "dm", ipc = 10 }'
ABSOLUTE = f'kind = "absolute"\nmargin = 1.0\n{CELL}\n'


def test_one_test_per_claim_with_its_verdict(run_pytest, tmp_path):
    from ddbench.runs.results_store import write_lines

    write_lines(make_results([92.0, 92.6, 91.8]), tmp_path / "r.jsonl")
    claims = write_claims(
        tmp_path,
        f'id = "holds"\nsentence = "A."\n{ABSOLUTE}value = 92.1',
        f'id = "falls"\nsentence = "It is 50 %."\n{ABSOLUTE}value = 50.0',
        f'id = "absent"\nsentence = "C."\nvalue = 92.0\n{ABSOLUTE.replace("10", "50")}',
    )
    (tmp_path / "test_other.py").write_text("def test_other():\n    pass\n")
    code, printed = run_pytest("--ddbench-claims", claims.name, "--ddbench-results", "r.jsonl")
    assert code == 1, printed.out + printed.err
    for line in ("claims.toml::holds", "claims.toml::falls FAILED", "claims.toml::absent SKIPPED"):
        assert line in printed.out
    assert "refuted: It is 50 %. test_accuracy 92.13 %, claimed near 50 %" in printed.out
    assert "not measured: C. there is no result of dm on digits, ipc 50" in printed.out
    assert "test_other" not in printed.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--ddbench-claims", "none.toml", "--ddbench-results", "r"], "none.toml does not exist"),
        (["--ddbench-claims", "claims.toml"], "needs --ddbench-results"),
    ],
)
def test_missing_files_and_options_are_usage_errors(run_pytest, tmp_path, arguments, message):
    write_claims(tmp_path, f"{ABSOLUTE}value = 92.1")
    code, printed = run_pytest(*arguments)
    assert code == 4
    assert message in printed.err
