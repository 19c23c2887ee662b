"""Chunks that shrink where memory runs out, and what is kept of it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ddbench import load_dataset
from ddbench.engine.chunks import even_size, explain_out_of_memory, in_chunks, is_out_of_memory, shrunk_chunks
from ddbench.method import METHODS
from ddbench.networks.convnet import ConvNet
from ddbench.runs.cell import evaluate, run_cell
from ddbench.runs.distill import RunOptions, distill
from ddbench.runs.suite import Suite
from ddbench.testing import SMOKE_PROTOCOL


def doubling_up_to(largest, error=torch.OutOfMemoryError):
    """A function that doubles what it is given, and runs out of memory above a size; keeps the sizes it met."""
    sizes = []

    def function(chunk):
        sizes.append(len(chunk))
        if len(chunk) > largest:
            raise error("out of memory: too large on purpose")
        return chunk * 2

    return function, sizes


@given(count=st.integers(0, 40), size=st.integers(1, 40), largest=st.integers(1, 40))
def test_every_item_is_done_once_and_in_order_whatever_fits(count, size, largest):
    items = torch.arange(count)
    function, sizes = doubling_up_to(largest)
    done = in_chunks("chunk", function, items, size)
    assert torch.equal(torch.cat([items[:0], *done]), items * 2)
    assert all(length <= size for length in sizes)
    assert sum(map(len, done)) == count


def test_a_shrunk_chunk_stays_small_inside_the_block_and_is_told():
    told = []
    function, sizes = doubling_up_to(10)
    with shrunk_chunks(lambda name, value: told.append((name, value))) as shrunk:
        in_chunks("chunk", function, torch.arange(64), 32)
        assert sizes == [32, 16, *[8] * 8]
        in_chunks("chunk", function, torch.arange(16), 32)
        in_chunks("another", function, torch.arange(9), 9)
    assert sizes[10:] == [8, 8, 9]
    assert shrunk == {"chunk": 8}
    assert told == [("out_of_memory[chunk]", "from 32 to 16"), ("out_of_memory[chunk]", "from 16 to 8")]
    in_chunks("chunk", function, torch.arange(10), 10)
    assert sizes[-1] == 10


def test_a_single_item_that_does_not_fit_raises_and_so_does_another_error():
    function, sizes = doubling_up_to(0)
    with pytest.raises(torch.OutOfMemoryError, match="on purpose"):
        in_chunks("chunk", function, [1, 2, 3, 4], 4)
    assert sizes == [4, 2, 1]
    function, sizes = doubling_up_to(1, ValueError)
    with pytest.raises(ValueError, match="on purpose"):
        in_chunks("chunk", function, [1, 2], 2)
    assert sizes == [2]


def test_the_processors_allocator_is_understood_too():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**55)
    assert is_out_of_memory(caught.value)
    assert not is_out_of_memory(RuntimeError("shapes do not match"))
    assert not is_out_of_memory(ValueError("out of memory"))


@pytest.fixture
def cell():
    suite = Suite(name="s", protocol="quick", datasets=("digits",), methods=("random_real",), ipc=(1,))
    return suite.model_copy(update={"networks": ("convnet-d1-w8",)}).cells()[0]


@pytest.fixture
def small_memory(monkeypatch):
    """Put networks on a machine whose memory ends at more than six images without gradient, or in one pass at all."""
    embed = ConvNet.embed

    def shrink(*, with_gradient):
        def narrow(self, images):
            if (with_gradient or not torch.is_grad_enabled()) and len(images) > 6:
                raise torch.OutOfMemoryError("out of memory on purpose")
            return embed(self, images)

        monkeypatch.setattr(ConvNet, "embed", narrow)

    return shrink


@pytest.mark.parametrize(
    ("method", "settings", "chunk"),
    [
        ("dm", {"steps": 3, "real_batch_size": 16}, "real_chunk"),
        ("dc", {"steps": 2, "real_batch_size": 16}, "gradient_chunk"),
    ],
)
def test_a_method_that_meets_a_small_memory_keeps_its_numbers_and_says_what_it_used(
    own_cache, small_memory, tmp_path, method, settings, chunk
):
    digits, settings = load_dataset("digits"), {"network": "convnet-d1-w8", **settings}
    whole = distill(method, digits, 1, config=settings, device="cpu")
    small_memory(with_gradient=method == "dc")
    log = tmp_path / "log.txt"
    small = distill(method, digits, 1, config=settings, device="cpu", options=RunOptions(log_path=log))
    torch.testing.assert_close(small.images, whole.images, rtol=1e-5, atol=1e-5)
    assert small.provenance["engine"] == {**whole.provenance["engine"], chunk: 4}
    assert log.read_text().count(f"out_of_memory[{chunk}] = from 16 to 8") == 1


def test_an_evaluation_that_meets_a_small_memory_keeps_its_numbers_and_says_what_it_used(own_cache, small_memory):
    digits = load_dataset("digits")
    distilled = distill("random_real", digits, 1, device="cpu")
    protocol = SMOKE_PROTOCOL.model_copy(update={"network": "convnet-d1-w8"})
    whole = evaluate(distilled, digits, protocol=protocol, students=1, device="cpu")
    small_memory(with_gradient=False)
    small = evaluate(distilled, digits, protocol=protocol, students=1, device="cpu")
    assert small.metric("test_accuracy").values == whole.metric("test_accuracy").values
    assert (whole.engine["test_chunk"], small.engine["test_chunk"]) == (32, 4)


def test_a_cell_that_never_fits_is_a_result_whatever_the_allocator_calls_it(own_cache, monkeypatch, tmp_path, cell):
    monkeypatch.setattr(METHODS.get("random_real"), "distill", lambda *_: torch.empty(2**55))
    result = run_cell(cell, RunOptions(device="cpu"), tmp_path)
    assert result.status == "out_of_memory"
    assert "GiB of host memory could not be had" in result.reason


@pytest.mark.parametrize(
    ("count", "limit", "size"), [(256, 32, 32), (100, 32, 25), (5, 32, 5), (33, 32, 17), (256, 1024, 256), (1, 32, 1)]
)
def test_chunks_are_even(count, limit, size):
    assert even_size(count, limit) == size


def test_what_ran_out_is_told_in_one_line_with_what_to_do():
    said = (
        "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 139.81 GiB of which 1.50 GiB "
        "is free. Process 7 has 138 GiB memory in use. Of the allocated memory 120.00 GiB is allocated by PyTorch."
    )
    told = explain_out_of_memory(torch.OutOfMemoryError(said))
    assert told.startswith(said[: said.index(" Process") - 1] + "; take fewer images per class")
    assert "set PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True" in told
    on_host = "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to "
    told = explain_out_of_memory(RuntimeError(f"{on_host}allocate 4294967296 bytes. Error code 12\n(Cannot allocate)"))
    assert told.startswith("4.0 GiB of host memory could not be had; take fewer images per class")
    assert "CUDA" not in told
    assert explain_out_of_memory(MemoryError()).startswith("MemoryError; ")
