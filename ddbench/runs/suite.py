"""Suites: a YAML grid of methods, data sets, IPC, networks and seeds, expanded into cells; every key is checked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, ValidationError, model_validator

from ddbench.errors import BadInputError
from ddbench.evaluator import make_evaluator
from ddbench.host.files import digest_of
from ddbench.inputs.checked import Checked
from ddbench.inputs.network_names import split_spec
from ddbench.inputs.paths import as_path
from ddbench.inputs.problems import explain
from ddbench.inputs.values import MOST_STUDENTS
from ddbench.inputs.yaml import read_yaml
from ddbench.method import config_of, make_method
from ddbench.protocol import PROTOCOLS
from ddbench.records import Space, size_words
from ddbench.registry import DATASETS
from ddbench.runs.presets import preset_settings

MOST_CELLS = 100_000  # of a suite
DEFAULT_EVALUATORS = ("accuracy", "wall_clock", "peak_memory")


class Cell(BaseModel):
    """What one result is a function of.

    `config` is the method's full config. `dataset_fingerprint` is given once the data set has been looked at, where its
    name does not stand for one content: a folder of the user's may hold other pictures tomorrow.
    """

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
    dataset_fingerprint: str = ""

    @property
    def key(self) -> str:
        """Content hash, 16 hexadecimal digits; the order of settings and of evaluators does not enter it."""
        content = self.model_dump(mode="json")
        content["evaluators"] = sorted(self.evaluators)
        return digest_of(_without_empty_fingerprint(content))

    @property
    def distill_key(self) -> str:
        """Content hash of what the distilled set depends on; cells that differ only in evaluation share it."""
        names = ("method", "config", "dataset", "ipc", "distill_seed", "share_prepare", "dataset_fingerprint")
        return digest_of(_without_empty_fingerprint(self.model_dump(mode="json", include=set(names))))

    @property
    def title(self) -> str:
        """A few words for progress bars and messages."""
        return f"{self.method} on {self.dataset}, {size_words(self.ipc)}, {self.network}, seed {self.distill_seed}"


def _without_empty_fingerprint(content: dict[str, Any]) -> dict[str, Any]:
    """Return a cell's content as keys have always been made of it where the data set's name says all."""
    return {name: value for name, value in content.items() if name != "dataset_fingerprint" or value}


def _as_seeds(value: object) -> object:
    """A bare number n of seeds means 0..n-1."""
    if not isinstance(value, int) or isinstance(value, bool):
        return value
    if value > MOST_CELLS:
        raise ValueError(f"{value:,} seeds are more than {MOST_CELLS:,}; list those that are meant")
    return list(range(value))


def _as_method(value: object) -> object:
    """A bare method name is that method without settings."""
    return {"name": value} if isinstance(value, str) else value


def _as_set(value: object) -> object:
    """A bare path is the folder of a distilled set."""
    return {"path": value} if isinstance(value, str) else value


# Strict: a YAML `yes` or "3" where a number belongs is a slip, not a number.
Count = Annotated[int, Field(ge=1, le=10**9, strict=True)]
Students = Annotated[int, Field(ge=1, le=MOST_STUDENTS, strict=True)]
Seed = Annotated[int, Field(ge=0, lt=2**63, strict=True)]
Seeds = Annotated[tuple[Seed, ...], BeforeValidator(_as_seeds), Field(min_length=1)]
Budgets = Annotated[tuple[Count, ...], Field(min_length=1)]
Name = Annotated[str, Field(min_length=1)]
Names = Annotated[tuple[Name, ...], Field(min_length=1)]


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
    students: Students | None = None


class SuiteSet(Checked):
    """A distilled set of a suite: the folder of one, or with `as` a source that another program wrote.

    The other keys are those of `ddbench import`, and of no meaning without `as`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_by_name=False)
    path: Name
    form: Name | None = Field(default=None, alias="as")
    dataset: Name | None = None
    method: Name | None = None
    seed: Seed | None = None
    space: Space | None = None
    normalised_by: Name | None = None
    factor: Count | None = None
    logits: StrictBool = False
    student_lr: Annotated[float, Field(gt=0)] | None = None
    class_map: Name | None = None
    pixel_margin: float | Name | None = None

    @model_validator(mode="after")
    def _says_what_it_is(self) -> Self:
        told = self.model_fields_set - {"path", "form"}
        if self.form is None and told:
            raise ValueError(
                f"{', '.join(sorted(told))}: only used with `as`; name the format with `as`, or remove this"
            )
        return self


class Suite(Checked):
    """A grid: data sets x methods x IPC x networks x distillation seeds, under one protocol; and sets that are there.

    `students_at_once` says how many students one call trains: an engine setting, which no cell's key depends on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    description: str = ""
    protocol: str
    datasets: Names
    methods: tuple[Annotated[SuiteMethod, BeforeValidator(_as_method)], ...] = ()
    sets: tuple[Annotated[SuiteSet, BeforeValidator(_as_set)], ...] = ()
    ipc: tuple[Count, ...] = ()
    networks: tuple[str, ...] = ()
    distill_seeds: Seeds = (0,)
    students: Students = 1
    eval_seed: Seed = 0
    evaluators: Names = DEFAULT_EVALUATORS
    cross_networks: tuple[str, ...] = ()
    share_prepare: bool = False
    students_at_once: Count | None = None

    @model_validator(mode="after")
    def _has_work(self) -> Self:
        if not (self.methods or self.sets):
            raise ValueError("methods: the suite lists neither methods nor sets; add some")
        if self.methods and not self.ipc and any(listed.ipc is None for listed in self.methods):
            raise ValueError("ipc: is missing; list the images per class")
        return self

    @property
    def size(self) -> int:
        """At most so many cells; those that a method makes once for every IPC are counted for each."""
        of_methods = (
            len(listed.ipc or self.ipc) * len(listed.distill_seeds or self.distill_seeds) for listed in self.methods
        )
        return len(self.datasets) * max(1, len(self.networks)) * sum(of_methods)

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


KNOWN_KEYS = {"": tuple(Suite.model_fields), "methods": tuple(SuiteMethod.model_fields)}
KNOWN_KEYS["sets"] = tuple(field.alias or name for name, field in SuiteSet.model_fields.items())


def load_suite(path: Path | str) -> Suite:
    """Return the suite in a YAML file.

    Raises:
        BadInputError: no such file, not YAML, an unknown, missing or duplicate key, a value of the wrong type, or a
            grid of more cells than anybody runs.
    """
    source = as_path(path, "suite")
    content = read_yaml(source, "suite")
    try:
        suite = Suite.model_validate(content)
    except ValidationError as error:
        raise BadInputError(f"suite {source}: {explain(error, KNOWN_KEYS)}; fix it") from error
    if (size := suite.size) > MOST_CELLS:
        raise BadInputError(f"suite {source} has {size:,} cells, over {MOST_CELLS:,}; split it")
    return suite
