"""ddbench: a benchmark for dataset distillation. Importing it imports no torch; names are loaded when first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

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


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'ddbench' has no attribute {name!r}")
    return getattr(import_module(f"ddbench.{_HOMES[name]}"), name)
