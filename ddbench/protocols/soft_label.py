"""v1@2ab92d6292d5: `imagenet-hard` with soft labels of a resnet18-bn at temperature 20.

Temperature 20, CutMix and a ResNet-18 with batch norm as teacher: VILA-Lab/SRe2L (validate/train_FKD.sh) and
LINs-lab/RDED (validation/main.py), which differ in the rest (AdamW, a cosine, crops).
"""

from __future__ import annotations

from ddbench.protocol import PROTOCOLS
from ddbench.training_recipe import Teacher

HARD = PROTOCOLS.get("imagenet-hard")
PROTOCOL = PROTOCOLS.register("soft-label")(
    HARD.model_copy(
        update={
            "name": "soft-label",
            "version": 1,
            "resize": "",
            "teacher": Teacher(network="resnet18-bn", schedule=HARD.real_schedule, seed=0, temperature=20.0, loss="kl"),
        }
    )
)
