"""v1@1d700d9683e2: resnet18-bn, 300 epochs of AdamW, cosine rate, batches of 1,024, crops, CutMix, soft labels.

Paper: Yin, Xing, Shen, "Squeeze, Recover and Relabel" (SRe2L), NeurIPS 2023 (arXiv 2306.13092), its ImageNet-1k.
Checked against: VILA-Lab/SRe2L (relabel/, validate/train_FKD.py and .sh). Theirs keeps the teacher's labels of every
crop and mixture of 300 epochs and replays them; here the teacher gives them as they are needed, of the same
distribution. Differs from it: the teacher is trained here where none is named, as under `rded`; CIFAR-100's own recipe
is `sre2l-cifar`; parts of a last, smaller batch weigh as much as they have images.
"""

from __future__ import annotations

from ddbench.protocol import PROTOCOLS, Protocol, Schedule
from ddbench.protocols._teacher import TEACHER
from ddbench.training_recipe import BestOf, CutMix, ImageAugmentation

PROTOCOL = PROTOCOLS.register("sre2l")(
    Protocol(
        name="sre2l",
        version=1,
        network="resnet18-bn",
        schedule=Schedule(epochs=300, curve="cosine"),
        real_schedule=Schedule(epochs=100, curve="cosine"),
        optimiser="adamw",
        lr=0.001,
        weight_decay=0.01,
        decays="weights",
        resets_momentum=False,
        batch_size=1024,
        accumulates=2,
        best_of=BestOf(every=10, at=0),
        image_augmentation=ImageAugmentation(crop_area=(0.08, 1.0), flip=0.5, jitter=0.0, lighting=0.0),
        mirrors_all=False,
        cutmix=CutMix(probability=1.0, beta=1.0),
        test_margin=True,
        teacher=TEACHER,
    )
)
