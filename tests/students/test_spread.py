"""Students spread over devices: the numbers they have on one, in their order."""

from __future__ import annotations

import pytest
import torch

from ddbench import distill, evaluate, load_dataset
from ddbench.errors import BadInputError
from ddbench.protocol import PROTOCOLS
from ddbench.runs.distill import RunOptions
from ddbench.students.spread import _in_order, devices_from

pytestmark = pytest.mark.usefixtures("own_cache")


def test_shares_are_put_back_in_the_order_of_the_students():
    assert _in_order([(0.0, 2.0, 4.0), (1.0, 3.0)], 5) == (0.0, 1.0, 2.0, 3.0, 4.0)
    assert _in_order([(), ()], 3) == ()


def test_more_gpus_than_there_are_is_one_line(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    cuda = torch.device("cuda", 1)
    assert devices_from(cuda, 2) == [torch.device("cuda", 1), torch.device("cuda", 2)]
    with pytest.raises(BadInputError, match="devices must be at most 2, the GPUs here, got 3"):
        devices_from(cuda, 3)


@pytest.mark.slow
def test_three_students_on_two_devices_give_the_bits_of_one(tmp_path):
    real = load_dataset("digits")
    made = distill("random_real", real, 1, device="cpu")
    protocol = PROTOCOLS.get("quick")
    logs = tmp_path / "a", tmp_path / "b"
    results = [
        evaluate(made, real, protocol, "convnet-d1-w8", 3, device="cpu", options=RunOptions(devices=n, log_path=log))
        for n, log in zip((1, 2), logs, strict=True)
    ]
    one, two = (result.metric("test_accuracy").values for result in results)
    assert len(set(one)) > 1
    assert two == one
    assert results[1].engine == {**results[0].engine, "student_devices": 2}
    assert [log.read_text().count("test_accuracy") for log in logs] == [3, 3]
