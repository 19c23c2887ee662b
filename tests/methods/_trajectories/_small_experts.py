"""Small experts of trajectory matching, and what their files hold."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from ddbench.method import make_method
from ddbench.methods._trajectories.expert_files import expert_path
from ddbench.methods._trajectories.experts import ExpertMethod

SPEC = "convnet-d1-w8"
# 27 images in batches of 10: three steps an epoch, the last of 7 images.
SMALL = {
    "network": SPEC,
    "zca": False,
    "num_experts": 2,
    "trajectory_epochs": 2,
    "trajectory_batch_size": 10,
    "trajectory_lr": 0.05,
    "expert_epochs": 1,
    "max_start_epoch": 1,
    "steps": 1,
    "syn_steps": 1,
}


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make(**settings: object) -> ExpertMethod:
    return make_method("mtt", {**SMALL, **settings})


def trajectory(folder: Path, index: int) -> Tensor:
    return load_file(expert_path(folder, index))["trajectory"]


def whole(path: Path) -> tuple[dict[str, str], Tensor]:
    """What a file says and holds; its bytes differ, for safetensors writes metadata in any order."""
    with safe_open(path, framework="pt") as file:
        return file.metadata(), file.get_tensor("trajectory").clone()


def assert_same(found: tuple[dict[str, str], Tensor], expected: tuple[dict[str, str], Tensor]) -> None:
    assert found[0] == expected[0]
    assert torch.equal(found[1], expected[1])
