"""Tests of the streams that commands print to: full, closed, and for fewer characters than ddbench writes."""

import json
import os
import subprocess
import sys

import pytest

from ddbench.cli._showing import escaped_for
from ddbench.cli.streams import HANDLER, prepare_streams
from ddbench.host.files import baselines_dir

TABLE = [sys.executable, "-m", "ddbench", "table", str(baselines_dir() / "results" / "xeon_2_cores")]


def run(command, **options):
    environment = {**os.environ, **options.pop("env", {})}
    return subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True, timeout=120, **options)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("55.0 ± 0.4", "55.0 +- 0.4"),
        ("1\N{EN DASH}3", "1-3"),
        ("─│┼╡", "-|++"),
        ("2 \N{MULTIPLICATION SIGN} 3 …", "2 x 3 ..."),
        ("é東", r"\xe9\u6771"),
        ("\ud800", r"\ud800"),
    ],
)
def test_what_a_stream_does_not_have_is_written_plainly(text, plain):
    prepare_streams()
    assert text.encode("ascii", HANDLER) == plain.encode()
    assert text.encode("utf-16", HANDLER)  # a surrogate has no bytes in any encoding


def test_a_stream_keeps_the_characters_it_has():
    prepare_streams()
    assert "± é ─".encode("latin-1", HANDLER) == "± é -".encode("latin-1")


def test_json_stays_the_same_for_readers():
    text = json.dumps({"a": "± 東 \U0001f600"}, ensure_ascii=False)
    assert escaped_for("utf-8", text) == text
    assert escaped_for("ascii", text).isascii()
    assert json.loads(escaped_for("ascii", text)) == json.loads(text)


@pytest.mark.slow
@pytest.mark.parametrize("env", [{"PYTHONIOENCODING": "latin-1"}, {"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C"}])
def test_a_table_on_a_terminal_of_few_characters(env):
    done = run(TABLE, env=env, stdout=subprocess.PIPE, encoding="latin-1")
    assert (done.returncode, done.stderr) == (0, "")
    assert "random_real" in done.stdout
    assert ("±" if env.get("PYTHONIOENCODING") == "latin-1" else "+-") in done.stdout


@pytest.mark.slow
def test_a_full_output_is_one_line():
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        done = run(TABLE, stdout=full)
    assert done.returncode == 2
    assert done.stderr.startswith("ddbench: cannot use the standard output: No space left on device; ")
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_pipe_that_nobody_reads_ends_it_without_a_word():
    read, write = os.pipe()
    os.close(read)
    done = run(TABLE, stdout=write)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.slow
def test_a_closed_output_takes_everything_and_no_file_gets_it(tmp_path):
    command = " ".join([*TABLE, "-o", str(tmp_path / "table.md"), ">&-", "2>&-"])
    done = run(["bash", "-c", command], stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "table.md").read_text().startswith("## ")
    assert "written to" not in (tmp_path / "table.md").read_text()
