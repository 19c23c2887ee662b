"""Campaign: every command in every hostile place: full, closed and narrow streams, full disks, links, pipes, folders.

Bad is a traceback, an exit code that is not the one documented, more than one line about it, a file that is partial or
that took another's place, anything temporary that stays, and a call that hangs.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from ddbench.cli.main import main
from ddbench.distilled.files import load_distilled
from ddbench.errors import DDBenchError
from tests.campaigns._forked import Call, Forks, can_mount

pytestmark = pytest.mark.campaign

SUITE = """
name: s
protocol: quick
datasets: [digits]
methods: [random_real]
ipc: [1, 2]
networks: [convnet-d1-w8]
distill_seeds: [0]
students: 1
"""
MADE = ("digits", "random_real", "convnet-d1-w8")
SHOWING = {
    "table": ["table", "{base}/results"],
    "table json": ["table", "{base}/results", "--format", "json"],
    "table csv": ["table", "{base}/results", "--format", "csv", "--published"],
    "list": ["list"],
    "cache": ["cache"],
    "dry run": ["run", "{base}/suite.yaml", "--dry-run", "--results", "{base}/results"],
    "judge": ["claims", "{base}/claims.toml", "{base}/results"],
    "version": ["--version"],
    "help": ["run", "--help"],
    "wrong": ["table", "{base}/nothing"],
    "run": ["run", "{base}/suite.yaml", "--results", "{base}/results"],
}
WRITING = {
    "table -o": ["table", "{base}/results", "--format", "csv", "-o", "{out}"],
    "table html -o": ["table", "{base}/results", "--format", "html", "-o", "{out}"],
    "report -o": ["report", "{base}/results", "-o", "{out}"],
    "export -o": ["export", "{base}/results", "-o", "{out}"],
    "compare -o": ["compare", "{base}/results", "{base}/other", "--format", "md", "-o", "{out}"],
}
FILLING = {
    "distill": ["distill", "random_real", "--dataset", "digits", "--ipc", "1", "--device", "cpu", "--out", "{out}"],
    "distill dm": ["distill", "dm", "--dataset", "digits", "--ipc", "1", "--set", "steps=1", "--out", "{out}"],
    "run": ["run", "{base}/suite.yaml", "--results", "{out}", "--device", "cpu"],
    "evaluate": [
        "evaluate", "{base}/set", "--protocol", "quick", "--network", "convnet-d1-w8", "--students", "1", "--results",
        "{out}",
    ],
    "plots": ["report", "{base}/results", "-o", "{out}.html", "--plots", "{out}"],
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A command in a place: how it is called in a folder of its own, and what is to come of it."""

    name: str
    make: Callable[[Path, Path], Call]
    codes: tuple[int, ...]
    see: Callable[[Path, int], str] = lambda folder, code: ""


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """Results, a set, a suite and claims that commands read; nothing may be written here."""
    folder = tmp_path_factory.mktemp("base")
    (folder / "suite.yaml").write_text(SUITE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DDBENCH_CACHE_DIR", str(folder / "cache"))
        for results in ("results", "other"):
            assert main(["run", str(folder / "suite.yaml"), "--results", str(folder / results), "--device", "cpu"]) == 0
        made = [*FILLING["distill"][:-1], str(folder / "set")]
        assert main(made) == 0
    (folder / "claims.toml").write_text("claims = []\n")
    return folder


def call_of(base: Path, folder: Path, words: list[str], out: str = "", **options) -> Call:
    """A call with streams of its own in `folder`."""
    arguments = [word.format(base=base, out=out) for word in words]
    environment = {"DDBENCH_CACHE_DIR": str(base / "cache"), "MPLCONFIGDIR": str(base / "cache")}
    whole = {"stdout": str(folder / "stdout"), "stderr": str(folder / "stderr"), **options}
    whole["environment"] = {**environment, **options.get("environment", {})}
    return Call(arguments, str(folder), **whole)


def stream_cases() -> list[Case]:
    """Commands that print, on streams that do not take it."""
    fine = {name: 0 for name in SHOWING} | {"wrong": 2, "judge": 2}
    places = {
        "stdout full": ({"stdout": "/dev/full"}, lambda code: (2,)),
        "stdout closed": ({"stdout": "<closed>"}, lambda code: (code,)),
        "stdout a closed pipe": ({"stdout": "<pipe>"}, lambda code: (code,) if code == 2 else (141,)),
        "stderr full": ({"stderr": "/dev/full"}, lambda code: (code,)),
        "stderr closed": ({"stderr": "<closed>"}, lambda code: (code,)),
        "stderr a closed pipe": ({"stderr": "<pipe>"}, lambda code: (code,)),
        "both full": ({"stdout": "/dev/full", "stderr": "/dev/full"}, lambda code: (2,)),
        "ascii": ({"encoding": "ascii"}, lambda code: (code,)),
        "latin-1": ({"encoding": "latin-1"}, lambda code: (code,)),
        "LC_ALL=C": ({"environment": {"LC_ALL": "C", "COLUMNS": "70"}}, lambda code: (code,)),
    }
    cases = []
    for name, words in SHOWING.items():
        for place, (options, codes) in places.items():
            if name == "wrong" and place == "stdout full":
                continue  # it prints nothing there
            cases.append(
                Case(
                    f"{name}: {place}",
                    lambda base, folder, words=words, options=options: call_of(base, folder, words, **options),
                    codes(fine[name]),
                    see_plain if place in ("ascii", "LC_ALL=C") else lambda folder, code: "",
                )
            )
    return cases


def file_cases() -> list[Case]:
    """Commands that write one file, to what is no plain one or cannot be written."""
    places = {
        "a new file": (lambda folder: folder / "out", (0,), see_whole),
        "an old file": (old_file, (0,), see_whole),
        "a link": (linked_file, (0,), see_link),
        "a dangling link": (dangling_link, (0,), see_link),
        "a loop of links": (looping_link, (2,), see_loop),
        "a pipe": (named_pipe, (0,), see_pipe),
        "/dev/null": (lambda folder: "/dev/null", (0,), see_device),
        "/dev/full": (lambda folder: "/dev/full", (2,), see_device),
        "/dev/stdout": (lambda folder: "/dev/stdout", (0,), lambda folder, code: see_text(folder / "stdout")),
        "a link to /dev/stdout": (stdout_link, (0,), lambda folder, code: see_text(folder / "stdout")),
        "below a file": (below_file, (2,), see_nothing),
        "a folder": (lambda folder: made_folder(folder), (2,), see_nothing),
        "a read-only folder": (closed_folder, (2,), see_nothing),
        "a name of 250 bytes": (lambda folder: folder / ("n" * 250), (0,), see_nothing),
    }
    return [
        Case(
            f"{name}: {place}",
            lambda base, folder, words=words, prepare=prepare: call_of(
                base, folder, words, str(prepare(folder)), is_root_of_all=False
            ),
            codes,
            see,
        )
        for name, words in WRITING.items()
        for place, (prepare, codes, see) in places.items()
    ] + [
        Case(
            f"{name}: files of {limit} bytes",
            lambda base, folder, words=words, limit=limit: call_of(
                base, folder, words, str(folder / "out"), file_bytes=limit
            ),
            (2,),
            see_nothing,
        )
        for name, words in WRITING.items()
        for limit in (0, 300)
    ]


def folder_cases() -> list[Case]:
    """Commands that fill a folder, where there is no room or no right to."""
    cases = []
    for name, words in FILLING.items():
        for place, (prepare, options) in {
            "below a file": (below_file, {}),
            "a read-only folder": (closed_folder, {}),
            "a file": (old_file, {}),
            "a link": (linked_folder, {}),
            "no temporary folder": (lambda folder: folder / "out", {"environment": {"TMPDIR": "/nowhere"}}),
            "cache below a file": (lambda folder: folder / "out", {"environment": {"DDBENCH_CACHE_DIR": "stderr/no"}}),
            **{
                f"files of {limit} bytes": (lambda folder: folder / "out", {"file_bytes": limit})
                for limit in (0, 100, 900, 3000, 20000)
            },
        }.items():
            cases.append(
                Case(
                    f"{name}: {place}",
                    lambda base, folder, words=words, prepare=prepare, options=options: call_of(
                        base, folder, words, str(prepare(folder)), **{"is_root_of_all": False, **options}
                    ),
                    (0, 1, 2),
                    see_set_or_nothing,
                )
            )
        for free in (-1, 0, 4096, 8192, 16384, 32768) if can_mount() else ():
            cases.append(
                Case(
                    f"{name}: a disk with {free} bytes left" if free >= 0 else f"{name}: a read-only disk",
                    lambda base, folder, words=words, free=free: call_of(
                        base, folder, words, str(made_folder(folder) / "out"), small_disk=str(folder / "there"),
                        free_bytes=free,
                    ),
                    (0, 1, 2),
                    see_set_or_nothing,
                )
            )  # fmt: skip
    return cases


def old_file(folder: Path) -> Path:
    (folder / "out").write_text("old\n")
    return folder / "out"


def linked_file(folder: Path) -> Path:
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "target").write_text("old\n")
    (folder / "out").symlink_to("elsewhere/target")
    return folder / "out"


def dangling_link(folder: Path) -> Path:
    (folder / "elsewhere").mkdir()
    (folder / "out").symlink_to("elsewhere/target")
    return folder / "out"


def looping_link(folder: Path) -> Path:
    (folder / "out").symlink_to("out")
    return folder / "out"


def linked_folder(folder: Path) -> Path:
    (folder / "elsewhere").mkdir()
    (folder / "out").symlink_to("elsewhere")
    return folder / "out"


def stdout_link(folder: Path) -> Path:
    (folder / "out").symlink_to("/dev/stdout")
    return folder / "out"


def named_pipe(folder: Path) -> Path:
    os.mkfifo(folder / "out")

    def read() -> None:
        (folder / "read").write_bytes((folder / "out").read_bytes())

    threading.Thread(target=read, daemon=True).start()
    return folder / "out"


def below_file(folder: Path) -> Path:
    (folder / "file").write_text("old\n")
    return folder / "file" / "out"


def made_folder(folder: Path) -> Path:
    (folder / "there").mkdir()
    return folder / "there"


def closed_folder(folder: Path) -> Path:
    made_folder(folder).chmod(0o500)
    return folder / "there" / "out"


def see_text(path: Path) -> str:
    """What is wrong with a text that a command wrote: it is cut off, or not there."""
    text = path.read_text(encoding="utf-8")
    whole = all(any(word in text for word in words) for words in [MADE]) and text.endswith("\n")
    return "" if whole else f"{path.name} holds {text[:60]!r}"


def see_whole(folder: Path, code: int) -> str:
    return see_text(folder / "out")


def see_link(folder: Path, code: int) -> str:
    return see_text(folder / "elsewhere" / "target") if (folder / "out").is_symlink() else "the link was replaced"


def see_loop(folder: Path, code: int) -> str:
    return "" if (folder / "out").is_symlink() else "the link was replaced"


def see_pipe(folder: Path, code: int) -> str:
    is_pipe = stat.S_ISFIFO((folder / "out").stat().st_mode)
    return see_text(folder / "read") if is_pipe else "the pipe was replaced"


def see_device(folder: Path, code: int) -> str:
    same = all(stat.S_ISCHR(Path(place).stat().st_mode) for place in ("/dev/null", "/dev/full"))
    return "" if same else "a device was replaced"


def see_plain(folder: Path, code: int) -> str:
    printed = (folder / "stdout").read_bytes() + (folder / "stderr").read_bytes()
    return "" if printed.isascii() else "characters that the terminal does not have"


def see_nothing(folder: Path, code: int) -> str:
    """Nothing but the streams and what lay there, unchanged."""
    for name in ("out", "there/out"):
        if code == 2 and (folder / name).exists():
            return f"{name} was written"
    old = folder / "file"
    return "" if not old.exists() or old.read_text() == "old\n" else "a file was changed"


def see_set_or_nothing(folder: Path, code: int) -> str:
    """Whole sets, results and plots or none, and no link followed."""
    if (folder / "elsewhere").exists() and code == 2 and any((folder / "elsewhere").iterdir()):
        return "a link was followed"
    return next((said for seen in (folder, folder / "there.seen") for said in partial(seen)), "")


def partial(folder: Path) -> Iterator[str]:
    """What below a folder is not whole."""
    for sidecar in folder.rglob("distilled.json"):
        try:
            load_distilled(sidecar.parent)
        except DDBenchError as error:
            yield f"a partial set: {error}"
    for path in folder.rglob("distilled.safetensors"):
        if not path.with_name("distilled.json").exists():
            yield "a set without its sidecar"
    for path in folder.rglob("result.json"):
        json.loads(path.read_text())
    for kind in ("svg", "html"):
        for path in folder.rglob(f"*.{kind}"):
            if not path.read_text().rstrip().endswith(f"</{kind}>"):
                yield f"half of {path.name}"


def look(case: Case, folder: Path, call: Call, code: int | None) -> tuple[str, str] | None:
    """Return kind and words of what went badly, None where nothing did."""
    said = (folder / "stderr").read_text(encoding="utf-8", errors="replace") if (folder / "stderr").exists() else ""
    if code is None:
        return "hang", said[-200:]
    if "Traceback" in said or "Exception ignored" in said:
        return "traceback", said[-700:]
    if code not in case.codes:
        return "exit code", f"{code} instead of {case.codes}: {said[-300:]}"
    # Beside the line about the place there may be warnings, and a line for each cell that a run has done.
    lines = [line for line in said.splitlines() if not line.startswith(("ddbench: warning: ", "["))]
    if code == 2 and said and (len(lines) != 1 or len(lines[0]) > 320 or not lines[0].startswith("ddbench: ")):
        return "not one line", said[-500:]
    can_speak = call.stderr == str(folder / "stderr") and call.file_bytes != 0
    if code == 2 and not said and can_speak:
        return "not a word", ""
    left = [path for top in (folder, folder / "there.seen") for path in top.rglob(".tmp-*")]
    if left:
        return "leftover", str(left[0])
    seen = case.see(folder, code)
    return ("file", seen) if seen else None


def times_in(base):
    """When each file and folder was changed that no command may change: a run of what is done says who looks at it."""
    may_change = {"cache", ".running"}
    return {path: path.stat().st_mtime_ns for path in base.rglob("*") if not may_change & set(path.parts)}


def test_every_command_in_every_place(campaign, base, tmp_path):
    cases = [*stream_cases(), *file_cases(), *folder_cases()]
    chosen = campaign.random.sample(cases, campaign.number(20, len(cases)))
    before = times_in(base)
    with Forks() as forks:
        for index, case in enumerate(chosen):
            folder = tmp_path / str(index)
            folder.mkdir()
            call = case.make(base, folder)
            bad = look(case, folder, call, forks.run(replace(call, seconds=90)))
            if bad is None:
                campaign.count("right")
            else:
                campaign.count_bad(bad[0], f"{case.name}: {bad[1]}")
            if bad is None:
                (folder / "there").exists() and (folder / "there").chmod(0o700)
                shutil.rmtree(folder)
    assert before == times_in(base), "what commands read was changed"
