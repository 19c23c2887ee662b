"""What a second thread of a student is worth, by the size of its step: the measurement behind `ddbench.engine.threads`.

Run: `DDBENCH_DATA_DIR=... uv run pytest tests/benchmarks/test_threads.py -m speed -s`, on a quiet machine.
"""

from __future__ import annotations

import statistics

import pytest

from ddbench import distill, evaluate, load_dataset
from ddbench.engine import threads as rule
from ddbench.host.threads import threads_at_hand
from ddbench.network import InputShape
from ddbench.protocol import PROTOCOLS, Schedule
from ddbench.work import TRAINING, Passes

ROUNDS = 5
CASES = (
    ("digits", "mlp-w32", 10),
    ("digits", "convnet-d2-w32", 1),
    ("digits", "convnet-d2-w32", 10),
    ("digits", "convnet-d2-w64", 10),
    ("digits", "convnet-d2-w128", 10),
    ("cifar10", "convnet-d3-w32", 1),
    ("cifar10", "convnet-d3-w32", 10),
    ("cifar10", "convnet-d3", 1),
    ("cifar10", "convnet-d3", 10),
)


def step_of(real, network, ipc):
    plan = PROTOCOLS.get("dsa")
    batch = min(plan.batch_size, ipc * real.info.num_classes)
    return rule.step_flops(Passes(network, batch, batch, TRAINING), InputShape.of(real.info))


@pytest.mark.speed
@pytest.mark.data
def test_what_a_second_thread_is_worth(benchmark, monkeypatch, data_dir):
    if threads_at_hand() < 2:
        pytest.skip("this process has one thread at hand")
    for dataset, network, ipc in CASES:
        real = load_dataset(dataset)
        made = distill("random_real", real, ipc)
        step = step_of(real, network, ipc)
        # As many epochs as take a second or two.
        epochs = max(5, min(400, round(6e10 / step)))
        protocol = PROTOCOLS.get("dsa").model_copy(update={"schedule": Schedule(epochs=epochs, drop_at=epochs)})
        seconds: dict[int, list[float]] = {1: [], 2: []}
        for number in range(2 * ROUNDS + 2):
            threads = 1 + number % 2
            monkeypatch.setattr(rule, "FLOPS_OF_A_THREAD", 0.0 if threads == 2 else float("inf"))
            result = evaluate(made, real, protocol, network, 1, device="cpu")
            assert result.engine["threads"] == threads
            if number >= 2:
                seconds[threads].append(result.phase("evaluate").reading.seconds)
        one, two = (statistics.median(taken) for taken in seconds.values())
        ratio = f"one thread {one:.2f} s, two {two:.2f} s, x{one / two:.2f}"
        print(f"\n{dataset} {network} IPC {ipc}: a step of {step / 1e9:.3f} GFLOP, {ratio}", end="")
    benchmark.pedantic(lambda: None, rounds=1)
