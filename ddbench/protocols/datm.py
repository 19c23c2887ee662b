"""v1@a32b92c4f070: `dsa` with batches of 128, for DATM's sets, which have soft labels and a learned learning rate.

Paper: Guo et al., "Towards Lossless Dataset Distillation via Difficulty-Aligned Trajectory Matching", ICLR 2024 (arXiv
2310.05773). Checked against: NUS-HPC-AI-Lab/DATM (utils/utils_baseline.py, `evaluate_synset`; configs/). Its loss, the
mean of -sum softmax(y) log_softmax(f), is cross-entropy with the labels softmax(y) that a set has here.
"""

from __future__ import annotations

from ddbench.protocol import PROTOCOLS

PROTOCOL = PROTOCOLS.register("datm")(PROTOCOLS.get("dsa").model_copy(update={"name": "datm", "batch_size": 128}))
