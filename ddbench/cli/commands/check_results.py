"""`ddbench check-results`: what a file of results must pass before a pull request adds it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ddbench.cli._app import DataDir, Device, app, path
from ddbench.cli._showing import Problems, progress, say
from ddbench.errors import BadInputError
from ddbench.inputs.values import LARGEST_SEED

if TYPE_CHECKING:
    from ddbench.records import Result


@app.command("check-results")
def check_results(
    files: Annotated[list[Path], typer.Argument(parser=path, help="Files of results, one a line (.jsonl).")],
    sets: Annotated[
        Path | None,
        typer.Option(
            "--sets", "--evaluate", parser=path, help="Evaluate one cell again, from its distilled set in this folder."
        ),
    ] = None,
    key: Annotated[str | None, typer.Option(help="The cell to evaluate again.", show_default="drawn by --seed")] = None,
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Draws the cell to evaluate again.")] = 0,
    device: Device = None,
    data_dir: DataDir = None,
) -> int:
    """Check results that somebody submits: digests, keys, protocols, data, machines, seeds, values, duplicates.

    Exit code 1 where there is a problem, each in a line of its own; notes say what could not be checked.
    """
    from ddbench.inputs.paths import check_regular

    for file in files:
        if file.is_dir():
            raise BadInputError(
                f"{file} is a folder; write its results into a file: ddbench table {file} --format jsonl -o FILE.jsonl"
            )
        check_regular(file, "results")
    if key is not None and sets is None:
        raise BadInputError("--key names the cell to evaluate again; give the folder of its set with --sets")
    if sets is not None and not sets.is_dir():
        raise BadInputError(f"{sets} is not a folder; name a results folder, or the folder of a distilled set")
    say(f"checking {len(files)} {'file' if len(files) == 1 else 'files'}")

    from ddbench.submissions.checking import check_files

    problems = Problems()
    checked = check_files(files, data_dir)
    for each in checked.problems:
        problems.tell(str(each))
    for each in checked.notes:
        say(f"note: {each}")
    results = [line.result for line in checked.lines]
    if sets is not None:
        _evaluate_again(results, sets, key, seed, device, data_dir, problems)
    counts = f"{len(results)} results in {len(files)} {'file' if len(files) == 1 else 'files'}"
    many = problems.count
    say(f"{counts}: {'no problem' if not many else f'{many} problem' + ('s' if many > 1 else '')}")
    return problems.exit_code


def _evaluate_again(
    results: list[Result],
    folder: Path,
    key: str | None,
    seed: int,
    device: str | None,
    data_dir: Path | None,
    problems: Problems,
) -> None:
    """Evaluate one cell again and say what came out; a number that does not come out again is a problem."""
    from dataclasses import replace

    from ddbench.submissions.reevaluation import choose, evaluate_again, find_sets_of

    sound = [result for result in results if not result.is_altered]
    found = find_sets_of(sound, folder)
    chosen = choose(sound, found, key, seed)
    say(f"evaluating again: {chosen.title}, seed {chosen.distill_seed}, {chosen.network}, key {chosen.key}")
    with progress(data_dir) as options:
        again = evaluate_again(chosen, found[chosen.key], replace(options, device=device))
    words = f"{chosen.title}, key {chosen.key}: {again.words}"
    if again.agrees:
        say(words)
    else:
        problems.tell(words)
