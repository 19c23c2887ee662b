"""What every evaluator must keep to."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import ClassVar

import pytest
import torch

from ddbench.dataset import load_dataset
from ddbench.evaluator import DistillRun
from ddbench.host.files import CACHE_DIR_VARIABLE
from ddbench.method import RunContext
from ddbench.records import Phase, Reading
from ddbench.registry import EVALUATORS
from ddbench.runs.distill import distill
from ddbench.seeding import make_generator
from ddbench.testing.trial import SMOKE_PROTOCOL, own_folders

Metrics = dict[str, tuple[float, ...]]


class EvaluatorContract:
    """What tables rely on in an evaluator. Set `name`."""

    name: ClassVar[str]

    @pytest.fixture(scope="class")
    @classmethod
    def first(cls) -> Metrics:
        """What one evaluation gives."""
        return cls.metrics()

    @classmethod
    def metrics(cls) -> Metrics:
        """Evaluate a small random set once; returns the values by metric name."""
        real = load_dataset("digits")
        distilled = distill("random_real", real, 1, device="cpu")
        before = distilled.images.clone()
        reading = Reading(seconds=2.0, peak_allocated_bytes=3, peak_reserved_bytes=4, peak_host_bytes=5)
        run = DistillRun(
            distilled=distilled,
            protocol=SMOKE_PROTOCOL,
            network=SMOKE_PROTOCOL.network,
            students=2,
            eval_seed=0,
            distill_seed=0,
            networks=("mlp",),
            phases=(Phase(name="distill", reading=reading),),
        )
        with own_folders(), tempfile.TemporaryDirectory() as scratch, pytest.MonkeyPatch.context() as patch:
            patch.setenv(CACHE_DIR_VARIABLE, f"{scratch}/cache")  # what an evaluator keeps is made afresh
            ctx = RunContext(torch.device("cpu"), make_generator(0, "evaluator"), Path(scratch))
            found = EVALUATORS.get(cls.name)().evaluate(run, real, ctx)
        assert torch.equal(distilled.images, before), "an evaluator must not change the set"
        assert all(metric.unit for metric in found)
        assert len({metric.name for metric in found}) == len(found), "every metric needs a name of its own"
        return {metric.name: metric.values for metric in found}

    def test_metrics_are_finite_and_named_once(self, first: Metrics) -> None:
        """There is at least one metric, with at least one finite value each."""
        assert first, "no metric came out; return at least one"
        for name, values in first.items():
            assert values, f"metric {name} has no value; return one per student, or a single one"
            assert torch.tensor(values).isfinite().all(), f"metric {name} is {values}; return finite values"

    def test_same_seed_gives_the_same_metrics(self, first: Metrics) -> None:
        """Equal to the last bit."""
        again = self.metrics()
        assert list(again) == list(first), f"the metrics are {', '.join(first)} and then {', '.join(again)}"
        for name, values in first.items():
            assert _hex(again[name]) == _hex(values), f"metric {name} is {values} and then {again[name]}"


def _hex(values: tuple[float, ...]) -> list[str]:
    """Return values in a form in which NaN equals itself."""
    return [float(value).hex() for value in values]
