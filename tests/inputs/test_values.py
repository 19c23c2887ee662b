"""Plain values: what is taken, as what, and what is refused in one line."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from ddbench.errors import BadInputError
from ddbench.inputs import values

HUGE = 10**5000
NO_INTEGERS = [True, 1.0, 1.5, "1", b"1", None, np.float64(1), np.True_, torch.tensor(1), [1], 1j, object()]


@pytest.mark.parametrize("value", [1, 7, np.int64(7), np.uint8(3)], ids=repr)
def test_integers_are_taken_and_become_pythons_own(value):
    found = values.as_count(value, "students")
    assert (type(found), found) == (int, int(value))


@pytest.mark.parametrize("value", NO_INTEGERS, ids=lambda value: type(value).__name__)
def test_what_is_no_integer_is_no_count_and_no_seed(value):
    for check in (values.as_count, values.as_seed):
        with pytest.raises(BadInputError, match="ipc must be a whole number, got"):
            check(value, "ipc")


@pytest.mark.parametrize(
    ("value", "words"),
    [(0, "at least 1, got 0"), (-3, "at least 1"), (HUGE, "at most")],
    ids=["zero", "negative", "huge"],
)
def test_counts_out_of_range_are_refused(value, words):
    with pytest.raises(BadInputError, match=words):
        values.as_count(value, "ipc")


def test_seeds_reach_from_zero_to_the_largest_of_a_generator():
    assert values.as_seed(0) == 0
    torch.Generator().manual_seed(values.as_seed(2**63 - 1))
    for value in (-1, 2**63, HUGE):
        with pytest.raises(BadInputError, match="seed must be at"):
            values.as_seed(value)


def test_numbers_are_finite_and_in_range():
    assert values.as_number(np.float32(0.5), "lr") == 0.5
    assert values.as_number(2, "lr", 0, 2) == 2.0
    for value in (True, "0.5", None, math.nan, math.inf, -math.inf, HUGE, 3, -1, torch.tensor(1.0)):
        with pytest.raises(BadInputError, match="lr must be"):
            values.as_number(value, "lr", 0, 2)


def test_a_positive_number_is_above_zero():
    assert values.as_positive(np.float64(0.1), "student_lr") == 0.1
    for value in (0, -1, math.nan, math.inf, HUGE, "1", True):
        with pytest.raises(BadInputError, match="student_lr must be a positive number, got"):
            values.as_positive(value, "student_lr")


def test_texts_are_texts():
    assert values.as_text("dm", "method") == "dm"
    assert values.as_texts(["a", "b"], "class_names") == ("a", "b")
    for value in (None, 3, b"dm", "", "  ", "\ud800", Path("dm")):
        with pytest.raises(BadInputError, match="method"):
            values.as_text(value, "method")
    for value, words in (("abc", "list or tuple"), (("a", 1), "each of"), (("a", "a"), "differ"), ((), "at least 1")):
        with pytest.raises(BadInputError, match=words):
            values.as_texts(value, "class_names", least=1, distinct=True)


def test_flags_mappings_choices_kinds_and_functions():
    assert values.as_flag(False, "download") is False
    assert values.as_mapping({"a": 1}, "config") == {"a": 1}
    for check in (
        lambda: values.as_flag(1, "download"),
        lambda: values.as_mapping([("a", 1)], "config"),
        lambda: values.as_mapping({1: 1}, "config"),
        lambda: values.as_choice("c", ("a", "b"), "space"),
        lambda: values.as_choice([], ("a", "b"), "space"),
        lambda: values.as_kind(1, Path, "results", "name a folder"),
        lambda: values.as_function(1, "track"),
    ):
        with pytest.raises(BadInputError, match=r"^(each key of )?(download|config|space|results|track) must"):
            check()


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch's, of how a nested tensor is made
def test_any_value_is_shown_in_few_characters():
    for value in (*NO_INTEGERS, HUGE, "x" * 5000, torch.zeros(3, 4), np.zeros((2, 2)), {"a": 1}):
        assert len(values.shown(value)) < 100
    assert values.shown(torch.zeros(3, 4)) == "Tensor of shape (3, 4)"
    assert values.shown(torch.nested.nested_tensor([torch.zeros(1), torch.zeros(2)])) == "Tensor"


def test_values_are_checked_without_torch():
    code = "import sys, ddbench.inputs.values; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
