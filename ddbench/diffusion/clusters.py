"""Clusters of a class's images in the space that a denoiser works in: latents, or pixels where there is no VAE."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ddbench.diffusion.foundation import BackboneConfig, foundation_of, load_inputs
from ddbench.images import LabeledImages
from ddbench.method import RunContext
from ddbench.seeding import make_generator


def cluster_centers(inputs: Tensor, count: int, seed: int, batch_size: int | None = None) -> Tensor:
    """Return (count, C, H, W) float32 centres of k-means of (n, C, H, W) inputs, from one k-means++ start.

    Args:
        inputs: on the CPU, at least `count`.
        count: clusters.
        seed: of the start, 0..2^32-1.
        batch_size: of mini-batch k-means; None for Lloyd's algorithm on all inputs at once.
    """
    from sklearn.cluster import KMeans, MiniBatchKMeans

    clustering: Any = (
        KMeans(count, n_init="auto", random_state=seed)
        if batch_size is None
        else MiniBatchKMeans(count, batch_size=batch_size, n_init="auto", random_state=seed)
    )
    # In float64, so that what threads add up in another order is the same once it is float32 again.
    centers = clustering.fit(inputs.flatten(1).double().numpy()).cluster_centers_
    return torch.from_numpy(centers).float().view(count, *inputs.shape[1:])


def class_centers(
    config: BackboneConfig,
    train: LabeledImages,
    classes: list[int],
    count: int,
    seed: int,
    ctx: RunContext,
    batch_size: int | None = None,
) -> dict[int, Tensor]:
    """Return by label the centres of a class's encoded images, none mirrored, (count, C, H, W) float32 on the CPU.

    Args:
        config: of the backbone, whose foundation holds the encoded images.
        train: the training split at the backbone's size.
        classes: labels.
        count: clusters of each class, at most its images.
        seed: with the label it decides the start of each clustering.
        ctx: of the run.
        batch_size: as of `cluster_centers`.
    """
    found = {}
    for label in ctx.track(classes, "clustering"):
        inputs = load_inputs(config, train, [label], foundation_of(ctx))
        everything = torch.arange(len(inputs.labels))
        means = inputs.take(everything, torch.zeros(len(everything), dtype=torch.bool), None)
        own = int(torch.randint(2**31, (), generator=make_generator(seed, "clusters", label)))
        found[label] = cluster_centers(means, count, own, batch_size)
    return found
