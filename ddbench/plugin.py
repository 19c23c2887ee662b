"""What plug-ins of every kind are written with: methods, data sets, networks and the rest; CONTRIBUTING.md shows each.

Nothing is imported before it is used, so that files of ddbench's own may import from here like any plug-in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddbench.lazy import lazy_names, listing

if TYPE_CHECKING:
    from ddbench.augment.dsa import Draw, apply_dsa, draw_dsa, dsa_augment
    from ddbench.augment.strategies import dsa_strategy
    from ddbench.dataset import load_dataset, make_real_dataset
    from ddbench.distilled.dataset import DistilledDataset
    from ddbench.errors import BadInputError, DataMismatchError, DataMissingError, DivergedError, UnsupportedError
    from ddbench.evaluator import DistillRun, Evaluator, student_accuracies
    from ddbench.exporter import Exporter, ExportPlan
    from ddbench.images import DatasetInfo, LabeledImages, RealDataset, Whitening
    from ddbench.importer import ForeignSet, Importer, ImportOptions
    from ddbench.logger import LoggedRun, Logger
    from ddbench.method import ADDED, Foundation, Method, Resumable, RunContext, Tracker, check_ipc
    from ddbench.methods._coresets.selection import draw_real, select_real
    from ddbench.network import InputShape, Network, make_network, parse_variant
    from ddbench.protocol import Protocol
    from ddbench.records import Metric
    from ddbench.registry import (
        DATASETS,
        EVALUATORS,
        EXPORTERS,
        IMPORTERS,
        LOGGERS,
        METHODS,
        NETWORKS,
        PROTOCOLS,
        RUNNERS,
    )
    from ddbench.runner import Needs, Outcome, Runner, RunnerOptions, Task, make_runner
    from ddbench.seeding import draw_seed, make_generator
    from ddbench.students.loop import TrainingPlan, forward_in_chunks
    from ddbench.students.trainer import train_network
    from ddbench.training_recipe import (
        CutMix,
        ImageAugmentation,
        ManyClasses,
        Schedule,
        ScheduleByIpc,
        Teacher,
        TeacherNetwork,
    )
    from ddbench.work import BY_IMAGES, FORWARD, META, TRAINING, MethodWork, Passes, PhaseWork

_HOMES = {
    "ADDED": "method",
    "BY_IMAGES": "work",
    "DATASETS": "registry",
    "EVALUATORS": "registry",
    "EXPORTERS": "registry",
    "FORWARD": "work",
    "IMPORTERS": "registry",
    "LOGGERS": "registry",
    "META": "work",
    "METHODS": "registry",
    "NETWORKS": "registry",
    "PROTOCOLS": "registry",
    "RUNNERS": "registry",
    "TRAINING": "work",
    "BadInputError": "errors",
    "CutMix": "training_recipe",
    "DataMismatchError": "errors",
    "DataMissingError": "errors",
    "DatasetInfo": "images",
    "DistillRun": "evaluator",
    "DistilledDataset": "distilled.dataset",
    "DivergedError": "errors",
    "Draw": "augment.dsa",
    "Evaluator": "evaluator",
    "ExportPlan": "exporter",
    "Exporter": "exporter",
    "ForeignSet": "importer",
    "Foundation": "method",
    "ImageAugmentation": "training_recipe",
    "ImportOptions": "importer",
    "Importer": "importer",
    "InputShape": "network",
    "LabeledImages": "images",
    "LoggedRun": "logger",
    "Logger": "logger",
    "ManyClasses": "training_recipe",
    "Method": "method",
    "MethodWork": "work",
    "Metric": "records",
    "Needs": "runner",
    "Network": "network",
    "Outcome": "runner",
    "Passes": "work",
    "PhaseWork": "work",
    "Protocol": "protocol",
    "RealDataset": "images",
    "Resumable": "method",
    "RunContext": "method",
    "Runner": "runner",
    "RunnerOptions": "runner",
    "Schedule": "training_recipe",
    "ScheduleByIpc": "training_recipe",
    "Task": "runner",
    "Teacher": "training_recipe",
    "TeacherNetwork": "training_recipe",
    "Tracker": "method",
    "TrainingPlan": "students.loop",
    "UnsupportedError": "errors",
    "Whitening": "images",
    "apply_dsa": "augment.dsa",
    "check_ipc": "method",
    "draw_dsa": "augment.dsa",
    "draw_real": "methods._coresets.selection",
    "draw_seed": "seeding",
    "dsa_augment": "augment.dsa",
    "dsa_strategy": "augment.strategies",
    "forward_in_chunks": "students.loop",
    "load_dataset": "dataset",
    "make_generator": "seeding",
    "make_network": "network",
    "make_real_dataset": "dataset",
    "make_runner": "runner",
    "parse_variant": "network",
    "select_real": "methods._coresets.selection",
    "student_accuracies": "evaluator",
    "train_network": "students.trainer",
}

__all__ = [
    "ADDED",
    "BY_IMAGES",
    "DATASETS",
    "EVALUATORS",
    "EXPORTERS",
    "FORWARD",
    "IMPORTERS",
    "LOGGERS",
    "META",
    "METHODS",
    "NETWORKS",
    "PROTOCOLS",
    "RUNNERS",
    "TRAINING",
    "BadInputError",
    "CutMix",
    "DataMismatchError",
    "DataMissingError",
    "DatasetInfo",
    "DistillRun",
    "DistilledDataset",
    "DivergedError",
    "Draw",
    "Evaluator",
    "ExportPlan",
    "Exporter",
    "ForeignSet",
    "Foundation",
    "ImageAugmentation",
    "ImportOptions",
    "Importer",
    "InputShape",
    "LabeledImages",
    "LoggedRun",
    "Logger",
    "ManyClasses",
    "Method",
    "MethodWork",
    "Metric",
    "Needs",
    "Network",
    "Outcome",
    "Passes",
    "PhaseWork",
    "Protocol",
    "RealDataset",
    "Resumable",
    "RunContext",
    "Runner",
    "RunnerOptions",
    "Schedule",
    "ScheduleByIpc",
    "Task",
    "Teacher",
    "TeacherNetwork",
    "Tracker",
    "TrainingPlan",
    "UnsupportedError",
    "Whitening",
    "apply_dsa",
    "check_ipc",
    "draw_dsa",
    "draw_real",
    "draw_seed",
    "dsa_augment",
    "dsa_strategy",
    "forward_in_chunks",
    "load_dataset",
    "make_generator",
    "make_network",
    "make_real_dataset",
    "make_runner",
    "parse_variant",
    "select_real",
    "student_accuracies",
    "train_network",
]

__getattr__ = lazy_names(__name__, {name: f"ddbench.{home}" for name, home in _HOMES.items()})
__dir__ = listing(__all__)
