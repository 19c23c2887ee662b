"""The method interface: what a distillation method is given, and what it gives back."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from numbers import Real
from pathlib import Path
from types import UnionType
from typing import Any, ClassVar, Protocol, TypeVar, Union, get_args, get_origin, get_type_hints

import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from ddbench.distilled.dataset import DistilledDataset
from ddbench.errors import BadInputError
from ddbench.host.source_code import Code, code_of_class, digest_of_code, has_file, read_code
from ddbench.images import LabeledImages
from ddbench.inputs.values import LARGEST_SEED, as_text, shown
from ddbench.registry import METHODS, suggest
from ddbench.work import MethodWork

__all__ = [
    "ADDED",
    "METHODS",
    "Foundation",
    "Method",
    "NoConfig",
    "Resumable",
    "RunContext",
    "Tracker",
    "all_settings",
    "check_ipc",
    "config_of",
    "make_method",
    "with_added",
]

T = TypeVar("T")

LARGEST_SETTING = (10**9, 1e30)  # of an integer, which counts something, and of a float

# Metadata of a setting that a method gained after results of it were recorded, `field(default=..., metadata=ADDED)`:
# where it has its default it stands in no result and no key, so that cells keep the keys that they had before.
ADDED = {"is_added": True}

# What a class below the one that prepares may define without its file being part of the prepared folder's key: it runs
# after preparing, or its values are in the key themselves.
AFTER_PREPARE = {
    "distill",
    "sampling_plan",
    "starts",
    "step_flops",
    "unsupported",
    "work",
    "Config",
    "smoke_settings",
    "uses_ipc",
    "prepare_ignores",
    "is_deterministic",
}

_BY_PYTHON = set(dir(object)) - {"__init__"} | {"__module__", "__dict__", "__abstractmethods__", "_abc_impl", "_code"}
_BY_PYTHON |= {"__annotations__", "__orig_bases__", "__parameters__", "__firstlineno__", "__static_attributes__"}


class Resumable(Protocol):
    """State of a loop that can be kept at the end of any iteration and resumed in another process."""

    def save_state(self) -> dict[str, Tensor]:
        """Return all that the next iteration depends on, generators included, as tensors of any device."""

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go back to a state that `save_state` gave; tensors arrive on the CPU."""


def part_of(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return what a state holds under names that begin with `prefix`, by the rest of the name."""
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


class Tracker(Protocol):
    """Shows progress over an iterable, and lets a long loop resume where a killed run left it."""

    def __call__(self, iterable: Iterable[T], description: str, state: Resumable | None = None) -> Iterator[T]:
        """Yield the items of `iterable` unchanged.

        With a `state` the loop may be resumed: the state is kept from time to time, and a later run of the same work
        gets it back before the first item and starts behind the items that were done. The description names the loop.
        """


def untracked(iterable: Iterable[T], description: str, state: Resumable | None = None) -> Iterator[T]:
    """Yield the items without showing or keeping anything."""
    yield from iterable


def unlogged(name: str, value: object) -> None:
    """Drop the value."""


@dataclass(frozen=True)
class RunContext:
    """What a method or evaluator may use besides its data.

    Attributes:
        device: where to compute.
        generator: CPU generator; every draw must come from it or from seeds drawn from it.
        cache_dir: in `prepare` the folder to fill; elsewhere a scratch folder of this run.
        prepared: the folder `prepare` filled, None where the method prepares nothing.
        foundation: the folder of the foundation, in `prepare` and `distill`; None where the method has none.
        foundations: the folders of all of `Method.foundations()`, in their order; `foundation` is the first of them.
        log: keeps a named value: a number, a text, or images (N, C, H, W), C of 1 or 3, uint8 pixels or float ones
            normalised as the data set's. A step stands in brackets, `loss[100]`. Numbers and texts go to the run's log
            file; all of it goes to loggers, where any are open.
        track: shows progress over an iterable; given a `Resumable`, continues a loop that was killed.
        shows_images: whether images that are logged are shown anywhere; else they need not be made.
    """

    device: torch.device
    generator: torch.Generator
    cache_dir: Path
    prepared: Path | None = None
    foundation: Path | None = None
    foundations: tuple[Path | None, ...] = ()
    log: Callable[[str, object], None] = unlogged
    track: Tracker = untracked
    shows_images: bool = False


@dataclass(frozen=True)
class NoConfig:
    """For methods without settings."""


@dataclass(frozen=True)
class Foundation:
    """Work that preparations of several methods and of every seed stand on, such as a generator trained on a data set.

    Attributes:
        name: with `settings` and the data set it identifies the work.
        settings: JSON-able.
        fill: fills `ctx.cache_dir` and returns it, as `Method.prepare` does; the generator's seed is always 0.
        judge: adds to the filled folder what is to be known of it; its cost is no part of what preparing cost.
    """

    name: str
    settings: Mapping[str, Any]
    fill: Callable[[LabeledImages, RunContext], Path | None]
    judge: Callable[[LabeledImages, RunContext], None] | None = None


class Method(ABC):
    """A distillation method: one file, one class, one nested frozen `Config`.

    Attributes:
        Config: frozen dataclass of settings, every one with a default and its source.
        uses_ipc: False for a method whose set does not depend on IPC, such as `full_real`.
        is_deterministic: True for a method that draws nothing: it gives one set for every seed, and the spread over
            distillation seeds is that of the students alone.
        prepare_name: methods of the same name and settings share one prepared folder; default the method's own name.
        prepare_ignores: the Config fields that what `prepare` makes does not depend on; a change of any other one
            prepares anew. A change of the method's code does so too: see `prepare_code`.
        smoke_settings: settings that make a run on 8x8 digits last a second or two, for `ddbench check`.
    """

    Config: ClassVar[type[Any]] = NoConfig
    uses_ipc: ClassVar[bool] = True
    is_deterministic: ClassVar[bool] = False
    prepare_name: ClassVar[str] = ""
    prepare_ignores: ClassVar[tuple[str, ...]] = ()
    smoke_settings: ClassVar[dict[str, Any]] = {}

    _code: ClassVar[Code] = {}

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        # Read now: a file that is edited while a run goes on is not the code that runs.
        inherited = [base._code for base in reversed(cls.__bases__) if issubclass(base, Method)]
        cls._code = {name: content for code in inherited for name, content in code.items()}
        if any(hasattr(base, name) for base in cls.__bases__ for name in vars(cls).keys() - AFTER_PREPARE - _BY_PYTHON):
            cls._code |= read_code(cls.__module__) if has_file(cls.__module__) else code_of_class(cls)

    def __init__(self, config: object | None = None) -> None:
        self.config: Any = self.Config() if config is None else config

    @abstractmethod
    def distill(self, train: LabeledImages, ipc: int, ctx: RunContext) -> DistilledDataset:
        """Return a distilled set made from the training split alone.

        Args:
            train: N real images, uint8, with labels.
            ipc: images per class to make.
            ctx: device, generator, progress.
        """

    def prepare(self, train: LabeledImages, ctx: RunContext) -> Path | None:
        """Fill `ctx.cache_dir` with work shared by every IPC and return it, or return None where there is none."""
        return None

    @classmethod
    def prepare_code(cls) -> str:
        """Return a digest of the code that prepares, part of the prepared folder's key.

        It is of the files of the class and of its bases, and of what these import from their own package. The file of a
        class that adds nothing but what runs after preparing (`AFTER_PREPARE`) is left out.
        """
        return digest_of_code(cls._code)

    def foundation(self) -> Foundation | None:
        """Return what `prepare` stands on, or None; its cost is part of what preparing cost."""
        return None

    def foundations(self) -> tuple[Foundation, ...]:
        """Return all that `prepare` stands on, for a method with several, each kept and shared by itself."""
        foundation = self.foundation()
        return () if foundation is None else (foundation,)

    def unsupported(self, train: LabeledImages, ipc: int) -> str | None:
        """Return why this data set or IPC cannot be done, or None where it can."""
        return check_ipc(train, ipc) if self.uses_ipc else None

    def work(self, train: LabeledImages, ipc: int) -> MethodWork | None:
        """Return how much work `prepare` and `distill` are, for `ddbench run --dry-run`; None where that is unknown."""
        return None

    def step_flops(self, train: LabeledImages) -> int | None:
        """Return the FLOPs of a step of what takes longest, where `work` declares nothing; None where that is unknown.

        How many threads the method is given follows from it, see `ddbench.engine.threads`; all of them where None.
        """
        return None


def check_ipc(train: LabeledImages, ipc: int) -> str | None:
    """Return the reason why `ipc` real images of each class cannot be taken, or None."""
    smallest = int(train.class_counts().min())
    if ipc > smallest:
        return f"ipc must be 1..{smallest} (the smallest class of {train.info.name}), got {ipc}"
    return None


def make_method(name: str, settings: Mapping[str, Any] | None = None) -> Method:
    """Return the method called `name` with its settings checked.

    Raises:
        UnknownNameError: no such method.
        BadInputError: an unknown setting (with close matches), or a value of the wrong type or out of range.
    """
    method_class = METHODS.get(as_text(name, "name of a method"))
    given = {} if settings is None else settings
    if not isinstance(given, Mapping):
        raise BadInputError(f"settings of method {name} must be a dictionary, got {shown(settings)}")
    return method_class(_make_config(name, method_class.Config, dict(given)))


def config_of(method: Method) -> dict[str, Any]:
    """Return a method's settings as JSON-able values: all but added ones that have their default."""
    config: Any = method.config
    untouched = {f.name for f in fields(config) if f.metadata.get("is_added") and getattr(config, f.name) == f.default}
    return {name: value for name, value in all_settings(method).items() if name not in untouched}


def all_settings(method: Method) -> dict[str, Any]:
    """Return a method's settings as JSON-able values, added ones too; tuples as lists."""
    return {name: _storable(value) for name, value in asdict(method.config).items()}


def with_added(name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recorded config with the added settings that it leaves out, at their defaults.

    That of a method that is not registered stays as it is.
    """
    if name not in METHODS.names():
        return dict(config)
    added = {f.name: _storable(f.default) for f in fields(METHODS.get(name).Config) if f.metadata.get("is_added")}
    return {**added, **config}


def _storable(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _as_kind_of(value: object, kind: Any, what: str) -> object:  # noqa: ANN401 - a type as it stands in a class
    """Return a setting ready for pydantic, which would make a number of a bool and a bool of a number.

    Raises:
        BadInputError: a bool for a number, a float for an integer, or a number for a bool.
    """
    kinds = set(get_args(kind)) - {type(None)} if get_origin(kind) in (Union, UnionType) else {kind}
    wrong = {frozenset({bool}): (int, float), frozenset({int}): (bool, float), frozenset({float}): (bool,)}
    if type(value) in wrong.get(frozenset(kinds), ()):
        word = {bool: "boolean", int: "integer", float: "number"}[kinds.pop()]
        raise BadInputError(f"{what} cannot be {shown(value)}: Input should be a valid {word}")
    if type(value) is int and abs(value) > LARGEST_SEED:  # which no loop counts to and no file holds
        raise BadInputError(f"{what} cannot be {shown(value)}: at most {LARGEST_SEED}")
    if kinds <= {int, float} and isinstance(value, Real) and type(value).__module__ == "numpy":
        return value.item()  # type: ignore[attr-defined]
    return value


def _make_config(name: str, config_class: type[Any], settings: dict[str, Any]) -> object:
    known = [f.name for f in fields(config_class)]
    for key in settings:
        if key not in known:
            hint = suggest(str(key), known) if known else "it takes none"
            raise BadInputError(f"method {name} has no setting {key!r}; {hint}")
    kinds = get_type_hints(config_class)
    settings = {key: _as_kind_of(value, kinds[key], f"method {name}: setting {key}") for key, value in settings.items()}
    try:
        config: object = TypeAdapter(config_class).validate_python(settings)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        if not where:  # settings that do not go together: the method's own words say what is wrong
            raise BadInputError(f"method {name}: {first['msg'].removeprefix('Value error, ')}") from error
        came = shown(first["input"]).removeprefix("text ")
        hint = f"; write a list, {where}=[{first['input']}]" if first["type"] == "tuple_type" else ""
        raise BadInputError(f"method {name}: setting {where} cannot be {came}: {first['msg']}{hint}") from error
    for key in settings:
        # Infinity passes every lower bound, and JSON has no word for it; what float32 cannot hold passes them too.
        value = getattr(config, key)
        if isinstance(value, float) and not math.isfinite(value):
            raise BadInputError(f"method {name}: setting {key} must be a finite number, got {value}")
        if isinstance(value, int | float) and abs(value) > LARGEST_SETTING[type(value) is float]:
            raise BadInputError(
                f"method {name}: setting {key} is {value:g}, larger than anything; give one that is meant"
            )
    return config
