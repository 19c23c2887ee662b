"""`ddbench claims`: claims judged against results, and results recorded as claims."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from ddbench.cli._app import DataDir, Device, app, path
from ddbench.cli._showing import Problems, console, plain_text, run_cells, say

if TYPE_CHECKING:
    from ddbench.claims import ClaimsFile, Sources, Verdict


class JudgesByDefault(TyperGroup):
    """`ddbench claims FILE RESULTS` means `ddbench claims judge FILE RESULTS`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - of click, or of typer's copy of it
        """Put `judge` before arguments that name no command."""
        named = bool(args) and (args[0] in self.commands or args[0] in ("-h", "--help"))
        return super().parse_args(ctx, args if named or not args else ["judge", *args])


claims = typer.Typer(cls=JudgesByDefault, no_args_is_help=True)
app.add_typer(claims, name="claims", help="Judge claims against results (`claims FILE RESULTS...`), or record some.")


@claims.command("judge")
def judge_claims(
    file: Annotated[Path, typer.Argument(parser=path, help="Claims file, TOML.")],
    results: Annotated[
        list[Path],
        typer.Argument(parser=path, help="Results folders, .jsonl files, saved benchmark runs, or folders of those."),
    ],
    rerun: Annotated[
        Path | None,
        typer.Option(
            parser=path, help="Run the entries of refuted claims once more with fresh seeds, into this folder."
        ),
    ] = None,
    device: Device = None,
    data_dir: DataDir = None,
) -> int:
    """Judge claims: exit code 0 where all hold, 1 where some are refuted, 3 where some have no verdict yet.

    It is 1 as well where a result is damaged or was altered: it is named and left out.
    """
    from ddbench.claims import exit_code, judge, load_claims, read_sources

    problems = Problems()
    loaded, sources = load_claims(file), read_sources(results, problems.tell)
    verdicts = judge(loaded, sources)
    if rerun is not None and exit_code(verdicts) == 1:
        _show(verdicts)
        verdicts = _judge_again(loaded, verdicts, sources, rerun, device, data_dir)
    _show(verdicts)
    _note_older_data(loaded, sources)
    return problems.exit_code or exit_code(verdicts)


@claims.command("record")
def record_claims(
    results: Annotated[
        list[Path], typer.Argument(parser=path, help="Results of repeated runs: three seeds or more of an entry.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", parser=path, help="Claims file to write.")],
    family: Annotated[str, typer.Option(help="Name of the family of claims.")] = "recorded baseline",
) -> int:
    """Record what repeated runs gave as a claims file, with limits from their spread."""
    from ddbench.claims import read_sources
    from ddbench.claims.recording import record, write_recording
    from ddbench.runs.results_store import check_apart

    check_apart(out, results)
    problems = Problems()
    recording = record(read_sources(results, problems.tell).results, family)
    write_recording(recording, out)
    for line in recording.left_out:
        say(f"not recorded: {line}")
    say(f"{recording.count} claims written to {out}")
    return problems.exit_code


def _judge_again(
    file: ClaimsFile,
    verdicts: Sequence[Verdict],
    sources: Sources,
    folder: Path,
    device: str | None,
    data_dir: Path | None,
) -> list[Verdict]:
    """Run the entries of refuted claims with fresh seeds and return the verdicts that then stand."""
    from ddbench.claims.rerunning import confirm, suites_to_rerun

    suites = suites_to_rerun(file, verdicts, sources)
    say("some claims are refuted; their entries run once more with fresh seeds")
    return confirm(
        file, verdicts, [result for suite in suites for result in run_cells(suite, folder, device, data_dir)]
    )


def _note_older_data(file: ClaimsFile, sources: Sources) -> None:
    """Say it where claims and results meet of which one was recorded before fingerprints were of the content."""
    from ddbench.inputs.fingerprints import is_of_content

    claimed = [entry.fingerprint for claim in file.claims for entry in claim.entries if entry.fingerprint]
    found = [result.dataset_fingerprint for result in sources.results if result.dataset_fingerprint]
    if {*map(is_of_content, claimed)} and len({*map(is_of_content, (*claimed, *found))}) > 1:
        say("some were recorded before fingerprints were of the content: their data is compared by classes and counts")


def _show(verdicts: Sequence[Verdict]) -> None:
    """Print a table of verdicts, then a line for each claim that says what moved."""
    from collections import Counter

    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("claim", "verdict", "effect", "interval", "n"):
        table.add_column(name, overflow="fold")
    for verdict in verdicts:
        n = ", ".join(map(str, verdict.n))
        table.add_row(*map(plain_text, (verdict.id, verdict.verdict, *_effect(verdict), n)))
    console().print(table)
    for verdict in verdicts:
        say(f"{verdict.verdict}: {verdict.id}: {verdict.moved}")
    counts = Counter(verdict.verdict for verdict in verdicts)
    say(f"{len(verdicts)} claims: " + ", ".join(f"{count} {word}" for word, count in counts.items()))


def _effect(verdict: Verdict) -> tuple[str, str]:
    if verdict.effect is None or verdict.low is None or verdict.high is None:
        return "", ""
    return f"{verdict.effect:.3g} {verdict.unit}", f"[{verdict.low:.3g}, {verdict.high:.3g}]"
