"""ddbench: a benchmark for dataset distillation. Importing it imports no torch; names are loaded when first used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddbench.lazy import lazy_names

if TYPE_CHECKING:
    from ddbench.dataset import load_dataset
    from ddbench.evaluator import Evaluator
    from ddbench.method import Method, RunContext
    from ddbench.records import DistilledDataset, LabeledImages, Metric, RealDataset, Result
    from ddbench.registry import DATASETS, EVALUATORS, METHODS, NETWORKS, PROTOCOLS
    from ddbench.runs.cell import evaluate
    from ddbench.runs.distill import distill
    from ddbench.runs.suite_runner import run_suite

__version__ = "0.2.0"

_HOMES = {
    "DATASETS": "registry",
    "EVALUATORS": "registry",
    "METHODS": "registry",
    "NETWORKS": "registry",
    "PROTOCOLS": "registry",
    "DistilledDataset": "records",
    "Evaluator": "evaluator",
    "LabeledImages": "records",
    "Method": "method",
    "Metric": "records",
    "RealDataset": "records",
    "Result": "records",
    "RunContext": "method",
    "distill": "runs.distill",
    "evaluate": "runs.cell",
    "load_dataset": "dataset",
    "run_suite": "runs.suite_runner",
}

__all__ = [
    "DATASETS",
    "EVALUATORS",
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
    "distill",
    "evaluate",
    "load_dataset",
    "run_suite",
]

__getattr__ = lazy_names(__name__, {name: f"ddbench.{home}" for name, home in _HOMES.items()})
