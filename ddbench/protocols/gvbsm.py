"""v1@fa88d84f86b2: `sre2l` with the mean logits of four teachers as targets: the evaluation of G-VBSM.

Paper: Shao et al., "Generalized Large-Scale Data Condensation via Various Backbone and Statistical Matching" (G-VBSM),
CVPR 2024 (arXiv 2311.17950), its ImageNet-1k. Checked against: shaoshitong/G_VBSM_Dataset_Condensation
(Branch_full_ImageNet_1k: relabel/, train/). Loss: mean squared difference of logits and 0.1 of the cross-entropy with
each image's class. Its two GPUs see half a batch each. Differs from it: teachers are trained here where none are named,
as under `rded`. CIFAR-100 has a recipe of its own there: batches of 64, 1,000 epochs of SGD at 0.1.
"""

from __future__ import annotations

from ddbench.protocol import PROTOCOLS
from ddbench.protocols._teacher import TEACHER
from ddbench.training_recipe import TeacherNetwork

PROTOCOL = PROTOCOLS.register("gvbsm")(
    PROTOCOLS.get("sre2l").model_copy(
        update={
            "name": "gvbsm",
            "teacher": TEACHER.model_copy(
                update={
                    "others": (
                        TeacherNetwork(network="torchvision/mobilenet_v2"),
                        TeacherNetwork(network="torchvision/efficientnet_b0"),
                        TeacherNetwork(network="torchvision/shufflenet_v2_x0_5"),
                    ),
                    "loss": "mse",
                    "ce_weight": 0.1,
                }
            ),
        }
    )
)
