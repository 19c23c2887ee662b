"""What a device's arithmetic is, and how tensors get there."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from ddbench import PROTOCOLS, distill, evaluate, load_dataset
from ddbench.engine import arithmetic
from ddbench.engine.arithmetic import arithmetic_of, check_precision, send, send_network
from ddbench.errors import BadInputError
from ddbench.network import InputShape, make_network
from ddbench.runs.distill import RunOptions
from ddbench.runs.suite import Suite
from ddbench.runs.suite_runner import run_suite

CPU = torch.device("cpu")


def flags():
    cudnn, products = torch.backends.cudnn, torch.backends.cuda.matmul
    return cudnn.allow_tf32, products.allow_tf32, cudnn.deterministic, cudnn.benchmark


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_cpu_has_one_arithmetic_and_nothing_is_set(precision):
    before = flags()
    with arithmetic_of(precision, CPU):
        assert flags() == before
    assert flags() == before


@pytest.mark.parametrize("is_on", [False, True])
@pytest.mark.parametrize("newer", [False, True])
def test_flags_are_set_and_set_back_whichever_of_torchs_two_kinds_a_program_has_used(newer, is_on):
    products = torch.backends.cuda.matmul
    if newer and not hasattr(torch.backends.cudnn, "conv"):
        pytest.skip("torch before 2.9 has the older flags alone")
    if newer:
        products.fp32_precision = "tf32"
    try:
        before = arithmetic._set(arithmetic._tf32_flags(is_on))
        if newer:
            assert products.fp32_precision == ("tf32" if is_on else "ieee")
        else:
            assert (torch.backends.cudnn.allow_tf32, products.allow_tf32) == (is_on, is_on)
        arithmetic._set(before)
        assert products.fp32_precision == "tf32" if newer else flags() == (True, False, False, False)
    finally:
        if newer:
            products.fp32_precision = "none"
    assert flags() == (True, False, False, False)


def test_tf32_is_refused_where_there_is_none_before_anything_is_done(tmp_path):
    with pytest.raises(BadInputError, match="needs an NVIDIA GPU from Ampere on, got cpu; use the same protocol in fl"):
        check_precision("tf32", CPU)
    digits = load_dataset("digits")
    made = distill("random_real", digits, 1, device="cpu")
    with pytest.raises(BadInputError, match="needs an NVIDIA GPU"):
        evaluate(made, digits, "dsa-tf32", students=1, device="cpu")
    content = {"name": "s", "protocol": "dsa-tf32", "datasets": ["digits"], "methods": ["random_real"], "ipc": [1]}
    with pytest.raises(BadInputError, match="needs an NVIDIA GPU"):
        run_suite(Suite.model_validate(content), tmp_path / "results", RunOptions(device="cpu"))
    assert not (tmp_path / "results").exists()


def test_protocols_in_tf32_and_bf16_are_dsa_but_for_their_precision():
    dsa = PROTOCOLS.get("dsa").model_dump(exclude={"name", "precision"})
    for name in ("dsa-tf32", "dsa-bf16"):
        protocol = PROTOCOLS.get(name)
        assert protocol.model_dump(exclude={"name", "precision"}) == dsa
        assert protocol.precision == name.removeprefix("dsa-")


def test_what_is_sent_arrives_as_it_was(generator):
    values = torch.randn(5, generator=generator)
    assert torch.equal(send(values, CPU), values)
    network = make_network("convnet-d1-w4-bn", InputShape(3, 8, 3), generator)
    expected = {name: value.clone() for name, value in network.state_dict().items()}
    send_network(network, CPU)
    assert all(torch.equal(value, expected[name]) for name, value in network.state_dict().items())


@pytest.mark.gpu
def test_sent_networks_are_on_the_gpu(generator):
    device = torch.device("cuda")
    network = make_network("convnet-d1-w4-bn", InputShape(3, 8, 3), generator)
    expected = {name: value.clone() for name, value in network.state_dict().items()}
    send_network(network, device)
    for name, value in network.state_dict().items():
        assert value.device.type == "cuda"
        assert torch.equal(value.cpu(), expected[name])


@pytest.mark.gpu
def test_tf32_follows_the_precision_and_not_what_was_set_before(generator):
    device = torch.device("cuda")
    images, weight = (torch.randn(8, 64, 16, 16, generator=generator), torch.randn(64, 64, 3, 3, generator=generator))
    expected = F.conv2d(images.double(), weight.double())
    errors = {}
    for before in (False, True):
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = before
        for precision in ("fp32", "tf32"):
            with arithmetic_of(precision, device):
                found = F.conv2d(images.to(device), weight.to(device)).cpu().double()
                product = (images.to(device).flatten(1) @ images.to(device).flatten(1).T).cpu().double()
            exact = images.double().flatten(1) @ images.double().flatten(1).T
            errors[before, precision] = max(
                float((found - expected).norm() / expected.norm()), float((product - exact).norm() / exact.norm())
            )
        assert torch.backends.cudnn.allow_tf32 is torch.backends.cuda.matmul.allow_tf32 is before
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = True, False
    assert errors[False, "fp32"] == errors[True, "fp32"] < 1e-5
    assert errors[False, "tf32"] == errors[True, "tf32"] > 1e-4
