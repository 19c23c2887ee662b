"""Take what a run of the pack has found into the repository: results, measurements, and the table of the docs.

Run: `uv run python -m tests.gpu.take_over DIR`. Results of step `rows` become
`baselines/results/<gpu>/cifar10_rows.jsonl`, the other files `baselines/results/<gpu>/pack/`, the backbone's samples a
picture there; the rows for `docs/performance.md` are printed. The backbone's weights stay where they are.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from PIL import Image
from safetensors.torch import load_file

from ddbench.errors import BadInputError, DDBenchError
from ddbench.host.files import baselines_dir, make_folder, write_text
from ddbench.host.machine import git_commit
from ddbench.records import Result
from ddbench.runs.results_store import write_lines
from tests.gpu.doctor import source_digest
from tests.gpu.pack import STEPS, read_record

RESULTS_FILE = "cifar10_rows.jsonl"


def main() -> int:
    """Take over the folder named on the command line; exit code 2 with one line where that cannot be."""
    parser = argparse.ArgumentParser(prog="tests.gpu.take_over", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("folder", type=Path, help="what `tests.gpu.pack --out` has filled")
    parser.add_argument("--into", type=Path, default=baselines_dir() / "results", help="folder of recorded results")
    given = parser.parse_args()
    try:
        for line in take_over(given.folder, given.into):
            print(line)
    except DDBenchError as error:
        print(f"take_over: {error}", file=sys.stderr)
        return 2
    return 0


def take_over(folder: Path, into: Path) -> list[str]:
    """Copy what a folder holds and return what to say of it, the table's rows last.

    Raises:
        BadInputError: the folder holds no whole `doctor`, or was a dry run.
    """
    records = {name: read_record(folder, name) for name in STEPS}
    check(folder, records)
    machine = records["doctor"]["parts"]["machine"]
    target = into / slug(machine["device_name"])
    make_folder(target / "pack")
    said = []
    results = [Result.model_validate(result) for result in records["rows"].get("parts", {}).pop("results", [])]
    if results:
        if machine.get("source_digest") == source_digest():  # run from a copy of this very tree
            results = [r if r.git_commit else r.model_copy(update={"git_commit": git_commit()}) for r in results]
        write_lines(results, target / RESULTS_FILE)
        said.append(f"{len(results)} results: {target / RESULTS_FILE}")
    for name, record in records.items():
        if record:
            write_text(target / "pack" / f"{name}.json", json.dumps(record, indent=1) + "\n")
    if (folder / "backbone.safetensors").is_file():
        said.append(f"samples: {save_samples(folder / 'backbone.safetensors', target / 'pack' / 'samples.png')}")
    return [*said, "", *table(records)]


def check(folder: Path, records: dict[str, dict[str, Any]]) -> None:
    """Raise BadInputError for a folder that is no measurement of a GPU."""
    doctor = records["doctor"]
    if not (doctor.get("parts") or {}).get("machine"):
        raise BadInputError(f"{folder} holds no findings of step doctor; name a folder that the pack has filled")
    if doctor["dry_run"]:
        raise BadInputError(f"{folder} is of a dry run, whose tiny sizes measure nothing; run the pack on a GPU")


def slug(name: str) -> str:
    """Return a GPU's name as a folder: `NVIDIA H200` gives `nvidia_h200`."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def save_samples(path: Path, target: Path) -> Path:
    """Write the grid of samples in a backbone's file as PNG, one class a row, enlarged."""
    samples = load_file(path)["samples"]
    count, _, side, _ = samples.shape
    columns, scale = 10, 2
    grid = samples.expand(-1, 3, -1, -1).reshape(count // columns, columns, 3, side, side)
    picture = grid.permute(0, 3, 1, 4, 2).reshape(count // columns * side, columns * side, 3).contiguous()
    size = (picture.shape[1] * scale, picture.shape[0] * scale)
    Image.fromarray(picture.numpy()).resize(size, Image.Resampling.NEAREST).save(target, format="PNG")
    return target


def table(records: dict[str, dict[str, Any]]) -> list[str]:
    """Return the rows of `docs/performance.md`: what `speed` has measured, one row for each way of doing a work."""
    heads = ("work", "way", "a step", "ratio", "share of the roof", "peak", "first call")
    lines = [f"| {' | '.join(heads)} |", "| --- " * len(heads) + "|"]
    for part, ways in records["speed"].get("parts", {}).items():
        if not isinstance(ways, dict) or not all(isinstance(way, dict) and "ratio" in way for way in ways.values()):
            continue
        for way, found in ways.items():
            share = f"{100 * found['share_of_roof']:.1f} %" if "share_of_roof" in found else "-"
            peak = "-" if found["peak_mib"] is None else f"{found['peak_mib']:.0f} MiB"
            lines.append(
                f"| {part} | {way} | {1000 * found['seconds']:.3g} ms | {found['ratio']:.2f} | {share} | {peak} "
                f"| {found['first_seconds']:.2f} s |"
            )
    return lines


if __name__ == "__main__":
    sys.exit(main())
