"""Distilled sets that stand in a suite beside its methods: folders of ddbench's own, or sources to import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from ddbench.distilled.dataset import DistilledDataset
from ddbench.distilled.files import content_digest, load_distilled, save_distilled
from ddbench.distilled.names import SIDECAR
from ddbench.errors import BadInputError
from ddbench.images import DatasetInfo
from ddbench.inputs.paths import as_path
from ddbench.protocol import PROTOCOLS
from ddbench.records import SET_DIGEST
from ddbench.runs.distill import RunOptions
from ddbench.runs.foreign_values import SourceFacts
from ddbench.runs.importing import import_set
from ddbench.runs.suite import Cell, Suite, SuiteSet


def cells_of_sets(
    suite: Suite, infos: Mapping[str, DatasetInfo], options: RunOptions, scratch: Path
) -> list[tuple[Cell, Path]]:
    """Return the cells that evaluate a suite's sets, each with the folder of its set.

    Args:
        suite: whose sets.
        infos: the suite's data sets by spec; a set is evaluated on the one that it was made from.
        options: data folder and device.
        scratch: where imported sets are kept while the suite runs.

    Raises:
        BadInputError: a source that is none, or a set of no data set of the suite.
        DataMismatchError: a set that does not fit its data set.
    """
    found: dict[str, tuple[Cell, Path]] = {}
    for index, listed in enumerate(suite.sets):
        for folder, distilled in _sets_of(listed, suite, options, scratch / str(index)):
            spec = _spec_of(distilled, infos, listed)
            for network in suite.networks or (PROTOCOLS.get(suite.protocol).network,):
                cell = _cell_of(distilled, suite, spec, network)
                found[cell.key] = (cell, folder)
    return list(found.values())


def _sets_of(listed: SuiteSet, suite: Suite, options: RunOptions, scratch: Path) -> list[tuple[Path, DistilledDataset]]:
    path = as_path(listed.path, "set of a suite")
    if listed.form is None:
        if not (path / SIDECAR).is_file():
            raise BadInputError(f"{path} is not a distilled set; name its folder, or say what it is with `as: FORMAT`")
        return [(path, load_distilled(path))]
    dataset = listed.dataset or suite.datasets[0]
    if listed.dataset is None and len(suite.datasets) > 1:
        raise BadInputError(f"{path}: the suite has several data sets; name the one it was made from, `dataset: ...`")
    known = {field.name for field in fields(SourceFacts)}
    told = SourceFacts(**{name: value for name, value in listed.model_dump().items() if name in known})
    made = []
    for number, distilled in enumerate(import_set(path, listed.form, dataset, told, options=options).sets):
        made.append((save_distilled(distilled, scratch / str(number)), distilled))
    return made


def _spec_of(distilled: DistilledDataset, infos: Mapping[str, DatasetInfo], listed: SuiteSet) -> str:
    origin = distilled.provenance.get("dataset")
    for spec, info in infos.items():
        if origin in (spec, info.name):
            return spec
    raise BadInputError(
        f"{listed.path} was made from {origin}, which is not a data set of the suite; add it, or remove the set"
    )


def _cell_of(distilled: DistilledDataset, suite: Suite, spec: str, network: str) -> Cell:
    origin, config = distilled.provenance, distilled.provenance.get("config")
    return Cell(
        method=origin.get("method", "external"),
        config={SET_DIGEST: content_digest(distilled)} if config is None else config,
        dataset=spec,
        ipc=distilled.ipc,
        network=network,
        protocol=suite.protocol,
        protocol_hash=PROTOCOLS.get(suite.protocol).hash,
        distill_seed=origin.get("distill_seed", 0),
        eval_seed=suite.eval_seed,
        students=suite.students,
        evaluators=suite.evaluators,
        cross_networks=suite.cross_networks,
        share_prepare=origin.get("share_prepare", False),
    )
