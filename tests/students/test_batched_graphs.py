"""Tests of students trained at once by captured steps, recorded and replayed on a CPU."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from ddbench.engine.chunks import is_out_of_memory
from ddbench.students.batched import (
    StaticSteps,
    Students,
    train_students,
)
from tests.students.test_batched import (
    FORMS,
    PLAN,
    SEEDS,
    assert_equal_students,
    at_once,
    fresh,
    one_by_one,
    seeded,
    stacked_parameters,
    toy_set,
)


class Recorded:
    """Stands for a CUDA graph where there is none: calls recorded with their tensors, replayed on the same memory.

    As in a graph, only what is in place counts: a number or a tensor of a time gone by is used as it was, and a tensor
    is memory with the shape that it had in the call. torch 2.11 gives a sum another shape afterwards.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[Any, Any, Any, Any]] = []

    def pool(self) -> None:
        return None

    def replay(self) -> None:
        for function, args, kwargs, outputs in self.calls:
            again = function(*_as_they_are(args), **_as_they_are(kwargs))
            for old, new in zip(_tensors(outputs), _tensors(again), strict=True):
                if new.data_ptr() != old.data_ptr():
                    old.copy_(new)


class Recording(TorchDispatchMode):
    """Stands for `torch.cuda.graph`: takes down every call within it."""

    def __init__(self, graph: Recorded, pool: object, stream: object) -> None:
        super().__init__()
        self.graph = graph

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kept = _as_they_are((args, kwargs or {}))
        outputs = function(*args, **(kwargs or {}))
        self.graph.calls.append((function, *kept, _as_they_are(outputs)))
        return outputs


def _as_they_are(values: Any) -> Any:
    """Return values whose tensors are others on the same memory, which keep their shape."""
    return tree_map_only(Tensor, Tensor.detach, values)


def _tensors(outputs: Any) -> list[Tensor]:
    values = outputs if isinstance(outputs, tuple | list) else (outputs,)
    return [value for value in values if isinstance(value, Tensor)]


class Waiting:
    """Stands for a CUDA stream."""

    device_index = 0

    def __init__(self, device: object = None) -> None:
        pass

    def wait_stream(self, other: object) -> None:
        pass


@pytest.fixture
def recorded(monkeypatch):
    """Captures on the CPU, by recording; gives the list of what was captured."""
    graphs: list[Recorded] = []

    def make() -> Recorded:
        graphs.append(Recorded())
        return graphs[-1]

    for name, value in {
        "CUDAGraph": make,
        "graph": Recording,
        "Stream": Waiting,
        "current_stream": Waiting,
        "set_stream": lambda stream: None,
        "graph_pool_handle": lambda: (0, 1),
        "stream": lambda stream: nullcontext(),
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    make_steps = StaticSteps.__init__

    def captures(self: StaticSteps, students: Students) -> None:
        make_steps(self, students)
        self._captures = True

    monkeypatch.setattr(StaticSteps, "__init__", captures)
    return graphs


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("soft", [False, True])
def test_a_captured_step_replays_as_training_goes_on(form, soft, recorded):
    data = toy_set(soft=soft)
    found = at_once("convnet-d1-w4", data, PLAN, form=form, static=True)
    assert len(recorded) == 2  # one for batches of 4 images, one for those of 2
    assert_equal_students(found, one_by_one("convnet-d1-w4", data, PLAN))


def test_where_no_graph_can_be_captured_training_goes_on_with_a_warning(recorded, monkeypatch):
    def fail(graph: Recorded, pool: object, stream: object) -> None:
        raise RuntimeError("operation not permitted when stream is capturing\nmore of it")

    monkeypatch.setattr(torch.cuda, "graph", fail)
    data, networks = toy_set(), fresh("mlp-w4", toy_set())
    with pytest.warns(UserWarning, match="capturing a CUDA graph failed, running without \\(slower\\): operation not"):
        how = train_students(networks, data, PLAN, [seeded(100 + seed) for seed in SEEDS], static=True)
    assert how.mode == "side by side, no CUDA graph: operation not permitted when stream is capturing"
    # The warm-up steps before the capture have left no trace.
    assert_equal_students(stacked_parameters(networks), one_by_one("mlp-w4", data, PLAN))


@pytest.mark.parametrize("ends_the_capture", [False, True])
def test_memory_that_runs_out_during_a_capture_is_told_and_not_taken_for_a_missing_graph(
    ends_the_capture, recorded, monkeypatch
):
    def fail(graph: Recorded, pool: object, stream: object) -> None:
        try:
            raise torch.OutOfMemoryError("CUDA out of memory")
        finally:
            if ends_the_capture:  # as torch does where the capture's end fails in its turn
                raise RuntimeError("operation failed due to a previous error during capture")

    streams = []
    monkeypatch.setattr(torch.cuda, "graph", fail)
    monkeypatch.setattr(torch.cuda, "set_stream", streams.append)
    with pytest.raises(RuntimeError) as caught:
        at_once("mlp-w4", toy_set(), PLAN, static=True)
    assert is_out_of_memory(caught.value)
    assert len(streams) == 1  # the stream that was current before
