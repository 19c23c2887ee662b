"""v1@c8e823bd1ffa: `rded` with the mean logits of four teachers as targets and averaged weights: the evaluation of EDC.

Paper: Shao et al., "Elucidating the Design Space of Dataset Condensation" (EDC), NeurIPS 2024 (arXiv 2404.13733), its
ImageNet-1k. Checked against: shaoshitong/EDC (Branch_full_ImageNet_1k: relabel/, train/). Loss: mean squared difference
of logits and 0.025 of the cross-entropy with each image's class, the part of it that CutMix took or not. Theirs keeps
the teachers' labels and replays them. The curve is the paper's and that of train.sh (--ls-type cos --st 2); one version
of its program (9836066) overwrites it by a straight line to the same half. Differs from it: teachers are trained here
where none are named, as under `rded`.
"""

from __future__ import annotations

from ddbench.protocol import PROTOCOLS, Protocol, Schedule
from ddbench.protocols._teacher import TEACHER
from ddbench.training_recipe import BestOf, CutMix, ImageAugmentation, TeacherNetwork

PROTOCOL = PROTOCOLS.register("edc")(
    Protocol(
        name="edc",
        version=1,
        network="resnet18-bn",
        schedule=Schedule(epochs=300, curve="half cosine"),
        real_schedule=Schedule(epochs=100, curve="half cosine"),
        optimiser="adamw",
        lr=0.001,
        weight_decay=0.01,
        decays="weights",
        average=0.99,
        resets_momentum=False,
        batch_size=100,
        best_of=BestOf(every=30, at=0),
        image_augmentation=ImageAugmentation(crop_area=(0.5, 1.0), flip=0.5, jitter=0.0, lighting=0.0, grid=2),
        mirrors_all=False,
        cutmix=CutMix(probability=1.0, beta=1.0),
        test_margin=True,
        teacher=TEACHER.model_copy(
            update={
                "others": (
                    TeacherNetwork(network="torchvision/mobilenet_v2"),
                    TeacherNetwork(network="torchvision/shufflenet_v2_x0_5"),
                    TeacherNetwork(network="torchvision/alexnet"),
                ),
                "loss": "mse",
                "ce_weight": 0.025,
            }
        ),
    )
)
