"""Name -> object, filled by the files of one folder and by installed plug-ins; listing imports nothing."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast, overload

from ddbench.errors import BadInputError, UnknownNameError

if TYPE_CHECKING:
    from ddbench.dataset import DatasetLoader
    from ddbench.evaluator import Evaluator
    from ddbench.exporter import Exporter
    from ddbench.importer import Importer
    from ddbench.logger import Logger
    from ddbench.method import Method
    from ddbench.network import InputShape, Network
    from ddbench.protocol import Protocol
    from ddbench.runner import Runner

T = TypeVar("T")
V = TypeVar("V")


SHOWN = 160  # characters of a list of names in a message


def suggest(name: str, known: Iterable[str]) -> str:
    """Sentence part naming close matches of `name` among `known`, or all of `known` where none is close.

    Upper and lower case count as one; of a long list the first names are given, and how many there are. A name in
    another spelling, such as `CIFAR-10`, means the one it stands for.
    """
    known = sorted(known)
    spelt = [entry for entry in known if _letters(entry) == _letters(name[:SHOWN])]
    if len(spelt) == 1:
        return f"did you mean {spelt[0]}?"
    plain = {entry.casefold(): entry for entry in reversed(known)}  # of two that differ in case alone, the first
    close = [plain[match] for match in get_close_matches(name[:SHOWN].casefold(), plain, n=3, cutoff=0.5)]
    if close:
        return f"did you mean {' or '.join(close)}?"
    shown = [
        entry
        for entry, length in zip(known, accumulate(len(entry) + 2 for entry in known), strict=True)
        if length <= SHOWN
    ]
    more = f" and {len(known) - len(shown)} more" if len(shown) < len(known) else ""
    return f"known: {', '.join(shown)}{more}" if known else "none are registered"


def _letters(name: str) -> str:
    """Return a name's letters and digits alone, in lower case."""
    return "".join(character for character in name.casefold() if character.isalnum())


class Registry(Generic[T]):
    """One kind of plug-in: `package` is the folder whose file stems are names, `group` the entry-point group.

    `dashes`: a `_` of a file's stem is a `-` of the name, `dsa_bf16.py` the file of `dsa-bf16`.
    """

    def __init__(
        self, kind: str, package: str | None = None, group: str | None = None, *, dashes: bool = False
    ) -> None:
        self.kind = kind
        self._dashes = dashes
        self._package = package
        self._group = group
        self._entries: dict[str, T] = {}

    def register(self, name: str) -> Callable[[V], V]:
        """Decorator that registers a class or function under `name`; raises ValueError where the name is taken."""

        def add(entry: V) -> V:
            self._check(name, entry)
            if self._entries.get(name, entry) != entry:
                raise ValueError(f"{self.kind} name {name!r} is taken by {self._entries[name]!r}; choose another name")
            if name in self._files and self._module(name) not in sys.modules:
                own = self._files[name].name
                raise ValueError(f"{self.kind} name {name!r} is taken by ddbench's own {own}; choose another name")
            self._entries[name] = entry  # type: ignore[assignment]
            return entry

        return add

    def names(self) -> tuple[str, ...]:
        """Every known name, sorted; imports no implementation."""
        return tuple(sorted({*self._entries, *self._files, *self._plugins}))

    def is_own(self, name: str) -> bool:
        """Return whether a name is that of a file of ddbench's own, and of nothing else."""
        own = name in self._files and name not in self._plugins
        return own and (name not in self._entries or self._module(name) in sys.modules)

    def get(self, name: str) -> T:
        """Return the entry called `name`, importing its module first where needed.

        Raises:
            UnknownNameError: no such name (with close matches), or its module failed to import (with the true error).
            BadInputError: something else than a name.
        """
        if not isinstance(name, str):
            raise BadInputError(f"{self.kind} must be a name, got {type(name).__name__} {name!r}")
        if name not in self._entries:
            self._load(name)
        return self._entries[name]

    def check_name(self, name: str) -> None:
        """Raise UnknownNameError, with close matches, where nothing goes by this name; imports no implementation."""
        if name not in self.names():
            raise UnknownNameError(f"unknown {self.kind} {name!r}; {suggest(name, self.names())}")

    def summary(self, name: str) -> str:
        """One line about `name`: the first line of its file's docstring, or the plug-in it comes from."""
        if name in self._files:
            try:
                docstring = ast.get_docstring(ast.parse(self._files[name].read_text(encoding="utf-8"))) or ""
            except (SyntaxError, ValueError) as error:
                return f"cannot be read: {type(error).__name__}: {error}"
            return docstring.split("\n", 1)[0]
        if name in self._plugins:
            return " and ".join(map(_describe_plugin, self._plugins[name]))
        return (getattr(self._entries.get(name), "__doc__", None) or "").split("\n", 1)[0]

    @cached_property
    def _files(self) -> dict[str, Path]:
        spec = find_spec(self._package) if self._package else None
        folders = list(spec.submodule_search_locations or []) if spec else []
        return {
            module.name.replace("_", "-") if self._dashes else module.name: Path(folder) / f"{module.name}.py"
            for folder in folders
            for module in pkgutil.iter_modules([folder])
            if not module.ispkg and not module.name.startswith("_")
        }

    def _module(self, name: str) -> str:
        return f"{self._package}.{self._files[name].stem}"

    @cached_property
    def _plugins(self) -> dict[str, list[EntryPoint]]:
        plugins: dict[str, list[EntryPoint]] = defaultdict(list)
        for point in entry_points(group=self._group) if self._group else ():
            plugins[point.name].append(point)
        return dict(plugins)

    def _check(self, name: str, entry: object) -> None:
        """Raise ValueError where `entry` cannot go by this name."""

    def _load(self, name: str) -> None:
        self.check_name(name)
        sources = [*(["ddbench"] if name in self._files else []), *map(_describe_plugin, self._plugins.get(name, ()))]
        if len(sources) > 1:
            raise UnknownNameError(
                f"{self.kind} name {name!r} is taken: {' and '.join(sources)} each bring one; "
                "rename the plug-in's entry point"
            )
        try:
            if name in self._files:
                importlib.import_module(self._module(name))
            else:
                entry = self._plugins[name][0].load()
                self._check(name, entry)
                self._entries.setdefault(name, entry)
        except Exception as error:
            self._entries.pop(name, None)  # registered before its file broke: half a module is none
            raise UnknownNameError(
                f"{self.kind} {name!r} is there but failed to import: {type(error).__name__}: {error}"
            ) from error
        if name not in self._entries:
            file = self._files[name].name
            raise UnknownNameError(f"{self.kind} file {file} registers no {name!r}; register it under its file name")


def _describe_plugin(plugin: EntryPoint) -> str:
    return f"plug-in {plugin.dist.name if plugin.dist else plugin.value}"


class ProtocolRegistry(Registry["Protocol"]):
    """Protocols, which know their own names; `get` takes options with the name, `soft-label,teacher=FILE`."""

    @overload
    def register(self, entry: str) -> Callable[[V], V]: ...

    @overload
    def register(self, entry: Protocol) -> Protocol: ...

    def register(self, entry: str | Protocol) -> Callable[[V], V] | Protocol:
        """Add a protocol: `register(protocol)`, or `register(name)(protocol)` as for every other kind.

        Raises:
            ValueError: another protocol has the name, or the protocol calls itself by another one.
        """
        return super().register(entry) if isinstance(entry, str) else super().register(entry.name)(entry)

    def get(self, name: str) -> Protocol:
        """Return the protocol called `name`, options included (see `Protocol.with_options`).

        Raises:
            UnknownNameError: no such protocol, or its module failed to import.
            BadInputError: options that it does not take, or a teacher's file that cannot be read.
        """
        base, *options = name.split(",") if isinstance(name, str) else (name,)
        protocol = super().get(base)
        return protocol.with_options(options) if options else protocol

    def summary(self, name: str) -> str:
        """One line about `name`, as for every kind; of one that a program registered, its version and hash."""
        if name in self._files or name in self._plugins or name not in self._entries:
            return super().summary(name)
        protocol = self._entries[name]
        return f"v{protocol.version}@{protocol.hash}: {protocol.network}"

    def _check(self, name: str, entry: object) -> None:
        if getattr(entry, "name", None) != name:
            raise ValueError(f"protocol {getattr(entry, 'name', entry)!r} must be registered as such, not as {name!r}")
        if self._entries.get(name, entry) != entry:
            raise ValueError(f"protocol name {name!r} is taken by another content; choose another name")
        try:  # a copy with changes is not checked when it is made
            type(entry)(**cast("Protocol", entry).model_dump(warnings=False))
        except BadInputError as error:
            raise BadInputError(f"protocol {name}: {error}") from error


# The registries stand here and not beside their interfaces, so that `ddbench list` need not import torch.
METHODS: Registry[type[Method]] = Registry("method", "ddbench.methods", "ddbench.methods")
DATASETS: Registry[DatasetLoader] = Registry("dataset", "ddbench.datasets", "ddbench.datasets")
NETWORKS: Registry[Callable[[str, InputShape], Network]] = Registry("network", "ddbench.networks", "ddbench.networks")
EVALUATORS: Registry[type[Evaluator]] = Registry("evaluator", "ddbench.evaluators", "ddbench.evaluators")
IMPORTERS: Registry[type[Importer]] = Registry("importer", "ddbench.importers", "ddbench.importers", dashes=True)
EXPORTERS: Registry[type[Exporter]] = Registry("exporter", "ddbench.exporters", "ddbench.exporters", dashes=True)
RUNNERS: Registry[type[Runner]] = Registry("runner", "ddbench.runners", "ddbench.runners")
LOGGERS: Registry[type[Logger]] = Registry("logger", "ddbench.loggers", "ddbench.loggers")
PROTOCOLS = ProtocolRegistry("protocol", "ddbench.protocols", "ddbench.protocols", dashes=True)
# Every kind, in the order in which people meet them.
REGISTRIES: dict[str, Registry[Any]] = {
    "methods": METHODS,
    "datasets": DATASETS,
    "networks": NETWORKS,
    "evaluators": EVALUATORS,
    "protocols": PROTOCOLS,
    "importers": IMPORTERS,
    "exporters": EXPORTERS,
    "runners": RUNNERS,
    "loggers": LOGGERS,
}
