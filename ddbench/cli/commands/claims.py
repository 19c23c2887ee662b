"""`ddbench claims`: claims judged against results, and results recorded as claims."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from ddbench.cli._app import DataDir, Device, app, path
from ddbench.cli._showing import Problems, run_cells, say

if TYPE_CHECKING:
    from ddbench.claims import ClaimsFile, Sources, Verdict


FEW = 3  # claims without a verdict that are listed without being asked for


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
    file: Annotated[str, typer.Argument(help="Claims file, TOML, or the name of one of `ddbench list claims`.")],
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
    every: Annotated[bool, typer.Option("--all", help="List the claims that were not measured too.")] = False,
    device: Device = None,
    data_dir: DataDir = None,
) -> int:
    """Judge claims: exit code 0 where all hold, 1 where some are refuted, 3 where some have no verdict yet.

    It is 1 as well where a result is damaged or was altered: it is named and left out.
    """
    from ddbench.claims import exit_code, judge, load_claims, read_sources
    from ddbench.claims.shipped import find_claims

    problems = Problems()
    loaded, sources = load_claims(find_claims(file)), read_sources(results, problems.tell)
    verdicts = judge(loaded, sources)
    if rerun is not None and exit_code(verdicts) == 1:
        _show([verdict for verdict in verdicts if verdict.verdict == "refuted"], all_of_them=every)
        verdicts = _judge_again(loaded, verdicts, sources, rerun, device, data_dir)
    _show(verdicts, all_of_them=every)
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


def _show(verdicts: Sequence[Verdict], *, all_of_them: bool) -> None:
    """Print how many claims have which verdict, then each: refuted ones first, many not measured as a count."""
    from collections import Counter

    from ddbench.claims.judging import NOT_MEASURED, ORDER

    counts = Counter(verdict.verdict for verdict in verdicts)
    order = sorted(counts, key=ORDER.index)
    say(f"{len(verdicts)} claims: " + ", ".join(f"{counts[word]} {word}" for word in order))
    for word in order:
        if word == NOT_MEASURED and counts[word] > FEW and not all_of_them:
            say(f"{NOT_MEASURED}: {counts[word]} claims; add --all to list them")
            continue
        for verdict in (verdict for verdict in verdicts if verdict.verdict == word):
            say(f"{word}: {verdict.id}: {verdict.moved}")
