"""Prepared folders: work shared by every IPC, done once, kept with what it cost, finished after a kill.

A method's preparation may stand on foundations, other such folders, which serve all seeds and several methods.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ddbench.host.cached_work import WorkKey, cached_work
from ddbench.host.checkpoint import CHECKPOINT_SECONDS, UNFINISHED_FOLDER, Checkpoints
from ddbench.host.meter import Meter
from ddbench.host.source_code import digest_of_owner
from ddbench.images import LabeledImages
from ddbench.method import Foundation, Method, RunContext, config_of
from ddbench.network import plugin_code
from ddbench.records import Phase, Reading
from ddbench.seeding import make_generator

# Of ddbench's own code below the methods. `tests/test_cache_versions.py` says when a version must be raised.
CACHE_VERSION = {"prepared": 1, "foundations": 2}

Fill = Callable[[LabeledImages, RunContext], Path | None]
Judge = Callable[[LabeledImages, RunContext], None]


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

    A folder left unfinished is handed to `prepare` again as it is, its loops go on from their checkpoints, and the cost
    recorded is that of all attempts.
    """
    key = prepared_key(name, method, train, seed)
    return (None, None) if key is None else _keep(key, method.prepare, train, seed, ctx, checkpoint_seconds)


def prepared_key(name: str, method: Method, train: LabeledImages, seed: int) -> WorkKey | None:
    """Return what a method's prepared folder is known by, None where the method prepares nothing.

    The key holds the whole Config but `prepare_ignores`, the code that prepares, the foundations, data and seed.

    Args:
        name: registered name; the method's `prepare_name` takes its place.
        method: with its settings.
        train: the training split.
        seed: of the preparation.
    """
    if type(method).prepare is Method.prepare:
        return None
    settings = {key: value for key, value in config_of(method).items() if key not in method.prepare_ignores}
    founded_on = [key.digest for key in foundation_keys(method, train)]
    content = {
        "config": settings,
        "code": [method.prepare_code(), *_network_code(settings)],
        "foundation": founded_on if len(founded_on) > 1 else next(iter(founded_on), None),
        "data": asdict(train.info),
        "seed": seed,
    }
    return WorkKey("prepared", method.prepare_name or name, train.info.name, CACHE_VERSION["prepared"], content)


def make_foundations(
    method: Method, train: LabeledImages, ctx: RunContext, *, checkpoint_seconds: float = CHECKPOINT_SECONDS
) -> tuple[tuple[Path | None, ...], Phase | None]:
    """Return the folders of a method's foundations and what making them cost, as `prepare_once`; their seed is 0."""
    made = [
        _keep(_key_of(foundation, train), foundation.fill, train, 0, ctx, checkpoint_seconds, foundation.judge)
        for foundation in method.foundations()
    ]
    return tuple(folder for folder, _ in made), Phase.joined(phase for _, phase in made)


def foundation_keys(method: Method, train: LabeledImages) -> list[WorkKey]:
    """Return what each of a method's foundations is known by: its settings, its code and the data."""
    return [_key_of(foundation, train) for foundation in method.foundations()]


def _key_of(foundation: Foundation, train: LabeledImages) -> WorkKey:
    settings = dict(foundation.settings)
    content = {
        "config": settings,
        "code": [digest_of_owner(foundation.fill), *_network_code(settings)],
        "data": asdict(train.info),
    }
    return WorkKey("foundations", foundation.name, train.info.name, CACHE_VERSION["foundations"], content)


def _keep(
    key: WorkKey,
    fill: Fill,
    train: LabeledImages,
    seed: int,
    ctx: RunContext,
    checkpoint_seconds: float,
    judge: Judge | None = None,
) -> tuple[Path | None, Phase | None]:
    """Return the folder of cached work, filled where it is not there yet, and what filling it cost."""
    with cached_work(key, resumes=True) as work:
        if work.account is not None:
            return work.folder, Phase(name="prepare", reading=Reading.model_validate(work.account), cached=True)
        generator = make_generator(seed, "prepare", train.info.name)
        meter = Meter(ctx.device)
        # Its folder, with the cost so far, goes only when the whole cost is on disk.
        unfinished = work.folder / UNFINISHED_FOLDER
        with Checkpoints(unfinished, meter, ctx.track, checkpoint_seconds, keeps_parts=True) as checkpoints:
            own = replace(ctx, generator=generator, cache_dir=work.folder, track=checkpoints.track)
            with meter:
                filled = fill(train, own)
            if filled is None:
                return None, None
            if filled != work.folder:
                raise RuntimeError(f"what prepares {key.name} must return ctx.cache_dir or None, got {filled}")
            if judge is not None:
                judge(train, replace(own, track=ctx.track))
            work.keep(checkpoints.total().model_dump(mode="json"))
        return work.folder, Phase(name="prepare", reading=checkpoints.total())


def _network_code(settings: dict[str, Any]) -> list[str]:
    """Return digests of the plug-in networks that settings name."""
    found = [plugin_code(value) for value in settings.values() if isinstance(value, str)]
    return sorted({digest for digest in found if digest})
