"""Every kind of file that ddbench keeps, made small, and what is read from it: a kind is a folder, and a value.

Each is made twice, with seeds 0 and 1, so that a file of the first, which is read, can be replaced by its sibling's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any

import torch
import xxhash
from torch import Tensor

from ddbench.augment.zca import fit_zca
from ddbench.cli.main import main
from ddbench.datasets._decoded_cache import cached_tensors, rows_file
from ddbench.datasets._row_cache import RowCache
from ddbench.distilled.dataset import DistilledDataset
from ddbench.distilled.files import load_distilled, save_distilled
from ddbench.features.feature_space import find_feature_space
from ddbench.host.file_digests import digest_files
from ddbench.image_files.decode import decode_images
from ddbench.method import RunContext, config_of, make_method
from ddbench.protocol import PROTOCOLS
from ddbench.records import Metric, Phase, Reading, Result
from ddbench.runs.distill import RunOptions, distill
from ddbench.runs.results_store import DISTILLED_FOLDER, Store, write_lines, write_result
from ddbench.runs.set_reuse import find_reusable
from ddbench.runs.suite import Cell
from ddbench.seeding import make_generator
from ddbench.students.teacher import find_teacher
from ddbench.training_recipe import Schedule, Teacher
from tests._cached_works import make_real

# By name, past the room's door: a library of this campaign's own is to be damaged, not the one that this process uses.
compiler = import_module("ddbench.engine.native.compiler")
CPU = torch.device("cpu")
REAL = make_real()
SMALL = {
    "herding": {},
    "mtt": {"zca": True},
    "minimax": {"classes_per_phase": 2},
    "dm": {"steps": 6},
}


@dataclass(frozen=True)
class Kind:
    """A kind of kept files.

    Attributes:
        name: of the kind.
        make: fills a folder, whose `cache` is the cache folder, with the work of a seed.
        read: uses the work of seed 0 as ddbench does, and returns what comes out, to be compared.
        files: patterns of the files to damage.
        weight: how often it is drawn.
    """

    name: str
    make: Callable[[Path, int], None]
    read: Callable[[Path], Any]
    files: tuple[str, ...]
    weight: int = 2

    def targets(self, folder: Path) -> list[Path]:
        """Return the files that may be damaged, locks left out."""
        found = {path for pattern in self.files for path in folder.glob(pattern) if path.is_file()}
        return sorted(path for path in found if not path.name.endswith("lock"))


def digest(*tensors: Tensor) -> str:
    """Return what two equal lists of tensors share."""
    summed = xxhash.xxh3_128()
    for tensor in tensors:
        summed.update(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return summed.hexdigest()


class KilledError(Exception):
    """Stands for a kill."""


def killer(description: str, items: int) -> Callable[..., Iterator[Any]]:
    """Return a tracker that kills the loop of a description after so many items."""

    def track(iterable: Iterable[Any], name: str, state: object = None) -> Iterator[Any]:
        for index, item in enumerate(iterable):
            if name.startswith(description) and index == items:
                raise KilledError
            yield item

    return track


def run(method: str, seed: int, **options: Any) -> tuple[str, float | None]:
    settings = {**make_method(method).smoke_settings, **SMALL[method]}
    if method == "minimax" and seed:
        settings["scratch_steps"] = 4  # the backbone serves all seeds: another one, to be its sibling
    made = distill(method, REAL, 1, seed, settings, "cpu", options=RunOptions(device="cpu", **options))
    return digest(made.images, made.labels), made.student_lr


def distilling(method: str) -> tuple[Callable[[Path, int], None], Callable[[Path], Any]]:
    """Return what makes the prepared work of a method, and what distils from it."""

    def make(folder: Path, seed: int) -> None:
        run(method, seed)

    return make, lambda folder: run(method, 0)


def resuming(method: str, loop: str, items: int) -> tuple[Callable[[Path, int], None], Callable[[Path], Any]]:
    """Return what leaves a killed run of a method behind, and what goes on with it."""

    def make(folder: Path, seed: int) -> None:
        with suppress(KilledError):
            run(method, seed, track=killer(loop, items), checkpoint_seconds=0)
            raise AssertionError(f"there was no loop {loop}")

    return make, lambda folder: run(method, 0, checkpoint_seconds=0)


def read_teacher(folder: Path, seed: int = 0) -> Any:
    short = Schedule(epochs=2, drop_at=1)
    taught = Teacher(network="convnet-d1-w4-bn", schedule=short, seed=seed, temperature=20.0, loss="kl")
    ready = find_teacher(PROTOCOLS.get("soft-label").model_copy(update={"teacher": taught}), REAL, CPU)
    return digest(*ready.soft_labels.teacher.state_dict().values()), ready.record.test_accuracy


def read_extractor(folder: Path, seed: int = 0) -> Any:
    name = ("convnet-d1-w4", "convnet-d1-w6")[seed]
    context = RunContext(CPU, make_generator(0, "trial"), folder)
    space = find_feature_space(name, REAL.train, context)
    return space.fingerprint, digest(*(tensor for label in range(3) for tensor in space.real_class(label)))


def make_pictures(folder: Path, seed: int) -> None:
    split = ("train", "test")[seed]
    picture = folder / split / "one.ppm"
    picture.parent.mkdir()
    picture.write_bytes(b"P6 8 8 255\n" + bytes(range(192) if split == "train" else range(63, 255)))
    read_decoded(folder, split)
    read_rows(folder, split)


def read_decoded(folder: Path, split: str = "train") -> str:
    source = folder / split / "one.ppm"

    def decode() -> dict[str, Tensor]:
        return {"images": decode_images([source], [source.name], channels=3, size=8, resize=True)}

    return digest(cached_tensors([source], f"{split}, size=8", decode)["images"])


def read_rows(folder: Path, split: str = "train") -> str:
    start = 0 if split == "train" else 100
    images = (torch.arange(5 * 3 * 4 * 4).view(5, 3, 4, 4) + start).to(torch.uint8)
    path = rows_file(digest_files([folder / split / "one.ppm"]), f"{split}, rows")
    return digest(RowCache(path, (3, 4, 4)).read(list(range(5)), lambda rows: images[rows]))


def make_library(folder: Path, seed: int) -> None:
    name, operator = (("one", "+"), ("two", "-"))[seed]
    source = folder / f"{name}.cpp"
    source.write_text(f'extern "C" int compute(int a, int b) {{ return a {operator} b; }}\n')
    compiler._load(source)


def read_library(folder: Path) -> int | None:
    library = compiler._load(folder / "one.cpp")
    return None if library is None else library.compute(7, 2)


def make_result(seed: int) -> Result:
    values = (0.5 + 0.01 * seed, 0.6 + 0.011 * seed)
    cell = make_cell(seed)
    return Result(
        key=cell.key,
        **cell.model_dump(exclude={"evaluators", "cross_networks", "dataset_fingerprint"}),
        status="ok",
        dataset_fingerprint=REAL.info.fingerprint,
        metrics=(Metric(name="test_accuracy", unit="fraction", higher_is_better=True, values=values),),
        phases=(Phase(name="distill", reading=Reading(seconds=12.5 + seed, peak_host_bytes=2**30)),),
        space="pixels",
        label_mode="hard",
        machine={"id": "m1", "cpu": "a processor"},
        started_at=f"2026-01-0{seed + 1}T00:00:00+00:00",
        reason="",
    )


def make_cell(seed: int) -> Cell:
    return Cell(
        method="dm",
        config=config_of(make_method("dm", {**make_method("dm").smoke_settings, **SMALL["dm"]})),
        dataset="toy",
        ipc=1,
        network="mlp",
        protocol="quick",
        protocol_hash="abc",
        distill_seed=seed,
        eval_seed=0,
        students=2,
    )


def make_results(folder: Path, seed: int) -> None:
    results = [make_result(number) for number in range(3)] if seed == 0 else []
    store = Store(folder / "results")
    for result in results:
        with store.writing(result.key) as staging:
            write_result(result, staging)
    if results:
        write_lines(results, folder / "lines.jsonl")


def command(*arguments: str) -> tuple[int, str]:
    """Run a command of ddbench and return its exit code with what it printed; more than a warning is an error."""
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main([str(argument) for argument in arguments])
    if code not in (0, 3) and not err.getvalue().strip():
        raise AssertionError(f"exit code {code} without a line")
    return code, out.getvalue()


def read_table(folder: Path) -> Any:
    return command("table", folder / "results", "--format", "json")


def read_lines_table(folder: Path) -> Any:
    return command("table", folder / "lines.jsonl", "--format", "csv")


def read_export(folder: Path) -> Any:
    code, _ = command("export", folder / "results", "-o", folder / "out.jsonl")
    return code, (folder / "out.jsonl").read_text() if code == 0 else ""


def read_claims(folder: Path) -> Any:
    claim = {"method": '"dm"', "ipc": "1"}
    cell = ", ".join(f"{key} = {value}" for key, value in claim.items())
    (folder / "claims.toml").write_text(
        'family = "f"\n[defaults]\ndataset = "toy"\nnetwork = "mlp"\nprotocol = "quick@abc"\n'
        f'[[claim]]\nid = "c0"\nsource = "s"\nkind = "absolute"\nmargin = 9.0\nvalue = 56.0\ncell = {{ {cell} }}\n'
    )
    return command("claims", folder / "claims.toml", folder / "lines.jsonl")


def read_stored(folder: Path) -> list[str]:
    store = Store(folder / "results")
    return [found.model_dump_json() for seed in range(3) if (found := store.get(make_cell(seed).key)) is not None]


def make_sets(folder: Path, seed: int) -> None:
    whitening = fit_zca(REAL.train)
    images = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    origin = {"method": "dm", "config": {"steps": 6}, "dataset": "toy", "distill_seed": seed, "phases": []}
    made = DistilledDataset(images, torch.arange(3), 3, 1, student_lr=0.01 * (seed + 1), provenance=origin)
    save_distilled(made, folder / f"set{seed}")
    space = {"space": "zca", "whitening": whitening}
    save_distilled(DistilledDataset(images, torch.arange(3), 3, 1, **space), folder / f"white{seed}")


def read_set(name: str) -> Callable[[Path], Any]:
    def read(folder: Path) -> Any:
        found = load_distilled(folder / name)
        constants = () if found.whitening is None else (found.whitening.mean, found.whitening.matrix)
        origin = json.dumps(dict(found.provenance), sort_keys=True)
        return digest(found.images, found.labels, *constants), found.student_lr, found.num_classes, found.ipc, origin

    return read


def make_rescued(folder: Path, seed: int) -> None:
    cell = make_cell(seed)
    made = distill("dm", REAL, 1, seed, cell.config, "cpu")
    save_distilled(made, folder / "results" / f".tmp-{cell.key}-{2**22 + 1}" / DISTILLED_FOLDER)


def read_rescued(folder: Path) -> Any:
    cell = make_cell(0)
    reuse = find_reusable(cell, [cell], Store(folder / "results"), REAL.info)
    made = load_distilled(reuse) if reuse is not None else distill("dm", REAL, 1, 0, cell.config, "cpu")
    return digest(made.images, made.labels)


MINIMAX, MTT = distilling("minimax"), distilling("mtt")
HALF_MADE = ("cache/prepared/**/*", "cache/**/.unf*/*")
KINDS = (
    Kind("features", *distilling("herding"), ("cache/prepared/**/*",)),
    Kind("experts", *MTT, ("cache/prepared/**/*",)),
    Kind("whitening in the cache", *MTT, ("cache/whitening/**/*", "cache/prepared/**/whitening*"), 1),
    Kind("backbone", *MINIMAX, ("cache/foundations/**/*",), 1),
    Kind("fine-tuned generator", *MINIMAX, ("cache/prepared/**/*",), 1),
    Kind("teacher", read_teacher, read_teacher, ("cache/teachers/**/*",)),
    Kind("extractor", read_extractor, read_extractor, ("cache/extractors/**/*",)),
    Kind("decoded images", make_pictures, read_decoded, ("cache/decoded/**/*",), 4),
    Kind("rows", make_pictures, read_rows, ("cache/decoded/**/.rows", "cache/decoded/**/kept.json"), 4),
    Kind("native library", make_library, read_library, ("cache/native/*",), 1),
    Kind("checkpoint", *resuming("dm", "matching", 4), ("cache/unfinished/**/*",), 6),
    Kind("half-made experts", *resuming("mtt", "training expert 2", 2), HALF_MADE, 4),
    Kind("half-made generator", *resuming("minimax", "fine-tuning, phase 2", 1), HALF_MADE, 2),
    Kind("results in a table", make_results, read_table, ("results/*/*",), 6),
    Kind("results exported", make_results, read_export, ("results/*/*",), 6),
    Kind("results that are done", make_results, read_stored, ("results/*/*",), 6),
    Kind("lines in a table", make_results, read_lines_table, ("lines.jsonl",), 6),
    Kind("lines under claims", make_results, read_claims, ("lines.jsonl",), 4),
    Kind("distilled set", make_sets, read_set("set0"), ("set*/*",), 8),
    Kind("whitened set", make_sets, read_set("white0"), ("white*/*",), 6),
    Kind("rescued set", make_rescued, read_rescued, ("results/.tmp*/distilled/*",), 2),
)
