"""Tests of the engine that passes networks: chunks and native forms change rounding alone, and follow from shapes."""

import pytest
import torch

from ddbench.augment.strategies import DSA_STRATEGY
from ddbench.engine.passes import NetworkEngine, derivatives_chunk, plan_engine
from ddbench.images import DatasetInfo
from ddbench.network import InputShape, make_network
from ddbench.protocol import Schedule
from ddbench.students.loop import TrainingPlan, TrainingSet, train_student
from ddbench.students.soft_labels import SoftLabels

SHAPE = InputShape(3, 32, 10)
INFO = DatasetInfo("toy", tuple("0123456789"), 3, 32, (0.5,) * 3, (0.25,) * 3, "toy")
CPU = torch.device("cpu")
CONVNET = "convnet-d3-w8"


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def make(name=CONVNET, seed=0):
    return make_network(name, SHAPE, seeded(seed))


def gradient(engine, network, count=12):
    network.zero_grad()
    images = torch.randn(count, 3, 32, 32, generator=seeded(1), dtype=next(network.parameters()).dtype)
    engine.backward(engine.form_of(network), images, torch.arange(count) % 10)
    return torch.cat([parameter.grad.flatten() for parameter in network.parameters()])


@pytest.mark.parametrize("name", [CONVNET, "mlp-w8", "lenet"])
@pytest.mark.parametrize("is_native", [False, pytest.param(True, marks=pytest.mark.compiler)])
@pytest.mark.parametrize("chunk", [1, 5, 12, 50])
def test_gradients_of_a_batch_in_chunks_are_those_of_the_whole_batch(name, is_native, chunk):
    network = make(name).double()
    expected = gradient(NetworkEngine(), network)
    found = gradient(NetworkEngine(training_chunk=chunk, is_native=is_native), network)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("is_native", [False, pytest.param(True, marks=pytest.mark.compiler)])
def test_a_training_in_chunks_and_native_form_is_the_training_in_whole_batches(is_native):
    data = TrainingSet(torch.randn(22, 3, 32, 32, generator=seeded(2)).double(), torch.arange(22) % 10, INFO)
    plan = TrainingPlan(Schedule(epochs=4, drop_at=2), 0.05, 12, DSA_STRATEGY)
    ends = []
    for engine in (None, NetworkEngine(training_chunk=5, is_native=is_native)):
        network = make().double()
        train_student(network, data, plan, seeded(3), engine=engine)
        ends.append(torch.cat([parameter.detach().flatten() for parameter in network.parameters()]))
    torch.testing.assert_close(ends[0], ends[1], rtol=1e-10, atol=1e-12)
    assert not torch.equal(ends[0], torch.cat([p.detach().flatten() for p in make().double().parameters()]))


@pytest.mark.compiler
def test_one_engine_passes_every_network_of_its_structure_with_its_own_parameters():
    engine = NetworkEngine(is_native=True)
    images = torch.randn(4, 3, 32, 32, generator=seeded(1))
    for seed in (1, 2):
        network, plain = make(seed=seed), make(seed=seed)
        expected = gradient(NetworkEngine(), plain, 4)
        torch.testing.assert_close(gradient(engine, network, 4), expected, rtol=1e-3, atol=1e-5)
        with torch.no_grad():
            found = engine.logits(engine.form_of(network), images)
            torch.testing.assert_close(found, network(images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("is_native", [False, pytest.param(True, marks=pytest.mark.compiler)])
def test_chunks_add_up_under_any_loss(is_native):
    network, teacher = make().to(memory_format=torch.channels_last), SoftLabels.of(make(seed=1), 20.0)
    images = torch.randn(12, 3, 32, 32, generator=seeded(1))
    found = []
    for engine in (NetworkEngine(), NetworkEngine(training_chunk=5, is_native=is_native)):
        network.zero_grad()
        engine.backward(engine.form_of(network), images, teacher.targets(images), teacher.loss)
        found.append(torch.cat([parameter.grad.flatten() for parameter in network.parameters()]))
    torch.testing.assert_close(*found, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("is_native", [False, pytest.param(True, marks=pytest.mark.compiler)])
def test_bf16_computes_in_half_the_bits_and_gives_float32_logits(is_native):
    network, images = make(), torch.randn(4, 3, 32, 32, generator=seeded(1))
    engine = NetworkEngine("bf16", is_native=is_native)
    found, expected = engine.logits(engine.form_of(network), images), network(images)
    assert found.dtype == torch.float32
    assert 1e-5 < (found - expected).abs().max() < 0.1 * expected.abs().max()
    assert all(parameter.dtype == torch.float32 for parameter in network.parameters())
    assert gradient(engine, network).dtype == torch.float32


def plan(name, batch, precision="fp32", device=CPU):
    return plan_engine(name, make(name), SHAPE, precision, device, batch)


@pytest.mark.parametrize(
    ("batch", "chunk", "chunk_in_bf16"), [(10, 10, 10), (100, 25, 50), (256, 32, 64), (500, 25, 50), (97, 33, 49)]
)
def test_chunks_of_the_usual_network_leave_no_rest_where_they_can(batch, chunk, chunk_in_bf16):
    assert plan("convnet-d3", batch).training_chunk == chunk
    assert plan("convnet-d3", batch, "bf16").training_chunk == chunk_in_bf16


@pytest.mark.compiler
@pytest.mark.parametrize(
    ("name", "size", "batch", "chunk"),
    [
        ("convnet-d3", 32, 100, 100),
        ("convnet-d3", 32, 1000, 125),  # 143 fit
        ("convnet-d3-w32", 32, 1000, 500),
        ("convnet-d3", 128, 100, 5),
        ("convnet-d3-sigmoid", 32, 1000, 1000),
        ("mlp-w8", 32, 1000, 1000),
    ],
)
def test_derivatives_pass_in_chunks_in_native_form_alone(name, size, batch, chunk):
    assert derivatives_chunk(name, InputShape(3, size, 10), batch) == chunk


@pytest.mark.compiler
def test_networks_without_a_native_form_run_as_they_are():
    engine = plan("mlp-w8", 10)
    assert engine.record() == {"passes": "eager", "training_chunk": 10}
    network = make("mlp-w8")
    assert engine.form_of(network) is network
    assert plan(CONVNET, 10).record() == {"passes": "native", "training_chunk": 10}


def test_a_network_with_batch_norm_sees_whole_batches_as_it_is():
    engine = plan("convnet-d3-w8-bn", 100)
    assert (engine.training_chunk, engine.is_native) == (None, False)


def test_a_gpu_runs_whole_batches_as_they_are_and_keeps_the_precision():
    engine = plan_engine(CONVNET, make(), SHAPE, "bf16", torch.device("cuda"), 100)
    assert (engine.training_chunk, engine.is_native, engine.precision) == (None, False, "bf16")
