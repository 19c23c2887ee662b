"""DSA against the authors' own: outputs and gradients of every strategy, and every place of a crop and of a hole."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ddbench.augment.dsa import Draw, apply_dsa
from tests.golden._agreement import difference, golden
from tests.golden._hashed import digest, images, params, uniform

GOLDEN = golden("dsa")
WITHIN = 1e-12
PLACES = {"crop": 9, "cutout": 33}  # of 32 px images, along each axis


def name_of(case: dict[str, Any]) -> str:
    return f"{case['strategy']}-{case['shape'][-1]}px-{'siamese' if case['siamese'] else 'each'}-{case['draw_seed']}"


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=name_of)
def test_outputs_and_gradients_are_those_of_the_authors(case, agreement):
    numbers = params(case["strategy"], 1 if case["siamese"] else 4, case["draw_seed"])
    assert numbers.tolist() == case["params"]
    given = images(4, case["shape"], case["image_seed"]).requires_grad_()
    augmented = apply_dsa(given, Draw(case["strategy"], numbers))
    (gradient,) = torch.autograd.grad(augmented, given, uniform(augmented.shape, 31) - 0.5)
    found = {"output": digest(augmented, 41), "gradient": digest(gradient, 42)}
    agreement({name: difference(numbers, case[name]) for name, numbers in found.items()}, WITHIN)


@pytest.mark.parametrize("strategy", PLACES)
def test_every_place_is_that_of_the_authors(strategy, agreement):
    count, image = PLACES[strategy], images(1, (3, 32, 32), 77)
    edges = [edge[1:] for edge in GOLDEN["edges"] if edge[0] == strategy]
    assert [sorted(column) for column in list(zip(*edges, strict=True))[:2]] == [list(range(count))] * 2
    missed = {}
    for row, column, total, zeros in edges:
        middle = torch.tensor([[row + 0.5, column + 0.5]]) / count
        augmented = apply_dsa(image, Draw(strategy, middle))
        assert int((augmented == 0).sum()) == zeros, (row, column)
        missed[f"{strategy} {row} {column}"] = difference(augmented.sum(), total)
    agreement(missed, WITHIN)
