"""Prepared folders: work shared by every IPC, done once, kept with what it cost, finished after a kill.

A method's preparation may stand on a foundation, another such folder, which serves all seeds and several methods.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from filelock import FileLock

from ddbench.errors import DataMismatchError
from ddbench.host.files import find_cache_dir, keyed_name, make_folder, write_text
from ddbench.host.meter import Meter
from ddbench.method import Method, RunContext
from ddbench.records import LabeledImages, Phase, Reading
from ddbench.runs.checkpoint import CHECKPOINT_SECONDS, ResumableWork
from ddbench.seeding import make_generator

DONE_FILE = "prepared.json"
UNFINISHED_FOLDER = "unfinished"  # checkpoints of an attempt that has not ended


def prepare_once(
    name: str,
    method: Method,
    train: LabeledImages,
    seed: int,
    ctx: RunContext,
    *,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> tuple[Path | None, Phase | None]:
    """Return the prepared folder of a method and what making it cost, making it where it is not there yet.

    The folder's key is made of the prepare name, the Config fields it depends on, the data set and the seed. A folder
    left unfinished is handed to `prepare` again as it is, its loops go on from their checkpoints, and the cost recorded
    is that of all attempts.
    """
    if type(method).prepare is Method.prepare:
        return None, None
    settings = _settings_of(method)
    return _keep(method.prepare_name or name, settings, method.prepare, train, seed, ctx, checkpoint_seconds)


def prepared_folder(name: str, method: Method, train: LabeledImages, seed: int) -> tuple[Path | None, bool]:
    """Return the folder that a method's preparation has or will have, and whether it is done; None without one."""
    if type(method).prepare is Method.prepare:
        return None, False
    folder = _folder_of(method.prepare_name or name, _settings_of(method), train, seed)
    return folder, (folder / DONE_FILE).is_file()


def lay_foundation(
    method: Method, train: LabeledImages, ctx: RunContext, *, checkpoint_seconds: float = CHECKPOINT_SECONDS
) -> tuple[Path | None, Phase | None]:
    """Return the folder of a method's foundation and what making it cost, as `prepare_once`; its seed is 0."""
    foundation = method.foundation()
    if foundation is None:
        return None, None
    name, settings, fill = foundation.name, foundation.settings, foundation.fill
    return _keep(name, settings, fill, train, 0, ctx, checkpoint_seconds)


def _keep(
    name: str,
    settings: Mapping[str, Any],
    fill: Callable[[LabeledImages, RunContext], Path | None],
    train: LabeledImages,
    seed: int,
    ctx: RunContext,
    checkpoint_seconds: float,
) -> tuple[Path | None, Phase | None]:
    """Return the folder of a piece of work, filled where it is not there yet, and what filling it cost."""
    folder = _folder_of(name, settings, train, seed)
    make_folder(folder)
    with FileLock(folder.with_name(f"{folder.name}.lock")):
        done = folder / DONE_FILE
        if done.is_file():
            return folder, Phase(name="prepare", reading=_read_cost(done), cached=True)
        generator = make_generator(seed, "prepare", train.info.name)
        meter = Meter(ctx.device)
        # Its folder, with the cost so far, goes only when the whole cost is on disk.
        with ResumableWork(folder / UNFINISHED_FOLDER, meter, ctx.track, checkpoint_seconds, keeps_parts=True) as work:
            with meter:
                filled = fill(train, replace(ctx, generator=generator, cache_dir=folder, track=work.track))
            if filled is None:
                return None, None
            write_text(done, work.total().model_dump_json() + "\n")
    return filled, Phase(name="prepare", reading=work.total())


def _read_cost(done: Path) -> Reading:
    try:
        return Reading.model_validate(json.loads(done.read_text(encoding="utf-8")))
    except ValueError as error:  # not JSON, or not a reading
        reason = " ".join(str(error).split())[:160]
        raise DataMismatchError(f"{done} is damaged ({reason}); remove it to prepare again what is missing") from error


def _settings_of(method: Method) -> dict[str, Any]:
    """Return the settings that a method's preparation depends on."""
    config = asdict(method.config)
    return {key: config[key] for key in method.prepare_fields}


def _folder_of(name: str, settings: Mapping[str, Any], train: LabeledImages, seed: int) -> Path:
    content = {
        "config": dict(settings),
        "dataset": train.info.name,
        "fingerprint": train.info.fingerprint,
        "seed": seed,
    }
    return find_cache_dir() / "prepared" / keyed_name(content, name, train.info.name)
