"""Tests of shell completion: the program's own script in a real bash, no torch at a key press, and no traceback."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from ddbench.cli.main import COMPLETION_VARIABLE, main
from ddbench.registry import DATASETS, EXPORTERS, METHODS, NETWORKS, PROTOCOLS
from ddbench.runs.presets import preset_names
from ddbench.runs.suite_files import suite_names

BESIDE_PYTHON = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
# What bash does at a Tab, but for reading the keyboard: it calls the function that the script has named for `ddbench`.
PROGRAM = """
eval "$(_DDBENCH_COMPLETE=source_bash ddbench)"
read -r _ _ _ _ function command < <(complete -p ddbench)
while IFS= read -r line; do
    eval "COMP_WORDS=($line)"
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMPREPLY=()
    "$function" ddbench
    IFS=' '; printf '%s\\n' "${COMPREPLY[*]}"
done
"""


def tab(*lines):
    """What bash offers for each command line, whose last word is being typed."""
    asked = "".join(f"{line} ''\n" if line.endswith(" ") else f"{line}\n" for line in lines)
    done = subprocess.run(
        ["bash", "--norc", "-c", PROGRAM],
        input=asked,
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": BESIDE_PYTHON},
        timeout=60,
        check=True,
    )
    assert done.stderr == ""
    return [line.split() for line in done.stdout.splitlines()]


@pytest.mark.installed
def test_bash_completes_commands_and_names():
    commands, suites, methods, presets, kind, entry, form, option = tab(
        "ddbench e",
        "ddbench run digits_",
        "ddbench distill m",
        "ddbench distill dm --preset dm_",
        "ddbench check net",
        "ddbench check protocol dsa",
        "ddbench export-set folder --as ",
        "ddbench distill dm --over",
    )
    assert commands == ["evaluate", "export", "export-set"]
    assert suites == [name for name in suite_names() if name.startswith("digits_")] != []
    assert methods == [name for name in METHODS.names() if name.startswith("m")] != []
    assert presets == [name for name in preset_names() if name.startswith("dm_")] != []
    assert kind == ["network"]
    assert entry == [name for name in PROTOCOLS.names() if name.startswith("dsa")] != []
    assert form == [*EXPORTERS.names()]
    assert option == ["--overwrite"]


@pytest.mark.installed
def test_bash_completes_options_with_names():
    data, networks, protocols, nothing = tab(
        "ddbench evaluate my_set --dataset cifar",
        "ddbench evaluate my_set --network r",
        "ddbench evaluate my_set --protocol rded",
        "ddbench run ./my_",  # left to bash, which completes files where the program has nothing
    )
    assert data == [name for name in DATASETS.names() if name.startswith("cifar")] != []
    assert networks == [name for name in NETWORKS.names() if name.startswith("r")] != []
    assert protocols == [name for name in PROTOCOLS.names() if name.startswith("rded")] != []
    assert nothing == []


def ask(program, **environment):
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={**os.environ, COMPLETION_VARIABLE: "complete_bash", **environment},
    )


@pytest.mark.parametrize("words", ["ddbench run ", "ddbench distill dm --preset ", "ddbench check dataset "])
def test_a_key_press_imports_no_torch(words):
    program = "import sys; from ddbench.cli.main import main; main(); sys.exit('torch' in sys.modules)"
    done = ask(program, COMP_WORDS=words, COMP_CWORD=str(len(words.split())))
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.split()) > 5


@pytest.mark.parametrize(
    ("environment", "answer"),
    [
        ({}, ""),  # no words
        ({"COMP_WORDS": "ddbench run ", "COMP_CWORD": "two"}, ""),
        ({"COMP_WORDS": "ddbench run 'dig", "COMP_CWORD": "2"}, None),  # a quote without its other half
        ({"COMP_WORDS": "ddbench run ", "COMP_CWORD": "99"}, None),
        ({"COMP_WORDS": "ddbench nonsense ", "COMP_CWORD": "2"}, None),
        ({"COMP_WORDS": "ddbench \udcff\x1b", "COMP_CWORD": "1"}, ""),
    ],
)
def test_what_is_broken_completes_nothing_and_shows_no_traceback(environment, answer):
    done = ask("import sys; from ddbench.cli.main import main; sys.exit(main())", **environment)
    assert done.stderr == ""
    assert answer is None or done.stdout.strip() == answer


def test_a_registry_that_fails_completes_nothing():
    program = (
        "import sys; from ddbench.cli.main import main; from ddbench.registry import METHODS; "
        "METHODS.__dict__['_plugins'] = None; sys.exit(main())"
    )
    done = ask(program, COMP_WORDS="ddbench distill ", COMP_CWORD="2")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


def test_help_names_both_options_in_a_line_or_two(capsys):
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    assert "--install-completion" in printed
    assert "--show-completion" in printed


@pytest.mark.installed
def test_completion_is_shown_for_the_shell_it_is_asked_from():
    command = f"{shlex.quote(sys.executable)} -m ddbench --show-completion; exit $?"
    done = subprocess.run(["bash", "--norc", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert COMPLETION_VARIABLE in done.stdout


@pytest.mark.installed
def test_installing_writes_only_into_the_home_folder(tmp_path):
    command = f"{shlex.quote(sys.executable)} -m ddbench --install-completion; exit $?"
    environment = {**os.environ, "HOME": str(tmp_path)}
    done = subprocess.run(["bash", "--norc", "-c", command], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / ".bash_completions" / "ddbench.sh").is_file()
    assert ".bash_completions" in (tmp_path / ".bashrc").read_text()
