"""Suites: a YAML grid of methods, data sets, IPC, networks and seeds, expanded into cells; every key is checked."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ddbench.errors import BadInputError
from ddbench.evaluator import make_evaluator
from ddbench.host.files import digest_of
from ddbench.inputs.checked import Checked
from ddbench.method import config_of, make_method
from ddbench.network import split_spec
from ddbench.protocol import PROTOCOLS
from ddbench.records import size_words
from ddbench.registry import DATASETS, suggest
from ddbench.runs.presets import preset_settings

DEFAULT_EVALUATORS = ("accuracy", "wall_clock", "peak_memory")


class Cell(BaseModel):
    """What one result is a function of; `config` is the method's full config."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    method: str
    config: dict[str, Any]
    dataset: str
    ipc: int | None
    network: str
    protocol: str
    protocol_hash: str
    distill_seed: int
    eval_seed: int
    students: int
    evaluators: tuple[str, ...] = DEFAULT_EVALUATORS
    cross_networks: tuple[str, ...] = ()
    share_prepare: bool = False

    @property
    def key(self) -> str:
        """Content hash, 16 hexadecimal digits; the order of settings and of evaluators does not enter it."""
        content = self.model_dump(mode="json")
        content["evaluators"] = sorted(self.evaluators)
        return digest_of(content)

    @property
    def distill_key(self) -> str:
        """Content hash of what the distilled set depends on; cells that differ only in evaluation share it."""
        names = ("method", "config", "dataset", "ipc", "distill_seed", "share_prepare")
        return digest_of(self.model_dump(mode="json", include=set(names)))

    @property
    def title(self) -> str:
        """A few words for progress bars and messages."""
        return f"{self.method} on {self.dataset}, {size_words(self.ipc)}, {self.network}, seed {self.distill_seed}"


def _as_seeds(value: object) -> object:
    """A bare number n of seeds means 0..n-1."""
    return list(range(value)) if isinstance(value, int) and not isinstance(value, bool) else value


def _as_method(value: object) -> object:
    """A bare method name is that method without settings."""
    return {"name": value} if isinstance(value, str) else value


# Strict: a YAML `yes` or "3" where a number belongs is a slip, not a number.
Count = Annotated[int, Field(ge=1, strict=True)]
Seed = Annotated[int, Field(ge=0, strict=True)]
Seeds = Annotated[tuple[Seed, ...], BeforeValidator(_as_seeds), Field(min_length=1)]
Budgets = Annotated[tuple[Count, ...], Field(min_length=1)]
Names = Annotated[tuple[str, ...], Field(min_length=1)]


class SuiteMethod(Checked):
    """One method of a suite; `ipc`, `distill_seeds` and `students` override the suite's for it.

    `settings` override those of `preset`, which serve every data set and IPC that the method runs on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    preset: str | None = None
    settings: dict[str, Any] = Field(default_factory=dict)
    ipc: Budgets | None = None
    distill_seeds: Seeds | None = None
    students: Count | None = None


class Suite(Checked):
    """A grid: data sets x methods x IPC x networks x distillation seeds, under one protocol.

    `students_at_once` says how many students one call trains: an engine setting, which no cell's key depends on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    description: str = ""
    protocol: str
    datasets: Names
    methods: Annotated[tuple[Annotated[SuiteMethod, BeforeValidator(_as_method)], ...], Field(min_length=1)]
    ipc: Budgets
    networks: tuple[str, ...] = ()
    distill_seeds: Seeds = (0,)
    students: Count = 1
    eval_seed: Seed = 0
    evaluators: Names = DEFAULT_EVALUATORS
    cross_networks: tuple[str, ...] = ()
    share_prepare: bool = False
    students_at_once: Count | None = None

    def cells(self) -> list[Cell]:
        """Return the cells of the grid, each once, data set by data set.

        Raises:
            UnknownNameError: a method, preset, data set, network, evaluator or protocol that does not exist.
            BadInputError: a setting that a method does not take, or a preset of another method.
        """
        protocol = PROTOCOLS.get(self.protocol)
        networks = self.networks or (protocol.network,)
        for network in (*networks, *self.cross_networks):
            split_spec(network)
        for evaluator in self.evaluators:
            make_evaluator(evaluator)
        cells = {}
        for dataset in self.datasets:
            DATASETS.get(dataset.partition(":")[0].partition(",")[0])
            for listed in self.methods:
                for cell in self._cells_of(listed, dataset, networks):
                    cells[cell.key] = cell
        return list(cells.values())

    def _cells_of(self, listed: SuiteMethod, dataset: str, networks: tuple[str, ...]) -> list[Cell]:
        settings = listed.settings
        if listed.preset is not None:
            settings = preset_settings(listed.preset, listed.name, settings)
        method = make_method(listed.name, settings)
        budgets: tuple[int | None, ...] = (listed.ipc or self.ipc) if method.uses_ipc else (None,)
        return [
            Cell(
                method=listed.name,
                config=config_of(method),
                dataset=dataset,
                ipc=ipc,
                network=network,
                protocol=self.protocol,
                protocol_hash=PROTOCOLS.get(self.protocol).hash,
                distill_seed=seed,
                eval_seed=self.eval_seed,
                students=listed.students or self.students,
                evaluators=self.evaluators,
                cross_networks=self.cross_networks,
                share_prepare=self.share_prepare,
            )
            for ipc in budgets
            for seed in listed.distill_seeds or self.distill_seeds
            for network in networks
        ]


def load_suite(path: Path | str) -> Suite:
    """Return the suite in a YAML file.

    Raises:
        BadInputError: no such file, not YAML, an unknown, missing or duplicate key, or a value of the wrong type.
    """
    source = Path(path)
    try:
        content = yaml.load(source.read_text(encoding="utf-8"), Loader=_StrictLoader)
        return Suite.model_validate(content)
    except FileNotFoundError as error:
        raise BadInputError(f"suite file {source} does not exist") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadInputError(f"suite {source} cannot be read: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        raise BadInputError(f"suite {source}: {_explain(error)}") from error


class _StrictLoader(yaml.SafeLoader):
    """A SafeLoader that refuses a key given twice, where YAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge" or not isinstance(key_node, yaml.ScalarNode):
                continue  # `<<` brings in another mapping's keys; what cannot be a key is refused below
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} is given twice (line {key_node.start_mark.line + 1}); keep one"
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def _explain(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = (SuiteMethod if first["loc"][0] == "methods" else Suite).model_fields
        return f"unknown key {where!r}; {suggest(str(first['loc'][-1]), known)}"
    if first["type"] == "missing":
        return f"key {where!r} is missing"
    return f"{where or 'the file'}: {first['msg']}, got {first['input']!r}"
