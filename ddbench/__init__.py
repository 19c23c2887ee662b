"""ddbench: a benchmark for dataset distillation. Importing it imports no torch; names are loaded when first used."""

import sys

# `python -m ddbench` puts the working folder where modules are looked for first, and a torch.py, a typing.py or the
# records of a plug-in that lie there would be run. Where this package itself lies there, the folder comes last.
# While Python looks for the program to run, argv[0] is `-m`.
if (
    sys.argv[:1] == ["-m"]
    and sys.orig_argv[-len(sys.argv)].removeprefix("-m").split(".")[0] == __name__
    and not sys.flags.safe_path
):
    first = sys.path.pop(0)
    if __path__[0] == f"{first}/{__name__}":
        sys.path.append(first)

from typing import TYPE_CHECKING

from ddbench.lazy import lazy_names, listing

if TYPE_CHECKING:
    from ddbench.dataset import load_dataset
    from ddbench.distilled.dataset import DistilledDataset
    from ddbench.evaluator import Evaluator
    from ddbench.images import LabeledImages, RealDataset
    from ddbench.method import Method, RunContext
    from ddbench.peers.dd_ranking import to_dd_ranking
    from ddbench.records import Metric, Result
    from ddbench.registry import DATASETS, EVALUATORS, EXPORTERS, IMPORTERS, LOGGERS, METHODS, NETWORKS, PROTOCOLS
    from ddbench.report.from_python import compare, plot, table, to_pandas
    from ddbench.runs.cell import evaluate
    from ddbench.runs.distill import distill
    from ddbench.runs.exporting import export_set
    from ddbench.runs.foreign_values import SourceFacts
    from ddbench.runs.importing import import_set
    from ddbench.runs.results_store import read_results
    from ddbench.runs.suite_runner import run_suite

__version__ = "0.2.0"

_HOMES = {
    "DATASETS": "registry",
    "EVALUATORS": "registry",
    "EXPORTERS": "registry",
    "IMPORTERS": "registry",
    "LOGGERS": "registry",
    "METHODS": "registry",
    "NETWORKS": "registry",
    "PROTOCOLS": "registry",
    "DistilledDataset": "distilled.dataset",
    "Evaluator": "evaluator",
    "LabeledImages": "images",
    "Method": "method",
    "Metric": "records",
    "RealDataset": "images",
    "Result": "records",
    "RunContext": "method",
    "SourceFacts": "runs.foreign_values",
    "compare": "report.from_python",
    "distill": "runs.distill",
    "evaluate": "runs.cell",
    "export_set": "runs.exporting",
    "import_set": "runs.importing",
    "load_dataset": "dataset",
    "plot": "report.from_python",
    "read_results": "runs.results_store",
    "run_suite": "runs.suite_runner",
    "table": "report.from_python",
    "to_dd_ranking": "peers.dd_ranking",
    "to_pandas": "report.from_python",
}

__all__ = [
    "DATASETS",
    "EVALUATORS",
    "EXPORTERS",
    "IMPORTERS",
    "LOGGERS",
    "METHODS",
    "NETWORKS",
    "PROTOCOLS",
    "DistilledDataset",
    "Evaluator",
    "LabeledImages",
    "Method",
    "Metric",
    "RealDataset",
    "Result",
    "RunContext",
    "SourceFacts",
    "compare",
    "distill",
    "evaluate",
    "export_set",
    "import_set",
    "load_dataset",
    "plot",
    "read_results",
    "run_suite",
    "table",
    "to_dd_ranking",
    "to_pandas",
]

__getattr__ = lazy_names(__name__, {name: f"ddbench.{home}" for name, home in _HOMES.items()})
__dir__ = listing(__all__)
