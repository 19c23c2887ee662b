"""Wrong inputs through every door: one line of at most 300 characters and exit code 2, nothing written, no hang.

`pytest -m campaign tests/campaigns/test_inputs.py --campaign-seed 1 --campaign-size full`
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import signal
import socket
import traceback
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, seed, settings

from ddbench.analysis.published import load_published
from ddbench.cli.main import main
from ddbench.diffusion.backbone import load_denoiser
from ddbench.errors import DDBenchError
from ddbench.forecast.suite_forecast import OtherMachine
from ddbench.images import DatasetInfo, LabeledImages, RealDataset
from ddbench.registry import PROTOCOLS
from ddbench.students.teacher import find_teacher
from tests.campaigns._documents import render
from tests.campaigns._doors import CLAIMS, DOORS, SUITE, Case

pytestmark = pytest.mark.campaign

LIMIT = 10.0  # seconds of one input
LONGEST = 300
LEFT_OUT = "ddbench: left out: "


class Hang(BaseException):
    """An input took longer than it may."""


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """Good things that cases use beside the wrong one."""
    folder = tmp_path_factory.mktemp("good")
    os.environ["DDBENCH_CACHE_DIR"] = str(tmp_path_factory.mktemp("cache"))
    quiet = io.StringIO()
    with redirect_stdout(quiet), redirect_stderr(quiet):
        assert (
            main(
                [
                    "distill",
                    "random_real",
                    "--dataset",
                    "digits",
                    "--ipc",
                    "1",
                    "--device",
                    "cpu",
                    "--out",
                    f"{folder}/set",
                ]
            )
            == 0
        )
        command = ["evaluate", f"{folder}/set", "--protocol", "quick", "--network", "convnet-d1-w8", "--students", "1"]
        assert main([*command, "--device", "cpu", "--results", f"{folder}/results"]) == 0
    (folder / "suite.yaml").write_text(render(SUITE, "yaml"))
    claim = {
        **CLAIMS["claim"][0],
        "cell": {"method": "random_real", "protocol": f"quick@{PROTOCOLS.get('quick').hash}"},
    }
    (folder / "claims.toml").write_text(render({**CLAIMS, "claim": [claim]}, "toml"))
    CLAIMS["defaults"]["protocol"] = f"quick@{PROTOCOLS.get('quick').hash}"
    yield folder
    del os.environ["DDBENCH_CACHE_DIR"]


@pytest.mark.parametrize("door", DOORS)
def test_wrong_inputs_are_refused(door, campaign, good, tmp_path):
    number = campaign.number(sample=12, full=60)

    @seed(f"{door} {campaign.seed}")
    @settings(
        max_examples=number,
        derandomize=False,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=DOORS[door])
    def attempt(case):
        outcome, what = try_one(case, good, tmp_path / "scratch")
        if outcome in ("refused", "right"):
            campaign.count(outcome)
        else:
            campaign.count_bad(outcome, f"{door}: {what}")

    attempt()


def try_one(case: Case, good: Path, scratch: Path) -> tuple[str, str]:
    """Give the program one input; what came of it, and words about that."""
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    write_files(case, scratch, good)
    arguments = [text.replace("{S}", str(scratch)).replace("{G}", str(good)) for text in case.arguments]
    before = content_of(scratch, good)
    shown = f"{short(case.arguments)} {short({k: v for k, v in case.files.items() if isinstance(v, bytes)})}"
    out, said = io.StringIO(), io.StringIO()
    here = Path.cwd()
    os.chdir(scratch)
    try:
        with time_limit(LIMIT), redirect_stdout(out), redirect_stderr(said):
            code = run(arguments)
    except Hang:
        return "hang", shown
    except BaseException:  # whatever comes through is what is looked for
        return "traceback", f"{shown}: {traceback.format_exc()[-700:]}"
    finally:
        os.chdir(here)
    lines = said.getvalue().splitlines()
    if code != 2:
        return ("right", "") if code in case.codes else (f"exit code {code}", f"{shown}: {lines[-1:]}")
    # Of several results each damaged one is named in a line of its own.
    if not lines or any(not line.startswith(LEFT_OUT) for line in lines[:-1]) or not all(map(str.isprintable, lines)):
        return "lines", f"{shown}: {lines}"
    if max(map(len, lines)) > LONGEST:
        return "length", f"{shown}: {lines}"
    if log := os.environ.get("DDB_LOG"):
        with Path(log).open("a", errors="replace") as file:
            file.write(f"{shown}\n    {lines[0]}\n")
    if content_of(scratch, good) != before:
        return "written", f"{shown}: {sorted(content_of(scratch, good).items() ^ before.items())[:4]}"
    return "refused", lines[0]


def run(arguments):
    """Run the program, or a function that no command reaches with a file of a user's alone."""
    other = {"published": published, "measured": measured, "teacher": teacher, "backbone": backbone}.get(arguments[0])
    if other is None:
        return main(arguments)
    try:
        other(Path(arguments[1]))
    except DDBenchError as error:
        print(
            f"ddbench: {error}"[:LONGEST] if len(str(error)) <= LONGEST else str(error), file=__import__("sys").stderr
        )
        return 2
    return 0


def published(path):
    load_published.__wrapped__(path)


def measured(path):
    OtherMachine.load(path)


def backbone(path):
    load_denoiser(str(path))


def teacher(path):
    info = DatasetInfo("toy", ("a", "b"), 3, 8, (0.5,) * 3, (0.25,) * 3, "toy")
    images = LabeledImages(torch.zeros(4, 3, 8, 8, dtype=torch.uint8), torch.tensor([0, 0, 1, 1]), info)
    protocol = PROTOCOLS.get(f"soft-label,teacher={path},teacher_network=convnet-d1-w8")
    find_teacher(protocol, RealDataset(images, images, info), torch.device("cpu"))


def write_files(case, scratch, good):
    """Write the files of a case; a text names a kind of special file."""
    for name, content in case.files.items():
        path = scratch / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            digest = hashlib.sha256((good / "set" / "distilled.safetensors").read_bytes()).hexdigest()
            path.write_bytes(content.replace(b"{SHA}", digest.encode()))
        elif content == "the good set's":
            shutil.copy(good / "set" / "distilled.safetensors", path)
        elif content in ("loop", "nothing"):
            path.symlink_to(path.name if content == "loop" else "nothing")
        elif content == "fifo":
            os.mkfifo(path)
        else:
            here = Path.cwd()
            os.chdir(scratch)  # names of sockets are short
            with socket.socket(socket.AF_UNIX) as made:
                made.bind(name)
            os.chdir(here)


def content_of(*folders):
    """Names, sizes and times of all that is in some folders."""
    found = {}
    for path in (path for folder in folders for path in folder.rglob("*")):
        status = path.lstat()
        found[str(path)] = (status.st_mode, status.st_size, 0 if path.is_dir() else status.st_mtime_ns)
    return found


@contextmanager
def time_limit(seconds):
    """Raise `Hang` inside the block when it takes too long."""

    def give_up(*_):
        raise Hang

    old = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)


def short(value):
    text = repr(value)
    return text if len(text) <= 300 else f"{text[:200]}...{text[-80:]}"
