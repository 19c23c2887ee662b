"""v1@1b476785fb59: `sre2l` with batches of 16 and a half-cosine learning rate: the evaluation of FADRM.

Paper: Cui et al., "FADRM: Fast and Accurate Data Residual Matching for Dataset Distillation", NeurIPS 2025 (arXiv
2506.24125). Checked against: Jiacheng8/FADRM (validate/train_fkd.py). Theirs has a rate and a curve of its own for
every data set, network and IPC: here those of ResNet-18 on ImageNet-1k, Tiny ImageNet and CIFAR-100 at IPC 10; at
IPC 50 their curve is a whole cosine, and CIFAR-100 is trained for 1,000 epochs in parts of 8.
"""

from __future__ import annotations

from ddbench.protocol import PROTOCOLS, Schedule

PROTOCOL = PROTOCOLS.register("fadrm")(
    PROTOCOLS.get("sre2l").model_copy(
        update={
            "name": "fadrm",
            "schedule": Schedule(epochs=300, curve="half cosine"),
            "real_schedule": Schedule(epochs=100, curve="half cosine"),
            "batch_size": 16,
            "accumulates": 1,
        }
    )
)
