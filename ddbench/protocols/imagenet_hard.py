"""v2@3e6b8069c30e: resnet_ap10, 3000 to 300 epochs depending on IPC, crops, flips, colours, CutMix, hard labels.

Paper: Gu et al., "Efficient Dataset Distillation via Minimax Diffusion", CVPR 2024 (arXiv 2311.15529).
Checked against: vimar-gu/MinimaxDiffusion (argument.py, train.py, data.py).
Version 2 resizes sets of larger images, as theirs of 256 px; on all others it is version 1, `c39617cd393a`.
Differs from it: it reports the best epoch, this protocol the last. Whole real set: argument.py's default of 300 epochs.
"""

from __future__ import annotations

from ddbench.protocol import PROTOCOLS, Protocol, Schedule
from ddbench.training_recipe import CutMix, ImageAugmentation, ManyClasses, ScheduleByIpc

PROTOCOL = PROTOCOLS.register("imagenet-hard")(
    Protocol(
        name="imagenet-hard",
        version=2,
        network="resnet_ap10",
        schedule=ScheduleByIpc(
            steps=((1, 3000), (10, 2000), (50, 1500), (200, 1000), (500, 500)),
            beyond=300,
            drops=((2, 3), (5, 6)),
            factor_at_100_classes=(2, 3),
        ),
        real_schedule=Schedule(epochs=300, drop_at=200, later_drops=(250,)),
        lr_drop=0.2,
        resets_momentum=False,
        batch_size=64,
        image_augmentation=ImageAugmentation(crop_area=(0.5, 1.0), flip=0.5, jitter=0.4, lighting=0.1),
        cutmix=CutMix(probability=1.0, beta=1.0),
        many_classes=ManyClasses(more_than=100, lr=0.1, weight_decay=1e-4, batch_size=128),
        resize="bilinear",
    )
)
