"""Small distilled sets for the tests of how they are stored."""

import json

import torch

from ddbench.distilled.dataset import DistilledDataset
from ddbench.distilled.names import SIDECAR
from ddbench.images import Whitening

IPC, CLASSES = 2, 3
PROVENANCE = {
    "method": "dm",
    "config": {"steps": 3, "lr": 0.5},
    "class_names": ["ä", "b", "c"],
    "seed": 0,
    "none": None,
}


def make_whitening(size=3 * 4 * 4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    half = torch.rand(size, size, generator=generator)
    return Whitening(torch.rand(size, generator=generator), half + half.T)


def make_set(**changes):
    fields = {
        "images": torch.linspace(-2, 2, IPC * CLASSES * 3 * 4 * 4).view(-1, 3, 4, 4),
        "labels": torch.arange(CLASSES).repeat_interleave(IPC),
        "num_classes": CLASSES,
        "ipc": IPC,
        "provenance": PROVENANCE,
    }
    return DistilledDataset(**{**fields, **changes})


def change_sidecar(folder, **changes):
    """Write other fields as somebody would who knows of the digest: a set without one is taken for an older one."""
    content = json.loads((folder / SIDECAR).read_text())
    (folder / SIDECAR).write_text(json.dumps({**content, "digest": "", **changes}))
