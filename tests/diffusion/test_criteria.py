"""Tests of the minimax criteria and their memories against loops over samples, classes and entries."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ddbench.diffusion.criteria import ClassMemory, diversity, representativeness

DIM = 6
CRITERIA = {"representativeness": (representativeness, min), "diversity": (diversity, max)}
both = pytest.mark.parametrize("criterion", CRITERIA)
Deques = list[deque[Tensor]]


def draw(count: int, seed: int = 0, dim: int = DIM) -> Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def fill(batches: Sequence[Sequence[int]], size: int, num_classes: int = 3) -> tuple[ClassMemory, Deques]:
    """A memory given one batch after the other, and what a plain queue per class then holds."""
    memory = ClassMemory(num_classes, size, DIM)
    naive: Deques = [deque(maxlen=size) for _ in range(num_classes)]
    for number, labels in enumerate(batches):
        samples = draw(len(labels), 100 + number)
        memory.add(samples, torch.tensor(labels, dtype=torch.int64))
        for sample, label in zip(samples, labels, strict=True):
            naive[label].append(sample)
    return memory, naive


def naive_term(criterion: str, samples: Tensor, labels: Sequence[int], memory: Deques) -> Tensor:
    terms = []
    for label in sorted(set(labels)):
        cosines = [
            sample @ entry / (sample.norm() * entry.norm())
            for sample, own in zip(samples, labels, strict=True)
            if own == label
            for entry in memory[label]
        ]
        if not cosines:
            terms.append(torch.zeros((), dtype=samples.dtype))
        elif criterion == "diversity":
            terms.append(max(cosines, key=Tensor.item))
        else:
            terms.append(1 - min(cosines, key=Tensor.item))
    return torch.stack(terms).sum() / len(set(labels))


def with_gradient(term, samples: Tensor) -> tuple[Tensor, Tensor]:
    """A term of samples, and its gradient to them."""
    leaf = samples.clone().requires_grad_()
    value = term(leaf)
    if value.requires_grad:
        value.backward()
    return value.detach(), torch.zeros_like(samples) if leaf.grad is None else leaf.grad


def assert_equals_naive(criterion: str, samples: Tensor, labels: list[int], memory: ClassMemory, naive: Deques) -> None:
    term = CRITERIA[criterion][0]
    found = with_gradient(lambda leaf: term(leaf, torch.tensor(labels), memory), samples)
    expected = with_gradient(lambda leaf: naive_term(criterion, leaf, labels, naive), samples)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(found[1].any(1), expected[1].any(1))  # not a rounding's worth for any other sample


@both
@pytest.mark.parametrize(
    "labels",
    [[1], [1, 1, 1, 1], [0, 1, 2], [2, 0, 2, 1, 0, 2, 2], [0, 1, 0, 1, 1]],
    ids=["one sample", "one class", "one of each", "mixed", "two classes"],
)
@pytest.mark.parametrize(
    "batches",
    [[[0, 1, 2]], [[1, 1], [0, 2], [1, 2, 2]], [[0, 0], [0]], [[1] * 9, [0, 1, 2]]],
    ids=["an entry each", "several", "one class only", "more in a batch than fit"],
)
def test_terms_and_gradients_equal_a_naive_loop(criterion, labels, batches):
    memory, naive = fill(batches, size=4)
    assert_equals_naive(criterion, draw(len(labels)), labels, memory, naive)


@both
@given(data=st.data())
@settings(max_examples=40, deadline=None, derandomize=True)
def test_any_batch_and_any_memory_equal_a_naive_loop(criterion, data):
    some_labels = st.lists(st.integers(0, 2), min_size=1, max_size=12)
    size = data.draw(st.integers(1, 5))
    memory, naive = fill(data.draw(st.lists(some_labels, max_size=4)), size)
    labels = data.draw(some_labels)
    assert_equals_naive(criterion, draw(len(labels), data.draw(st.integers(0, 9))), labels, memory, naive)


@both
def test_an_empty_memory_gives_zero_without_gradient(criterion):
    value, gradient = with_gradient(
        lambda leaf: CRITERIA[criterion][0](leaf, torch.tensor([0, 1, 1]), ClassMemory(3, 4, DIM)), draw(3)
    )
    assert value == 0
    assert not gradient.any()


@both
def test_a_class_without_memory_counts_in_the_divisor(criterion):
    memory, _ = fill([[0, 0, 0]], size=4)
    term, samples = CRITERIA[criterion][0], draw(6)
    alone = term(samples[:2], torch.tensor([0, 0]), memory)
    with_two_more = term(samples, torch.tensor([0, 0, 1, 2, 2, 1]), memory)
    assert alone != 0
    torch.testing.assert_close(with_two_more, alone / 3)


@both
def test_of_each_class_one_sample_has_gradient(criterion):
    memory, _ = fill([[0, 1, 2] * 3], size=4)
    labels = torch.tensor([0, 1, 2, 2, 1, 0, 0, 1])
    _, gradient = with_gradient(lambda leaf: CRITERIA[criterion][0](leaf, labels, memory), draw(8))
    moved = gradient.any(1)
    assert [int(moved[labels == label].sum()) for label in range(3)] == [1, 1, 1]
    assert (gradient[~moved] == 0).all()


@both
def test_of_equal_samples_the_first_is_chosen(criterion):
    memory, _ = fill([[0, 0, 1]], size=4)
    samples = draw(2)[[0, 0, 1, 0]]
    labels = torch.tensor([0, 0, 1, 0])
    value, gradient = with_gradient(lambda leaf: CRITERIA[criterion][0](leaf, labels, memory), samples)
    assert gradient.any(1).tolist() == [True, False, True, False]
    once, _ = with_gradient(lambda leaf: CRITERIA[criterion][0](leaf, labels[:3], memory), samples[:3])
    assert value == once


@both
def test_of_equal_entries_one_is_chosen(criterion):
    entry = draw(1, 5)
    memory = ClassMemory(1, 3, DIM)
    memory.add(entry.repeat(3, 1), torch.zeros(3, dtype=torch.int64))
    assert_equals_naive(criterion, draw(2), [0, 0], memory, [deque([entry[0]])])


def test_the_terms_lie_where_they_should_at_the_ends():
    samples, labels = draw(1), torch.tensor([0])
    for scale, least, largest in ((3.0, 0.0, 1.0), (-0.2, 2.0, -1.0)):
        memory = ClassMemory(1, 2, DIM)
        memory.add(scale * samples, labels)
        assert representativeness(samples, labels, memory).item() == pytest.approx(least, abs=1e-6)
        assert diversity(samples, labels, memory).item() == pytest.approx(largest, abs=1e-6)


def entries_of(memory: ClassMemory, label: int) -> list[list[float]]:
    """The filled entries of a class, in order of size."""
    entries, filled = memory.of(torch.tensor([label]))
    return sorted(entries[filled].tolist())


def directions(samples: deque[Tensor]) -> list[list[float]]:
    return sorted((sample / sample.norm()).float().tolist() for sample in samples)


@given(
    batches=st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=11), min_size=1, max_size=6),
    size=st.integers(1, 5),
)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_a_memory_holds_the_last_samples_of_each_class(batches, size):
    for end in range(1, len(batches) + 1):
        memory, naive = fill(batches[:end], size)
        for label in range(3):
            found, expected = entries_of(memory, label), directions(naive[label])
            assert len(found) == len(expected) <= size
            torch.testing.assert_close(torch.tensor(found), torch.tensor(expected), rtol=1e-6, atol=1e-7)


def test_the_oldest_entry_goes_first():
    memory = ClassMemory(2, 3, DIM)
    samples = draw(8)
    for place, sample in enumerate(samples):
        memory.add(sample[None], torch.tensor([0]))
        kept = deque(samples[max(0, place - 2) : place + 1])
        torch.testing.assert_close(torch.tensor(entries_of(memory, 0)), torch.tensor(directions(kept)))
    assert entries_of(memory, 1) == []


@given(batches=st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=7), min_size=1, max_size=5))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_a_memory_that_keeps_the_first_samples_never_changes_once_full(batches):
    memory, given_to = ClassMemory(3, 4, DIM, keeps_first=True), [deque() for _ in range(3)]
    for number, labels in enumerate(batches):
        samples = draw(len(labels), 100 + number)
        memory.add(samples, torch.tensor(labels, dtype=torch.int64))
        for sample, label in zip(samples, labels, strict=True):
            given_to[label].append(sample)
    for label, own in enumerate(given_to):
        expected = directions(deque(list(own)[:4]))
        torch.testing.assert_close(torch.tensor(entries_of(memory, label)), torch.tensor(expected))


def test_a_batch_writes_no_entry_twice(monkeypatch):
    written, copy = [], Tensor.index_copy_

    def watch(entries: Tensor, dim: int, slots: Tensor, samples: Tensor) -> Tensor:
        written.append(slots.tolist())
        return copy(entries, dim, slots, samples)

    monkeypatch.setattr(Tensor, "index_copy_", watch)  # which of two writes stays is left open on a GPU
    fill([[0] * 7 + [1, 2] * 4 + [1]], size=3)
    kept = [slot for slot in written[0] if slot < 9]
    assert len(kept) == len(set(kept)) == 9


def test_entries_are_copies_without_gradient():
    samples = draw(2).float().requires_grad_()
    memory = ClassMemory(2, 3, DIM)
    memory.add(samples * 2, torch.tensor([0, 1]))
    before = entries_of(memory, 0)
    assert not memory.entries.requires_grad
    with torch.no_grad():
        samples.zero_()
    assert entries_of(memory, 0) == before
    later = draw(2, 9).requires_grad_()
    diversity(later, torch.tensor([0, 1]), memory).backward()
    assert samples.grad is None
    assert memory.entries.grad is None


@both
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_terms_keep_the_type_of_a_batch_and_its_value(criterion, dtype):
    memory, naive = fill([[0, 1, 2, 1]], size=4)
    labels = [0, 1, 1, 2]
    found, gradient = with_gradient(
        lambda leaf: CRITERIA[criterion][0](leaf, torch.tensor(labels), memory), draw(4).to(dtype)
    )
    expected = naive_term(criterion, draw(4), labels, naive).item()
    assert gradient.dtype == dtype
    assert found.item() == pytest.approx(expected, abs=3e-2 if dtype == torch.bfloat16 else 1e-6)


def test_a_saved_memory_goes_on_as_the_one_it_was_saved_from():
    whole, _ = fill([[0, 1, 1], [2, 1]], size=2)
    resumed = ClassMemory(3, 2, DIM)
    resumed.load_state("real", {name: tensor.clone() for name, tensor in whole.save_state("real").items()})
    for memory in (whole, resumed):
        memory.add(draw(4, 7), torch.tensor([1, 0, 2, 1]))
    for label in range(3):
        assert entries_of(resumed, label) == entries_of(whole, label)
    assert set(whole.save_state("real")).isdisjoint(whole.save_state("generated"))
