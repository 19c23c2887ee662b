"""A real run with a logger: DM on digits for 201 steps, and what its log file, result and set say."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ddbench.dataset import load_dataset
from ddbench.distilled.files import load_distilled
from ddbench.records import Result
from ddbench.registry import PROTOCOLS
from ddbench.runs.cell import run_cell
from ddbench.runs.distill import RunOptions
from ddbench.runs.logged_values import flat_settings, outcome_of_result, picture_of_set
from ddbench.runs.suite import Cell

SETTINGS = {"network": "convnet-d1-w8", "steps": 201, "image_lr": 1.0, "image_momentum": 0.5, "real_batch_size": 4}
CELL = Cell(
    method="dm",
    config={**SETTINGS, "real_precision": "fp32"},
    dataset="digits",
    ipc=2,
    network="convnet-d1-w8",
    protocol="quick",
    protocol_hash=PROTOCOLS.get("quick").hash,
    distill_seed=3,
    eval_seed=0,
    students=2,
)
TITLE = f"dm-digits-ipc2-seed3-{CELL.key[:8]}"


@dataclass(frozen=True, eq=False)
class Logged:
    """A finished run.

    Attributes:
        logs: where its logger wrote.
        result: what came out.
        losses: those of its log file, by step.
        settings: of the cell, flat.
        values: what is kept of the result, by name.
        images: of the set.
        picture: of the set, (H, W, 3) uint8.
    """

    logs: Path
    result: Result
    losses: dict[int, float]
    settings: dict[str, object]
    values: dict[str, float]
    images: Tensor
    picture: np.ndarray


def run_logged(folder: Path, *loggers: str, cell: Cell = CELL) -> Logged:
    """Run the cell in a folder, with loggers."""
    result = run_cell(cell, RunOptions(device="cpu", loggers=loggers, log_dir=folder / "logs"), folder)
    found = re.findall(r"^loss\[(\d+)\] = (\S+)$", (folder / "log.txt").read_text(), re.MULTILINE)
    info, made = load_dataset("digits").info, load_distilled(folder / "distilled")
    return Logged(
        folder / "logs",
        result,
        {int(step): float(loss) for step, loss in found},
        flat_settings({**CELL.model_dump(mode="json", include={"method", "ipc", "config", "distill_seed"})}),
        dict(outcome_of_result(result).values),
        made.images,
        picture_of_set(made, info),
    )


def pixels_of(png: bytes | Path) -> np.ndarray:
    """Return the (H, W, 3) pixels of a PNG."""
    with Image.open(io.BytesIO(png) if isinstance(png, bytes) else png) as image:
        return np.asarray(image.convert("RGB"))


def assert_same_numbers(one: Logged, other: Logged) -> None:
    """Two runs gave the same to the last bit, clocks apart."""
    assert one.result.key == other.result.key
    assert one.result.metric("test_accuracy") == other.result.metric("test_accuracy")
    assert one.losses == other.losses
    assert torch.equal(one.images, other.images)
