"""v1@45832d245e19: `sre2l` with its CIFAR-100 settings: 400 epochs, batches of 128, shifts, Mixup, temperature 30.

Checked against: VILA-Lab/SRe2L, SRe2L/*small_dataset/relabel_cifar.py and .sh. All parameters decay there. Differs from
it: images have the data set's own mean and std and not CIFAR-10's; the teacher as under `rded`.
"""

from __future__ import annotations

from ddbench.protocol import PROTOCOLS, Protocol, Schedule
from ddbench.protocols._teacher import TEACHER
from ddbench.training_recipe import BestOf, ImageAugmentation, Mixup

PROTOCOL = PROTOCOLS.register("sre2l-cifar")(
    Protocol(
        name="sre2l-cifar",
        version=1,
        network="resnet18-bn",
        schedule=Schedule(epochs=400, curve="cosine"),
        real_schedule=Schedule(epochs=100, curve="cosine"),
        optimiser="adamw",
        lr=0.001,
        weight_decay=0.01,
        resets_momentum=False,
        batch_size=128,
        best_of=BestOf(every=10, at=0),
        image_augmentation=ImageAugmentation(crop_area=(1.0, 1.0), flip=0.5, jitter=0.0, lighting=0.0, padding=4),
        mirrors_all=False,
        mixup=Mixup(alpha=0.8),
        teacher=TEACHER.model_copy(update={"temperature": 30.0}),
    )
)
