"""v1@e9e42ecdb212: convnet-d3, 2,000 epochs of AdamW (rate halved 4 times), shifts, DSA, CutMix: evaluation of NCFM.

Paper: Wang et al., "Dataset Distillation with Neural Characteristic Function: A Minmax Perspective", CVPR 2025 (arXiv
2502.20653). Checked against: gszfwsb/NCFM (condenser/evaluate.py, utils/train_val.py, config/). Differs from it: shifts
come after DSA and not before it; above IPC 50 theirs is tested every other epoch. The whole real set's schedule is our
choice.
"""

from __future__ import annotations

from ddbench.augment.strategies import DSA_STRATEGY
from ddbench.protocol import PROTOCOLS, Protocol, Schedule
from ddbench.training_recipe import BestOf, CutMix, ImageAugmentation

PROTOCOL = PROTOCOLS.register("ncfm")(
    Protocol(
        name="ncfm",
        version=1,
        network="convnet-d3",
        schedule=Schedule(epochs=2000, drop_at=400, later_drops=(800, 1200, 1600)),
        real_schedule=Schedule(epochs=100, drop_at=20, later_drops=(40, 60, 80)),
        optimiser="adamw",
        lr=0.001,
        lr_drop=0.5,
        weight_decay=0.01,
        resets_momentum=False,
        batch_size=128,
        augmentation=DSA_STRATEGY,
        best_of=BestOf(every=100, at=99),
        image_augmentation=ImageAugmentation(crop_area=(1.0, 1.0), flip=0.5, jitter=0.0, lighting=0.0, padding=4),
        mirrors_all=False,
        cutmix=CutMix(probability=0.5, beta=1.0),
    )
)
