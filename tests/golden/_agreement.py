"""Comparisons with golden and naive values: how far numbers are off, what is allowed, and the largest seen."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

Numbers = Tensor | np.ndarray | float | Sequence[Any]
FOLDER = Path(__file__).parent


def golden(name: str) -> dict[str, Any]:
    """The golden values of a file of this folder."""
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def difference(found: Numbers, expected: Numbers) -> float:
    """The largest difference of two equal shapes of numbers, relative to the largest of the expected ones.

    Not to each number alone: the digits of a sum, or of a pixel next to zero, are those of what was added up. Golden
    values have 13 digits, so that rounding alone makes up to 5e-13 of the largest.
    """
    found, expected = (torch.as_tensor(numbers, dtype=torch.float64).detach() for numbers in (found, expected))
    assert found.shape == expected.shape
    assert found.isfinite().all()
    largest = expected.abs().max()
    assert largest > 0
    return float((found - expected).abs().max() / largest)
