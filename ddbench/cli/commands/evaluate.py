"""`ddbench evaluate`: students trained on distilled sets."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ddbench.cli._app import DataDir, Device, Devices, app, path
from ddbench.cli._arguments import checked, may_be_set, names_of
from ddbench.cli._folders import taken_back_if_empty
from ddbench.cli._showing import progress, say, show_table
from ddbench.errors import BadInputError
from ddbench.inputs.values import LARGEST_SEED, MOST_STUDENTS
from ddbench.registry import DATASETS, EVALUATORS, NETWORKS, PROTOCOLS

if TYPE_CHECKING:
    from ddbench.distilled.dataset import DistilledDataset
    from ddbench.records import Result

NEAR_CHANCE = 1.2  # times chance: a small test split's luck, and still far below what any working set gives


@app.command()
def evaluate(
    folders: Annotated[
        list[Path], typer.Argument(parser=path, help="Folders of distilled sets.", **checked(may_be_set))
    ],
    dataset: Annotated[
        str | None,
        typer.Option(help="Data set.", show_default="the one each was made from", **names_of(DATASETS)),
    ] = None,
    protocol: Annotated[str, typer.Option(help="How students are trained.", **names_of(PROTOCOLS))] = "dsa",
    network: Annotated[
        str | None,
        typer.Option(help="Student network.", show_default="the protocol's", **names_of(NETWORKS)),
    ] = None,
    networks: Annotated[
        str | None, typer.Option(metavar="A,B,...", help="Further networks: cross-architecture accuracies.")
    ] = None,
    students: Annotated[int, typer.Option(min=1, max=MOST_STUDENTS, help="Number of students to train.")] = 5,
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Evaluation seed.")] = 0,
    evaluator: Annotated[
        list[str] | None,
        typer.Option(
            help="What to measure; repeatable.",
            show_default="accuracy and its cost",
            **names_of(EVALUATORS),
        ),
    ] = None,
    device: Device = None,
    devices: Devices = 1,
    data_dir: DataDir = None,
    results: Annotated[Path | None, typer.Option(parser=path, help="Also keep the results in this folder.")] = None,
) -> None:
    """Train students on distilled sets and print their test accuracy and its cost."""
    from ddbench.host.file_digests import recomputed_digests
    from ddbench.runs.cell import evaluate as run_evaluate
    from ddbench.runs.distill import load_real
    from ddbench.runs.results_store import Store
    from ddbench.runs.set_checks import check_fits, check_values
    from ddbench.runs.suite import DEFAULT_EVALUATORS

    sets = [(folder, *_open(folder, dataset)) for folder in folders]
    further = tuple(name.strip() for name in networks.split(",")) if networks is not None else ()
    chosen = tuple(evaluator or DEFAULT_EVALUATORS)
    if further and "cross_architecture" not in chosen:
        chosen += ("cross_architecture",)
    found: list[Result] = []
    kept: list[str] = []
    try:
        with taken_back_if_empty(results or folders[0]), progress(data_dir) as options, recomputed_digests():
            if results is not None:
                Store(results).prepare()
            for _, distilled, name in sets:  # all of them before the first is trained on
                real = load_real(name, options)
                check_fits(distilled, real)
                check_values(distilled, real)
            for folder, distilled, name in sets:
                result = run_evaluate(
                    distilled, name, protocol, network, students, seed, device,
                    evaluators=chosen, cross_networks=further, options=replace(options, devices=devices),
                )  # fmt: skip
                _warn_of_other_data(folder, distilled, result)
                found.append(result)
                if results is not None:
                    Store(results).add(result)
                    kept.append(result.key)
    finally:  # those too that were done before one that nothing can be trained on, or before Ctrl-C
        if found:
            _tell(sets, found)
        if kept:
            say(f"kept in {results}: {', '.join(kept)}")


def _tell(sets: Sequence[tuple[Path, DistilledDataset, str]], found: Sequence[Result]) -> None:
    """Print the table of the sets that were evaluated, and every student's accuracy."""
    show_table(found, published=False)
    for (folder, distilled, name), result in zip(sets, found, strict=False):
        _tell_students(str(folder) if len(sets) > 1 else "students", distilled, name, result)


def _open(folder: Path, dataset: str | None) -> tuple[DistilledDataset, str]:
    """Return the set in a folder and the data set that it is to be judged on.

    Raises:
        BadInputError: no distilled set there, or one that does not say what it was made from.
    """
    from ddbench.distilled.files import load_distilled
    from ddbench.distilled.names import SIDECAR
    from ddbench.runs.importing import recognise

    if (
        folder.is_dir()
        and not (folder / SIDECAR).is_file()
        and (inside := sorted(path.parent for path in (*folder.glob(f"*/{SIDECAR}"), *folder.glob(f"*/*/{SIDECAR}"))))
    ):
        raise BadInputError(f"{folder} holds {len(inside)} sets; name those that are meant, such as {inside[0]}")
    if folder.exists() and not (folder / SIDECAR).is_file() and (forms := recognise(folder)):
        out = f"{folder.stem}-set"
        raise BadInputError(
            f"{folder} is not a distilled set of ddbench; bring it in first: ddbench import {folder} --as {forms[0]} "
            f"--dataset {dataset or 'DATASET'} --out {out}"
        )
    distilled = load_distilled(folder)
    name = dataset if dataset is not None else distilled.provenance.get("dataset")
    if name is None:
        raise BadInputError(f"{folder} does not say which data set it was made from; name it with --dataset")
    return distilled, name


def _warn_of_other_data(folder: Path, distilled: DistilledDataset, result: Result) -> None:
    from ddbench.inputs.fingerprints import is_of_content

    made_from = str(distilled.provenance.get("dataset_fingerprint", ""))
    is_same_name = distilled.provenance.get("dataset") == result.dataset
    if is_same_name and is_of_content(made_from) and made_from != result.dataset_fingerprint:
        warnings.warn(
            f"{folder} was made from {result.dataset} when that was {made_from}; its files have changed, it is "
            f"now {result.dataset_fingerprint}",
            stacklevel=2,
        )


def _tell_students(title: str, distilled: DistilledDataset, name: str, result: Result) -> None:
    """Print the accuracy of every student, and a note where it is close to chance."""
    accuracy = result.metric("test_accuracy")
    if accuracy is None:
        return
    say(f"{title}: {_percent(accuracy.values)}")
    chance = 1 / distilled.num_classes
    if accuracy.mean < NEAR_CHANCE * chance:
        say(
            f"note: this is close to chance, {100 * chance:.3g} %: do the set's labels follow the data set's "
            f"classes? `ddbench list --classes {name}` shows them"
        )


def _percent(values: Sequence[float]) -> str:
    return ", ".join(f"{100 * value:.2f} %" for value in values)
