"""Twenty students at once on a GPU against the same students one after the other, eagerly: IPC 1, 10 and 50.

Run: `uv run pytest tests/benchmarks/test_students_at_once.py -m speed -s`. CIFAR-10 shapes, convnet-d3, DSA, batches of
256, both in the same precision. Both forms of training at once are measured; the bars are those of the default. Written
without a GPU at hand: no bar has been met yet. On any machine the same code runs once with tiny sizes, without a bar.
"""

from __future__ import annotations

import warnings

import pytest
import torch

from ddbench.network import InputShape, make_network
from ddbench.protocol import DSA_STRATEGY, Schedule
from ddbench.records import DatasetInfo
from ddbench.training import TrainingPlan, TrainingSet, train_student
from ddbench.training_together import train_students
from tests.benchmarks._gpu_rates import ARITHMETICS, Arithmetic, arithmetic, measured_rate, training_operations, waited
from tests.benchmarks._pairs import take_turns

STUDENTS, EPOCHS, ROUNDS = 20, 50, 3
# Ratio sequential / at once. At IPC 50 none: there one student's batches fill much of a GPU.
BARS = {(1, "fp32"): 8, (1, "tf32"): 8, (1, "bf16"): 8, (10, "fp32"): 2, (10, "tf32"): 4, (10, "bf16"): 4}
FORMS = ("side by side", "stacked")
INFO = DatasetInfo("toy", tuple("0123456789"), 3, 32, (0.5,) * 3, (0.25,) * 3, "toy")


def compare(
    ipc: int, precision: Arithmetic, device: torch.device, spec: str, students: int, epochs: int, rounds: int
) -> dict[str, float]:
    """Return the median seconds of `epochs` epochs of so many students, sequentially and in both forms at once."""
    pixels = torch.randint(0, 256, (10 * ipc, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    data = TrainingSet(pixels.to(device), torch.arange(10).repeat(ipc).to(device), INFO)
    half = "bf16" if precision == "bf16" else "fp32"
    plan = TrainingPlan(Schedule(epochs=epochs, drop_at=epochs), 0.01, 256, DSA_STRATEGY, precision=half)
    shape = InputShape.of(INFO)
    networks = [make_network(spec, shape, torch.Generator().manual_seed(i)).to(device) for i in range(students)]
    generators = [torch.Generator().manual_seed(i) for i in range(students)]

    def sequential() -> None:
        for network, generator in zip(networks, generators, strict=True):
            train_student(network, data, plan, generator)

    def at_once(form: str) -> None:
        train_students(networks, data, plan, generators, form=form, static=True)

    functions = {"sequential": waited(sequential, device)}
    functions |= {form: waited(lambda form=form: at_once(form), device) for form in FORMS}
    with arithmetic(precision), warnings.catch_warnings():
        warnings.simplefilter("error")  # a graph that cannot be captured is no result
        return take_turns(functions, rounds)


@pytest.mark.gpu
@pytest.mark.speed
@pytest.mark.parametrize("precision", ARITHMETICS)
@pytest.mark.parametrize("ipc", [1, 10, 50])
def test_students_at_once_against_one_after_the_other(benchmark, ipc, precision):
    device = torch.device("cuda")
    seconds = compare(ipc, precision, device, "convnet-d3", STUDENTS, EPOCHS, ROUNDS)
    rate = measured_rate(precision, device)
    operations = training_operations(10 * ipc * STUDENTS * EPOCHS)
    print(
        f"\n{STUDENTS} students, {EPOCHS} epochs, IPC {ipc}, {precision} ({rate / 1e12:.0f} TFLOP/s measured):", end=""
    )
    for name, value in seconds.items():
        ratio, share = seconds["sequential"] / value, operations / value / rate
        print(f"\n  {name}: {value:.2f} s, ratio {ratio:.2f}, {100 * share:.1f} % of the measured rate", end="")
        benchmark.extra_info[name] = {"seconds": value, "ratio": ratio, "share_of_rate": share}
    print(f" (n={ROUNDS}, {torch.cuda.get_device_name()})")
    benchmark.pedantic(compare, args=(ipc, precision, device, "convnet-d3", 2, 2, 1), rounds=1)
    assert seconds["sequential"] / seconds[FORMS[0]] >= BARS.get((ipc, precision), 1)


@pytest.mark.speed
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_comparison_runs_on_a_cpu(precision):
    seconds = compare(1, precision, torch.device("cpu"), "convnet-d3-w4", 2, 1, 1)
    assert set(seconds) == {"sequential", *FORMS}
    assert all(value > 0 for value in seconds.values())


def test_operations_of_a_training_pass_are_those_that_torch_counts():
    from torch.utils.flop_counter import FlopCounterMode

    network = make_network("convnet-d3", InputShape.of(INFO), torch.Generator().manual_seed(0)).to("meta")
    with FlopCounterMode(display=False) as counter:
        network.features(torch.empty(2, 3, 32, 32, device="meta")).sum().backward()
    assert training_operations(2) == counter.get_total_flops()
