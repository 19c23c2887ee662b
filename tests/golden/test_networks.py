"""Networks against those of the DC family's own repository: passes, gradients, and the sizes of fresh parameters."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from ddbench.network import InputShape, Network, make_network
from tests.golden._agreement import difference, golden
from tests.golden._hashed import digest, fill, images

GOLDEN = golden("networks")["cases"]
LABELS = torch.tensor([1, 4, 7, 9])
NATIVE = ("convnet-d1", "convnet-d2", "convnet-d3", "convnet-d4", "convnet-d3-w32")
WITHIN = 1e-12
FRESH = 6  # networks whose mean squares the golden ones are means of


def name_of(case: dict[str, Any]) -> str:
    return f"{case['network']}-{case['size']}px"


EVERY = pytest.mark.parametrize("case", GOLDEN, ids=name_of)


def fresh(case: dict[str, Any], seed: int = 0) -> Network:
    shape = InputShape(case["channels"], case["size"], 10)
    return make_network(case["network"], shape, torch.Generator().manual_seed(seed))


def missed(case: dict[str, Any], network: Network) -> dict[str, float]:
    """By how much a filled network misses each of the case's numbers; batch norm has learned from the pass before."""
    pixels = images(4, (case["channels"], case["size"], case["size"]), 11)
    embeddings = network.train().embed(pixels)
    logits = network.classify(embeddings)
    loss = F.cross_entropy(logits, LABELS)
    weights = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    norms = torch.stack([gradient.norm() for gradient in torch.autograd.grad(loss, weights)])
    found = {"logits": logits, "loss": loss, "weight_gradient_norms": norms, "embedding": digest(embeddings)}
    if "eval_logits_after_that_pass" in case:
        with torch.no_grad():
            found["eval_logits_after_that_pass"] = network.eval()(pixels)
    return {name: difference(numbers, case[name]) for name, numbers in found.items() if name in case}


@EVERY
def test_fresh_parameters_have_the_shapes_and_sizes_of_the_authors(case):
    count = 1 if case["parameters"] > 1e6 else FRESH
    networks = [list(fresh(case, seed).parameters()) for seed in range(count)]
    assert [list(parameter.shape) for parameter in networks[0]] == case["shapes"]
    assert sum(parameter.numel() for parameter in networks[0]) == case["parameters"]
    for expected, *draws in zip(case["fresh_rms"], *networks, strict=True):
        found = torch.stack([parameter.detach().double().square().mean() for parameter in draws]).mean().sqrt().item()
        if expected in (0, 1):
            assert found == expected
            continue
        # Of n uniform numbers the mean square has a relative variance of 4/5 / n, its root a quarter of that.
        numbers = draws[0].numel()
        deviation = math.sqrt((1 / FRESH + 1 / count) / numbers * 4 / 5) / 2
        assert found == pytest.approx(expected, rel=5 * deviation + 5e-5)  # golden ones have 5 digits


@EVERY
def test_passes_are_those_of_the_authors(case, agreement):
    network = fresh(case)
    fill(network, 100)
    agreement(missed(case, network), WITHIN)


@pytest.mark.compiler
@pytest.mark.parametrize("case", [case for case in GOLDEN if case["network"] in NATIVE], ids=name_of)
def test_native_passes_are_those_of_the_authors(case, agreement):
    network = fresh(case)
    fill(network, 100)
    assert network.native() is not network
    agreement(missed(case, network.native()), WITHIN)
