"""What a run logs, in the forms that loggers take: pictures, numbers, flat settings, a title, and what came out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ddbench.distilled.dataset import DistilledDataset
from ddbench.distilled.files import content_digest
from ddbench.distilled.pixels import as_bytes, as_pixels
from ddbench.host.files import digest_of
from ddbench.images import DatasetInfo, RealDataset
from ddbench.method import config_of, make_method
from ddbench.protocol import Protocol
from ddbench.records import SET_DIGEST, Phase, Result
from ddbench.runs.suite import Cell

MOST_IMAGES, MOST_PIXELS = 100, 2**20  # of a picture: more are too small to see, and slow to write
GAP, WHITE = 2, 255
READINGS = ("seconds", "processor_seconds", "peak_allocated_bytes", "peak_reserved_bytes", "peak_host_bytes")


@dataclass(frozen=True)
class Outcome:
    """What came out of a run: numbers by name, and where it has not made what it was to make, why."""

    values: Mapping[str, float]
    reason: str = ""


def is_images(value: object) -> bool:
    """Return whether a value is a tensor of images: (N, C, H, W) with C of 1 or 3, uint8 or float."""
    if not isinstance(value, Tensor) or value.ndim != 4 or value.shape[1] not in (1, 3) or value.is_meta:
        return False
    return value.numel() > 0 and (value.dtype == torch.uint8 or value.is_floating_point())


def as_number(value: object) -> float | None:
    """Return a number as a float, a tensor's or array's with one value too; None for other things, bools among them."""
    if isinstance(value, Tensor | np.ndarray | np.generic) and value.shape.count(1) == len(value.shape):
        value = value.item()
    return None if isinstance(value, bool) or not isinstance(value, Real) else float(value)


def picture_of(images: Tensor, info: DatasetInfo | None = None) -> NDArray[np.uint8]:
    """Return images in a grid, (H, W, 3) uint8: all of them, or up to 100 and to a megapixel, at equal distances.

    Args:
        images: (N, C, H, W), C of 1 or 3: uint8 pixels, or float ones normalised as `info` says.
        info: of the data set; where it is None, float images are pixels in 0..1.
    """
    from torchvision.utils import make_grid

    few = images.detach()[_chosen(images)].cpu()
    if few.is_floating_point():
        few = few.float() if info is None else info.to_pixels(few.float())
    grid = make_grid(as_bytes(few), nrow=round(len(few) ** 0.5), padding=GAP, pad_value=WHITE)
    return np.ascontiguousarray(grid.permute(1, 2, 0).numpy())


def picture_of_set(distilled: DistilledDataset, info: DatasetInfo) -> NDArray[np.uint8]:
    """Return a picture of the images of a set that holds them, whatever space they are in."""
    chosen = _chosen(distilled.images)
    fields = {"images": distilled.images[chosen], "labels": distilled.classes[chosen]}
    few = replace(distilled, **fields, ipc=None, uneven=False)  # type: ignore[arg-type]
    return picture_of(as_bytes(as_pixels(few, info)))


def _chosen(images: Tensor) -> Tensor:
    """Return the places of the images that are shown."""
    count = max(1, min(len(images), MOST_IMAGES, MOST_PIXELS // (images.shape[2] * images.shape[3])))
    return torch.linspace(0, len(images) - 1, count).round().long()


def title_of(settings: Mapping[str, Any], key: str = "") -> str:
    """Return the title of a run, in characters that fit a file's name: `dm-digits-ipc10-seed0-1a2b3c4d`.

    Args:
        settings: of the run: `method`, `dataset`, `ipc`, `distill_seed` and others.
        key: tells it apart from runs that differ elsewhere; made of all settings where it is empty.
    """
    size = "whole" if settings["ipc"] is None else f"ipc{settings['ipc']}"
    named = (settings["method"], settings["dataset"], size, f"seed{settings['distill_seed']}")
    parts = (*(str(part)[:40] for part in named), (key or digest_of(settings))[:8])
    return "-".join(re.sub(r"[^\w.]+", "_", part, flags=re.ASCII) for part in parts)


def describe_cell(cell: Cell) -> tuple[str, dict[str, Any]]:
    """Return title and settings of a cell."""
    settings = cell.model_dump(mode="json", exclude={"evaluators", "cross_networks", "dataset_fingerprint"})
    return title_of(settings, cell.key), {**settings, "key": cell.key}


def describe_distillation(
    method: str,
    dataset: RealDataset | str,
    ipc: int,
    seed: int,
    config: Mapping[str, Any] | None,
    share_prepare: bool,
) -> tuple[str, dict[str, Any]]:
    """Return title and settings of a distillation that is no part of a cell."""
    built = make_method(method, config)
    settings = {
        "method": method,
        "dataset": dataset if isinstance(dataset, str) else dataset.info.name,
        "ipc": ipc if built.uses_ipc else None,
        "distill_seed": seed,
        "share_prepare": share_prepare,
        "config": config_of(built),
    }
    return title_of(settings), settings


def describe_evaluation(
    distilled: DistilledDataset,
    dataset: RealDataset | str,
    protocol: Protocol,
    network: str | None,
    students: int,
    seed: int,
) -> tuple[str, dict[str, Any]]:
    """Return title and settings of an evaluation that is no part of a cell."""
    origin = distilled.provenance
    settings = {
        "method": origin.get("method", "external"),
        "dataset": dataset if isinstance(dataset, str) else dataset.info.name,
        "ipc": distilled.ipc,
        "distill_seed": origin.get("distill_seed", 0),
        "network": network or protocol.network,
        "protocol": protocol.name,
        "protocol_hash": protocol.hash,
        "eval_seed": seed,
        "students": students,
        "config": origin.get("config") or {SET_DIGEST: content_digest(distilled)},
    }
    return title_of(settings), settings


def flat_settings(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str | int | float]:
    """Return settings without tables in them, `config.steps` for one; what is neither number nor text is a text."""
    flat: dict[str, str | int | float] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat |= flat_settings(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value if isinstance(value, str | int | float) else str(value)
    return flat


def outcome_of_result(result: Result) -> Outcome:
    """Return the metrics of a result, means and what each student gave, with what its phases cost."""
    values = dict(_of_phases(result.phases))
    for metric in result.metrics:
        values[f"result/{metric.name}"] = metric.mean
        if len(metric.values) > 1:
            values |= {f"result/{metric.name}/{index}": value for index, value in enumerate(metric.values)}
    return Outcome(values, "" if result.status == "ok" else f"{result.status}: {result.reason}")


def outcome_of_set(distilled: DistilledDataset) -> Outcome:
    """Return what the phases of a distillation cost."""
    return Outcome(dict(_of_phases(map(Phase.model_validate, distilled.provenance["phases"]))))


def _of_phases(phases: Iterable[Phase]) -> Iterator[tuple[str, float]]:
    for phase in phases:
        for name in READINGS:
            if (value := getattr(phase.reading, name)) is not None:
                yield f"result/{phase.name}/{name}", value
