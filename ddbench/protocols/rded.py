"""v1@1c895a241232: resnet18-bn, 300 epochs of AdamW, half-cosine rate, patch shuffle, crops, CutMix, soft labels.

Paper: Sun et al., "On the Diversity and Realism of Distilled Dataset" (RDED), CVPR 2024 (arXiv 2312.03526).
Checked against: LINs-lab/RDED (argument.py, validation/main.py and utils.py). Its students pass every batch twice, so
that their running statistics move twice: `norm_passes`, at the cost of one pass. Tiny ImageNet's and CIFAR's scripts
have factor 1: no patches there, and no crops.
Differs from it: images have the data set's own mean and std and not ImageNet's; the teacher is trained here where none
is named, on 60 epochs of our choice; the whole real set's schedule is ours too. CIFAR-100's rows of conv3 alone have
batches of 25 and a rate of 0.002.
"""

from __future__ import annotations

from ddbench.protocol import PROTOCOLS, Protocol, Schedule
from ddbench.protocols._teacher import TEACHER
from ddbench.training_recipe import BatchByIpc, BestOf, CutMix, ImageAugmentation, SmallImages

PROTOCOL = PROTOCOLS.register("rded")(
    Protocol(
        name="rded",
        version=1,
        network="resnet18-bn",
        schedule=Schedule(epochs=300, curve="half cosine"),
        real_schedule=Schedule(epochs=100, curve="half cosine"),
        optimiser="adamw",
        lr=0.001,
        lr_for={
            "vgg11": 0.0005,
            "vgg11-bn": 0.0005,
            "alexnet": 0.0001,
            "timm/efficientnet_b0": 0.002,
            "timm/mobilenetv2_100": 0.0025,
            "timm/vit_base_patch16_224": 0.0001,
            "torchvision/vgg11": 0.0005,
            "torchvision/alexnet": 0.0001,
            "torchvision/efficientnet_b0": 0.002,
            "torchvision/mobilenet_v2": 0.0025,
            "torchvision/vit_b_16": 0.0001,
            "torchvision/swin_v2_t": 0.0001,
        },
        weight_decay=0.01,
        decays="weights",
        resets_momentum=False,
        batch_size=BatchByIpc(steps=((1, 10), (10, 50)), beyond=100, doubled_at=(100, 1000)),
        batch_size_for={"tiny_imagenet": 100},
        norm_passes=2,
        best_of=BestOf(every=10, at=9, after=0.8),
        image_augmentation=ImageAugmentation(crop_area=(0.5, 1.0), flip=0.5, jitter=0.0, lighting=0.0, grid=2),
        small_images=SmallImages(
            up_to=64, image_augmentation=ImageAugmentation(crop_area=(1.0, 1.0), flip=0.5, jitter=0.0, lighting=0.0)
        ),
        mirrors_all=False,
        cutmix=CutMix(probability=1.0, beta=1.0),
        test_margin=True,
        teacher=TEACHER,
    )
)
