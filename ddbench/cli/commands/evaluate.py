"""`ddbench evaluate`: students trained on one distilled set."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated

import typer

from ddbench.cli._app import DataDir, Device, app, path
from ddbench.cli._folders import taken_back_if_empty
from ddbench.cli._showing import progress, say, show_table
from ddbench.errors import BadInputError
from ddbench.inputs.values import LARGEST_SEED, MOST_STUDENTS

NEAR_CHANCE = 1.2  # times chance: a small test split's luck, and still far below what any working set gives


@app.command()
def evaluate(
    folder: Annotated[Path, typer.Argument(parser=path, help="Folder of a distilled set.")],
    dataset: Annotated[str | None, typer.Option(help="Data set.", show_default="the one it was made from")] = None,
    protocol: Annotated[str, typer.Option(help="How students are trained.")] = "dsa",
    network: Annotated[str | None, typer.Option(help="Student network.", show_default="the protocol's")] = None,
    students: Annotated[int, typer.Option(min=1, max=MOST_STUDENTS, help="Students trained.")] = 5,
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Evaluation seed.")] = 0,
    evaluator: Annotated[
        list[str] | None, typer.Option(help="What to measure; repeatable.", show_default="accuracy and its cost")
    ] = None,
    device: Device = None,
    data_dir: DataDir = None,
    results: Annotated[Path | None, typer.Option(parser=path, help="Also keep the Result under this folder.")] = None,
) -> None:
    """Train students on a distilled set and print their test accuracy and its cost."""
    from ddbench.distilled import load_distilled
    from ddbench.host.file_digests import recomputed_digests
    from ddbench.images import is_of_content
    from ddbench.runs.cell import evaluate as run_evaluate
    from ddbench.runs.results_store import Store, write_result
    from ddbench.runs.suite import DEFAULT_EVALUATORS

    distilled = load_distilled(folder)
    name = dataset if dataset is not None else distilled.provenance.get("dataset")
    if name is None:
        raise BadInputError(f"{folder} does not say which data set it was made from; name it with --dataset")
    chosen = tuple(evaluator or DEFAULT_EVALUATORS)
    with taken_back_if_empty(results or folder), progress(data_dir) as options, recomputed_digests():
        if results is not None:
            Store(results).prepare()
        result = run_evaluate(
            distilled, name, protocol, network, students, seed, device, evaluators=chosen, options=options
        )
    made_from = str(distilled.provenance.get("dataset_fingerprint", ""))
    is_same_name = distilled.provenance.get("dataset") == result.dataset
    if is_same_name and is_of_content(made_from) and made_from != result.dataset_fingerprint:
        warnings.warn(
            f"{folder} was made from {result.dataset} when that was {made_from}; its files have changed, it is "
            f"now {result.dataset_fingerprint}",
            stacklevel=2,
        )
    show_table([result], published=False)
    accuracy = result.metric("test_accuracy")
    if accuracy is not None:
        say("students: " + ", ".join(f"{100 * value:.2f} %" for value in accuracy.values))
        chance = 1 / distilled.num_classes
        if accuracy.mean < NEAR_CHANCE * chance:
            say(
                f"note: this is close to chance, {100 * chance:.3g} %: do the set's labels follow the data set's "
                f"classes? `ddbench list --classes {name}` shows them"
            )
    if results is not None:
        with Store(results).writing(result.key) as staging:
            write_result(result, staging)
        say(f"kept as {results / result.key}")
