"""Results made up for the tests of the leaderboard: as many as are wanted, plausible in numbers, costs and machines."""

from __future__ import annotations

import hashlib
import math
import random

from ddbench.records import Metric, Phase, Reading, Result
from tests.report._results import recorded

# Points over random real images at IPC 10, seconds at IPC 1.
METHODS = {
    "random_real": (0, 0.02), "herding": (1, 3), "k_center": (-2, 3), "k_means": (2, 6), "forgetting": (-4, 40),
    "el2n": (-5, 40), "ccs": (-1, 41), "moderate": (0, 5), "dc": (8, 900), "dsa": (12, 1400), "dm": (13, 600),
    "mtt": (18, 5200), "datm": (19, 5600), "idc_like": (15, 2100), "sre2l": (-3, 300), "rded": (6, 90),
    "g_vbsm": (9, 700), "dit": (3, 2000), "minimax": (5, 2600), "a_method_with_a_rather_long_name": (4, 100),
}  # fmt: skip
SOFT = ("datm", "sre2l", "rded", "g_vbsm")
DATASETS = {"cifar10": 31, "cifar100": 14, "svhn": 35, "tiny_imagenet": 8, "mnist": 85}
CIFAR10 = "c1-66ac4cda24717415"  # of the recorded results too
IPCS = (1, 10, 20, 50, 100)
NETWORKS = ("convnet-d3", "resnet18")
MACHINES = (
    {"id": "aa11bb22", "processor": "Made-up CPU", "cores": 8, "threads": 8, "device": "cuda", "gpu": "Made-up GPU"},
    {"id": "cc33dd44", "processor": "Made-up CPU", "cores": 2, "threads": 2, "device": "cpu", "gpu": None},
)  # fmt: skip
MIB = 2**20


def synthetic(seeds: int = 5) -> list[Result]:
    """1,000 results for each seed: methods x data sets x IPC x networks."""
    return [
        make(method, dataset, ipc, network, seed)
        for dataset in DATASETS
        for network in NETWORKS
        for method in METHODS
        for ipc in IPCS
        for seed in range(seeds)
    ]


def make(method: str, dataset: str, ipc: int, network: str, seed: int) -> Result:
    """One result, always the same for the same arguments."""
    cell = f"{method}/{dataset}/{ipc}/{network}/{seed}"
    draw = random.Random(cell)
    gain, seconds = METHODS[method]
    middle = DATASETS[dataset] + gain * (1 if ipc <= 10 else 0.4) + 7 * math.log10(ipc / 10) + draw.gauss(0, 0.8)
    values = tuple(round(min(0.99, max(0.01, (middle + draw.gauss(0, 0.4)) / 100)), 4) for _ in range(3))
    machine = MACHINES[0] if method not in ("herding", "k_center") else MACHINES[seed % 2]
    taken = seconds * ipc**0.5 * draw.uniform(0.9, 1.1)
    memory = int((300 + 40 * ipc) * MIB * draw.uniform(0.95, 1.05))
    on_gpu = machine["gpu"] is not None
    readings = [Reading(seconds=taken, peak_host_bytes=memory, peak_allocated_bytes=memory * 2 if on_gpu else None)]
    readings.append(Reading(seconds=60.0 + ipc, peak_host_bytes=memory))
    return recorded().model_copy(
        update={
            "key": _hash(cell),
            "method": method,
            "config": {"steps": 1000} if gain > 5 else {},
            "dataset": dataset,
            "dataset_fingerprint": CIFAR10 if dataset == "cifar10" else f"c1-{_hash(dataset)}",
            "ipc": ipc,
            "network": network,
            "students": 3,
            "distill_seed": seed,
            "protocol": "dsa",
            "protocol_hash": "a28e5b1fc625",
            "metrics": (Metric(name="test_accuracy", unit="fraction", higher_is_better=True, values=values),),
            "phases": tuple(
                Phase(name=name, reading=reading)
                for name, reading in zip(("distill", "evaluate"), readings, strict=True)
            ),
            "label_mode": "soft" if method in SOFT else "hard",
            "machine": machine,
            "started_at": f"2026-0{1 + seed % 9}-11T00:00:00+00:00",
        }
    )


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
