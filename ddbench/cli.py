"""The command line: parses arguments, shows progress, prints; everything else happens in the layers below."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

import typer

from ddbench.errors import BadInputError, DDBenchError, DivergedError

if TYPE_CHECKING:
    from rich.console import Console

    from ddbench.distilling import RunOptions
    from ddbench.records import Result
    from ddbench.suite import Suite

# Some releases of typer carry a copy of click: the base of their usage errors is found through a public one.
UsageMistake: type[Exception] = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")

app = typer.Typer(
    help="A benchmark for dataset distillation: run methods, compare them across images per class, check claims.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

DataDir = Annotated[
    Path | None,
    typer.Option(help="Folder of data sets.", envvar="DDBENCH_DATA_DIR", show_default="the user's cache folder"),
]
Device = Annotated[str | None, typer.Option(help="cpu, cuda or cuda:<index>.", show_default="a GPU if there is one")]
PresetName = Annotated[
    str | None, typer.Option("--preset", help="Settings to start from: one of `ddbench list presets`, or a .toml file.")
]


class _Listed(Protocol):
    """What `ddbench list` needs of a registry."""

    def names(self) -> tuple[str, ...]: ...

    def summary(self, name: str) -> str: ...


Kind = Literal["methods", "datasets", "networks", "evaluators", "protocols", "presets"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 2 with one line for bad input, never a traceback for it."""
    try:
        code = app(args=arguments, standalone_mode=False, prog_name="ddbench")
        return code if isinstance(code, int) else 0
    except (UsageMistake, DDBenchError) as error:
        text = error.format_message() if hasattr(error, "format_message") else str(error)
        if not text:  # a bare `ddbench` has printed its help
            return 0
        print(f"ddbench: {' '.join(text.split())}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, typer.Abort):
        print("ddbench: interrupted; rerun the same command to continue", file=sys.stderr)
        return 130


@app.callback(invoke_without_command=True)
def show_version(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """A benchmark for dataset distillation."""
    if version:
        from ddbench import __version__

        print(f"ddbench {__version__}")
        raise typer.Exit


@app.command("list")
def list_names(
    kind: Annotated[Kind | None, typer.Argument(help="What to list; everything where left out.")] = None,
) -> None:
    """List the registered methods, data sets, networks, evaluators and protocols, and the shipped presets."""
    from ddbench.presets import load_preset, preset_names
    from ddbench.protocol import PROTOCOLS
    from ddbench.registry import DATASETS, EVALUATORS, METHODS, NETWORKS

    everything: dict[str, _Listed] = {
        "methods": METHODS,
        "datasets": DATASETS,
        "networks": NETWORKS,
        "evaluators": EVALUATORS,
        "protocols": PROTOCOLS,
    }
    for name, registry in everything.items():
        if kind in (None, name):
            _show_names(name, {entry: registry.summary(entry) for entry in registry.names()})
    if kind in (None, "presets"):
        _show_names("presets", {name: load_preset(name).source for name in preset_names()})


@app.command()
def distill(
    method: Annotated[str, typer.Argument(help="Registered method.")],
    dataset: Annotated[str, typer.Option(help="Data set, such as cifar10 or image_folder:PATH,size=64.")],
    ipc: Annotated[int, typer.Option(help="Images per class.")],
    out: Annotated[Path, typer.Option(help="New folder for the distilled set.")],
    seed: Annotated[int, typer.Option(min=0, help="Distillation seed.")] = 0,
    preset: PresetName = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="key=value setting of the method; overrides the preset's.")
    ] = None,
    device: Device = None,
    data_dir: DataDir = None,
) -> None:
    """Distil a data set and keep the result as a folder."""
    from ddbench.dataset import load_dataset
    from ddbench.distilled import check_target
    from ddbench.distilling import distill as run_distill
    from ddbench.presets import preset_settings
    from ddbench.report.grid import save_grid

    last_good = out.resolve().with_name(f"{out.resolve().name}-last-good")
    for folder in (out, last_good):
        check_target(folder)
    chosen = parse_settings(settings or [])
    if preset is not None:
        chosen = preset_settings(preset, method, chosen)
    real = load_dataset(dataset, data_dir)
    if preset is not None:
        _note_other_use(preset, dataset, ipc)
    try:
        with _progress() as options:
            distilled = run_distill(method, real, ipc, seed, chosen, device, options=options)
    except DivergedError as error:
        error.last_good.save(last_good)
        raise DivergedError(f"{error}; the last good images are in {last_good}", error.last_good) from error
    distilled.save(out)
    save_grid(distilled, real.info, out / "images.png")
    seconds = sum(phase["reading"]["seconds"] for phase in distilled.provenance["phases"])
    size = distilled.num_bytes / 1024
    _say(f"{len(distilled.images)} images, {size:,.0f} KiB, {seconds:.1f} s -> {out} (picture: {out / 'images.png'})")
    _say(f"next: ddbench evaluate {out} --dataset {dataset}")


@app.command()
def evaluate(
    folder: Annotated[Path, typer.Argument(help="Folder of a distilled set.")],
    dataset: Annotated[str | None, typer.Option(help="Data set.", show_default="the one it was made from")] = None,
    protocol: Annotated[str, typer.Option(help="How students are trained.")] = "dsa",
    network: Annotated[str | None, typer.Option(help="Student network.", show_default="the protocol's")] = None,
    students: Annotated[int, typer.Option(help="Students trained.")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Evaluation seed.")] = 0,
    evaluator: Annotated[
        list[str] | None, typer.Option(help="What to measure; repeatable.", show_default="accuracy and its cost")
    ] = None,
    device: Device = None,
    data_dir: DataDir = None,
    results: Annotated[Path | None, typer.Option(help="Also keep the Result under this folder.")] = None,
) -> None:
    """Train students on a distilled set and print their test accuracy and its cost."""
    from ddbench.distilled import load_distilled
    from ddbench.runner import evaluate as run_evaluate
    from ddbench.store import Store, write_result
    from ddbench.suite import DEFAULT_EVALUATORS

    distilled = load_distilled(folder)
    name = dataset or distilled.provenance.get("dataset")
    if not name:
        raise BadInputError(f"{folder} does not say which data set it was made from; name it with --dataset")
    if results is not None:
        Store(results).prepare()
    chosen = tuple(evaluator or DEFAULT_EVALUATORS)
    with _progress(data_dir) as options:
        result = run_evaluate(
            distilled, name, protocol, network, students, seed, device, evaluators=chosen, options=options
        )
    _show_table([result], published=False)
    accuracy = result.metric("test_accuracy")
    if accuracy is not None:
        _say("students: " + ", ".join(f"{100 * value:.2f} %" for value in accuracy.values))
    if results is not None:
        with Store(results).writing(result.key) as staging:
            write_result(result, staging)
        _say(f"kept as {results / result.key}")


@app.command()
def run(
    suite: Annotated[str, typer.Argument(help="Suite file, or the name of one that ddbench ships.")],
    results: Annotated[Path, typer.Option(help="Folder of results; a rerun continues in it.")] = Path("results"),
    device: Device = None,
    data_dir: DataDir = None,
) -> int:
    """Run every cell of a suite that has no result yet; exit code 1 if any cell has no number."""
    from ddbench.files import baselines_dir
    from ddbench.suite import load_suite

    shipped = baselines_dir() / "suites" / f"{suite}.yaml"
    loaded = load_suite(shipped if shipped.is_file() and not Path(suite).exists() else suite)
    done = _run_cells(loaded, results, device, data_dir)
    _show_table(done, published=False)
    return _report_unfinished(done)


@app.command()
def table(
    results: Annotated[list[Path], typer.Argument(help="Results folders, cells or .jsonl files.")],
    format: Annotated[
        Literal["terminal", "md", "csv", "latex", "html", "json"], typer.Option(help="Output format.")
    ] = "terminal",
    published: Annotated[bool, typer.Option(help="Show published numbers in their own column.")] = False,
    mix_protocols: Annotated[bool, typer.Option(help="Allow different protocol hashes, shown as a column.")] = False,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write to this file.")] = None,
) -> None:
    """Compare methods across IPC settings: accuracy, spread, counts, time and memory."""
    from ddbench.files import write_text
    from ddbench.store import read_results
    from ddbench.table_formats import render
    from ddbench.tables import make_table

    made = make_table(read_results(results), published=published, mix_protocols=mix_protocols)
    if format == "terminal" and out is None:
        _console().print(render(made, "terminal"))
        return
    text = render(made, "md" if format == "terminal" else format)
    if out is None:
        print(text)
    else:
        write_text(out, text)
        _say(f"written to {out}")


@app.command()
def export(
    results: Annotated[list[Path], typer.Argument(help="Results folders.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="File of JSON lines to write.")],
) -> None:
    """Write results as JSON lines, the form of recorded baselines."""
    from ddbench.store import read_results, write_lines

    found = read_results(results)
    write_lines(found, out)
    _say(f"{len(found)} results written to {out}")


@app.command()
def check(method: Annotated[str, typer.Argument(help="Registered method, a plug-in's too.")]) -> int:
    """Run the contract suite on one method."""
    from ddbench.registry import METHODS
    from ddbench.testing import run_contract

    METHODS.get(method)
    return run_contract(method)


@app.command()
def doctor(
    download: Annotated[str | None, typer.Option(help="Fetch this data set into the data folder.")] = None,
    data_dir: DataDir = None,
) -> int:
    """Describe the environment: versions, devices, data found or missing with what fixes it."""
    from ddbench.doctor import diagnose, fetch

    if download is not None:
        _say(fetch(download, data_dir))
        return 0
    findings = diagnose(data_dir)
    for finding in findings:
        _console().print(f"{finding.mark} {finding.topic}: {finding.text}", soft_wrap=True, markup=False)
    return 1 if any(finding.is_error for finding in findings) else 0


@app.command()
def quickstart(
    out: Annotated[Path, typer.Option(help="Folder for results and pictures; a rerun continues in it.")] = Path(
        "quickstart"
    ),
    device: Device = None,
) -> int:
    """Run every baseline on the embedded digits, print the table and leave results, sets and pictures on disk."""
    from ddbench.dataset import load_dataset
    from ddbench.distilled import load_distilled
    from ddbench.files import baselines_dir, write_text
    from ddbench.report.grid import save_grid
    from ddbench.store import Store
    from ddbench.suite import load_suite
    from ddbench.table_formats import render
    from ddbench.tables import make_table

    suite = load_suite(baselines_dir() / "suites" / "digits_quick.yaml")
    store = Store(out / "results")
    done = _run_cells(suite, store.root, device, None)
    info = load_dataset("digits").info
    pictures = out / "pictures"
    pictures.mkdir(exist_ok=True)
    for result in done:
        folder = store.distilled_folder(result)
        if folder is not None and result.distill_seed == 0:
            save_grid(load_distilled(folder), info, pictures / f"{result.method}_ipc{result.ipc}.png")
    _show_table(done, published=False)
    write_text(out / "table.md", render(make_table(done), "md"))
    _say(f"results and distilled sets: {store.root}\npictures: {pictures}\ntable: {out / 'table.md'}")
    _say("The protocol `quick` is for checking an installation; its numbers are never comparable with `dsa`.")
    _say("next: ddbench list, ddbench run cifar10_small, or CONTRIBUTING.md to add a method")
    return _report_unfinished(done)


def parse_settings(pairs: Sequence[str]) -> dict[str, Any]:
    """Turn `key=value` texts into settings; values are read as YAML scalars.

    Raises:
        BadInputError: no `=`, an empty part, a key given twice, or a value that is no YAML.
    """
    import yaml

    settings: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not (key and equals and value):
            raise BadInputError(f"--set takes key=value, got {pair!r}")
        if key in settings:
            raise BadInputError(f"--set gives {key!r} twice; keep one")
        try:
            settings[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise BadInputError(f"--set {key}: {value!r} is not a value") from error
    return settings


def _note_other_use(preset: str, dataset: str, ipc: int) -> None:
    """Print a line where a preset is used for a data set or IPC that it was not made for."""
    from ddbench.presets import load_preset

    made_for = load_preset(preset)
    if (made_for.dataset, made_for.ipc) != (dataset, ipc):
        print(
            f"ddbench: note: preset {preset} is for {made_for.dataset} at ipc {made_for.ipc}, "
            f"and is used for {dataset} at ipc {ipc}",
            file=sys.stderr,
        )


def _show_names(title: str, summaries: Mapping[str, str]) -> None:
    from rich.table import Table

    table = Table("name", "what it is", title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    for name, summary in summaries.items():
        table.add_row(name, summary)
    _console().print(table)


def _run_cells(suite: Suite, results: Path, device: str | None, data_dir: Path | None) -> list[Result]:
    from ddbench._console import run_cells
    from ddbench.distilling import RunOptions

    return run_cells(suite, results, RunOptions(data_dir=data_dir, device=device))


def _report_unfinished(results: Sequence[Result]) -> int:
    """Print the cells without a number and return the exit code they give."""
    unfinished = [result for result in results if result.status != "ok"]
    for result in unfinished:
        size = "whole set" if result.ipc is None else f"ipc {result.ipc}"
        status = result.status.replace("_", " ")
        print(f"ddbench: {status}: {result.method} on {result.dataset}, {size}: {result.reason}", file=sys.stderr)
    return 1 if unfinished else 0


def _show_table(results: Sequence[Result], *, published: bool) -> None:
    from ddbench.table_formats import render
    from ddbench.tables import make_table

    _console().print(render(make_table(results, published=published), "terminal"))


@contextmanager
def _progress(data_dir: Path | None = None) -> Iterator[RunOptions]:
    from ddbench._console import progress_bars
    from ddbench.distilling import RunOptions

    with progress_bars() as bars:
        yield RunOptions(data_dir=data_dir, track=bars.track)


def _console() -> Console:
    from rich.console import Console

    return Console()


def _say(text: str) -> None:
    _console().print(text, soft_wrap=True, markup=False, highlight=False)


if __name__ == "__main__":
    sys.exit(main())
