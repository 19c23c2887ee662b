"""v1@fa88d84f86b2: `sre2l` with the logits of four teachers as targets: the evaluation of G-VBSM.

Paper: Shao et al., "Generalized Large-Scale Data Condensation via Various Backbone and Statistical Matching" (G-VBSM),
CVPR 2024 (arXiv 2311.17950), its ImageNet-1k. Checked against: shaoshitong/G_VBSM_Dataset_Condensation
(Branch_full_ImageNet_1k: relabel/, train/). Loss: mean squared difference of logits and 0.1 of the cross-entropy with
each image's class. Its two GPUs see half a batch each. Differs from it: teachers are trained here where none are named,
as under `rded`. CIFAR-100 has a recipe of its own there: batches of 64, 1,000 epochs of SGD at 0.1.
"""

from __future__ import annotations

from ddbench.protocol import PROTOCOLS, Schedule
from ddbench.training_recipe import Teacher, TeacherNetwork, TeacherTraining

PROTOCOL = PROTOCOLS.register("gvbsm")(
    PROTOCOLS.get("sre2l").model_copy(
        update={
            "name": "gvbsm",
            "teacher": Teacher(
                network="resnet18-bn",
                others=(
                    TeacherNetwork(network="torchvision/mobilenet_v2"),
                    TeacherNetwork(network="torchvision/efficientnet_b0"),
                    TeacherNetwork(network="torchvision/shufflenet_v2_x0_5"),
                ),
                schedule=Schedule(epochs=60, curve="cosine"),
                seed=0,
                temperature=20.0,
                loss="mse",
                ce_weight=0.1,
                training=TeacherTraining(lr=0.1, weight_decay=5e-4, batch_size=128),
            ),
        }
    )
)
