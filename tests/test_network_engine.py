"""Tests of the engine that passes networks: chunks and compilation change rounding alone, and follow from shapes."""

import pytest
import torch

from ddbench.network import InputShape, make_network
from ddbench.network_engine import NetworkEngine, Sizes, batch_sizes, plan_engine
from ddbench.protocol import DSA_STRATEGY, Schedule
from ddbench.records import DatasetInfo
from ddbench.soft_labels import SoftLabels
from ddbench.training import TrainingPlan, TrainingSet, train_student

SHAPE = InputShape(3, 32, 10)
INFO = DatasetInfo("toy", tuple("0123456789"), 3, 32, (0.5,) * 3, (0.25,) * 3, "toy")
CPU = torch.device("cpu")
CONVNET = "convnet-d3-w8"
OFTEN = 10**9  # images: enough to compile anything


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def make(name=CONVNET, seed=0):
    return make_network(name, SHAPE, seeded(seed))


def gradient(engine, network, count=12):
    network.zero_grad()
    images = torch.randn(count, 3, 32, 32, generator=seeded(1), dtype=next(network.parameters()).dtype)
    engine.backward(network, images, torch.arange(count) % 10)
    return torch.cat([parameter.grad.flatten() for parameter in network.parameters()])


@pytest.mark.parametrize("name", [CONVNET, "mlp-w8", "lenet"])
@pytest.mark.parametrize("chunk", [1, 5, 12, 50])
def test_gradients_of_a_batch_in_chunks_are_those_of_the_whole_batch(name, chunk):
    network = make(name).double()
    expected = gradient(NetworkEngine(network), network)
    found = gradient(NetworkEngine(network, training_chunk=chunk), network)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)


def test_a_training_in_chunks_is_the_training_in_whole_batches():
    data = TrainingSet(torch.randn(22, 3, 32, 32, generator=seeded(2)).double(), torch.arange(22) % 10, INFO)
    plan = TrainingPlan(Schedule(epochs=4, drop_at=2), 0.05, 12, DSA_STRATEGY)
    ends = []
    for chunk in (None, 5):
        network = make().double()
        train_student(network, data, plan, seeded(3), engine=NetworkEngine(network, training_chunk=chunk))
        ends.append(torch.cat([parameter.detach().flatten() for parameter in network.parameters()]))
    torch.testing.assert_close(ends[0], ends[1], rtol=1e-10, atol=1e-12)
    assert not torch.equal(ends[0], torch.cat([p.detach().flatten() for p in make().double().parameters()]))


@pytest.mark.slow
def test_one_engine_passes_every_network_of_its_structure_with_its_own_parameters():
    engine = NetworkEngine(make(), training_sizes=[4], test_sizes=[4])
    images = torch.randn(4, 3, 32, 32, generator=seeded(1))
    for seed in (1, 2):
        network, plain = make(seed=seed), make(seed=seed)
        expected = gradient(NetworkEngine(plain), plain, 4)
        torch.testing.assert_close(gradient(engine, network, 4), expected, rtol=1e-3, atol=1e-5)
        with torch.no_grad():
            torch.testing.assert_close(engine.logits(network, images), network(images), rtol=1e-4, atol=1e-5)
    assert engine.record()["students"] == engine.record()["test"] == "compiled"


@pytest.mark.slow
def test_compiled_chunks_add_up_under_any_loss():
    network, teacher = make().to(memory_format=torch.channels_last), SoftLabels.of(make(seed=1), 20.0)
    images = torch.randn(12, 3, 32, 32, generator=seeded(1))
    found = []
    for engine in (NetworkEngine(network), NetworkEngine(network, training_chunk=5, training_sizes=[5])):
        network.zero_grad()
        engine.backward(network, images, teacher.targets(images), teacher.loss)
        found.append(torch.cat([parameter.grad.flatten() for parameter in network.parameters()]))
    torch.testing.assert_close(*found, rtol=1e-3, atol=1e-4)
    assert engine.record()["students"] == "compiled"


def test_sizes_that_are_not_compiled_run_eagerly(monkeypatch):
    network = make()
    engine = NetworkEngine(network, training_sizes=[4])
    for name in ("_training", "_testing"):
        monkeypatch.setattr(engine, name, None)  # a compiled call would fail
    images = torch.randn(3, 3, 32, 32, generator=seeded(1))
    assert torch.equal(engine.logits(network, images), network(images))
    with torch.no_grad():
        assert torch.equal(engine.logits(network, images), network(images))


def test_bf16_computes_in_half_the_bits_and_gives_float32_logits():
    network, images = make(), torch.randn(4, 3, 32, 32, generator=seeded(1))
    found = NetworkEngine(network, "bf16").logits(network, images)
    expected = network(images)
    assert found.dtype == torch.float32
    assert 1e-5 < (found - expected).abs().max() < 0.1 * expected.abs().max()
    assert all(parameter.dtype == torch.float32 for parameter in network.parameters())
    assert gradient(NetworkEngine(network, "bf16"), network).dtype == torch.float32


def plan(name, sizes, precision="fp32", device=CPU):
    return plan_engine(name, make(name), SHAPE, precision, device, sizes)


@pytest.mark.parametrize(
    ("batch", "chunk", "chunk_in_bf16"), [(10, 10, 10), (100, 25, 50), (256, 32, 64), (500, 25, 50), (97, 33, 49)]
)
def test_chunks_of_the_usual_network_leave_no_rest_where_they_can(batch, chunk, chunk_in_bf16):
    assert plan("convnet-d3", Sizes({batch: 1}, {})).training_chunk == chunk
    assert plan("convnet-d3", Sizes({batch: 1}, {}), "bf16").training_chunk == chunk_in_bf16


def test_what_is_compiled_follows_from_the_images_that_pass_in_each_size():
    whole, rest = 256, 244  # 500 images: the rest is seven chunks of 32 and one of 20
    engine = plan("convnet-d3", Sizes({whole: whole * 100, rest: rest * 100}, {32: OFTEN, 16: 16}))
    assert (engine._training_sizes, engine._test_sizes) == ({32}, {32})
    engine = plan("convnet-d3", Sizes({whole: whole * 1000, rest: rest * 1000}, {32: 32}))
    assert (engine._training_sizes, engine._test_sizes) == ({32, 20}, frozenset())


def test_small_work_and_networks_without_a_faster_form_run_eagerly():
    assert plan("convnet-d3", Sizes({10: 10}, {32: 32})).record()["students"] == "eager"
    assert plan("mlp-w8", Sizes({10: OFTEN}, {32: OFTEN})).record() == {
        "students": "eager",
        "test": "eager",
        "training_chunk": 10,
    }


def test_a_network_with_batch_norm_sees_whole_batches_eagerly():
    engine = plan("convnet-d3-w8-bn", Sizes({100: OFTEN}, {32: OFTEN}))
    assert engine.training_chunk is None
    assert (engine._training_sizes, engine._test_sizes) == (frozenset(), {32})


def test_a_gpu_runs_whole_batches_eagerly_and_keeps_the_precision():
    engine = plan_engine(CONVNET, make(), SHAPE, "bf16", torch.device("cuda"), Sizes({100: OFTEN}, {32: OFTEN}))
    assert (engine.training_chunk, engine._training_sizes, engine.precision) == (None, frozenset(), "bf16")


@pytest.mark.parametrize(
    ("count", "size", "expected"), [(10, 256, {10: 30}), (500, 256, {256: 768, 244: 732}), (512, 256, {256: 1536})]
)
def test_batch_sizes_count_the_images_of_every_size(count, size, expected):
    assert batch_sizes(count, size, times=3) == expected
