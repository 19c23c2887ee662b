"""The space in which the minimax criteria compare samples.

Paper: Gu et al., "Efficient Dataset Distillation via Minimax Diffusion", CVPR 2024 (arXiv 2311.15529), which compares
the latents of a VAE by their cosines.
Ours: two spaces for images that are denoised as pixels. There all cosines are near 1, because what images have in
common, their mean, outweighs what tells them apart; the criteria then hardly move anything.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ddbench.diffusion.inputs import InputSource
from ddbench.engine.chunks import in_chunks
from ddbench.errors import BadInputError
from ddbench.features.feature_space import default_extractor, train_extractor
from ddbench.images import DatasetInfo, LabeledImages
from ddbench.method import RunContext
from ddbench.network import Network

SpaceName = Literal["inputs", "centred", "features"]
SAMPLE_PER_CLASS = 64  # the first of a class, for mean, deviation and unit; as many as a memory holds; our choice
EXTRACTOR_SEED = 1
EMBEDDED_AT_ONCE = 64
LEAST_UNIT = 1e-6
LEAST_DEVIATION = 0.05  # of a coordinate, in units of the mean one: border pixels that never change count for nothing


class CriteriaSpace:
    """The denoiser's inputs themselves, flat: the paper's space.

    Attributes:
        unit: what a criterion is divided by, so that a weight means the same in every space: 1 here, as in the paper;
            elsewhere the mean of 1 - cosine over pairs of real images of one class.
        dim: length of a sample, D; None for that of the denoiser's inputs.
    """

    unit = 1.0
    dim: int | None = None

    def project(self, clean: Tensor) -> Tensor:
        """Return samples (B, D) float32 for clean inputs (B, C, H, W), with gradient."""
        return clean.flatten(1)

    def to(self, device: torch.device) -> CriteriaSpace:
        """Return it with what it holds on a device."""
        return self


INPUTS = CriteriaSpace()


class CentredSpace(CriteriaSpace):
    """A space less the mean of real images, each coordinate divided by its deviation.

    Args:
        inputs: real images.
        device: where to compute.
        network: None to compare the inputs themselves, else the network whose features are compared.
        info: of the data set, for the network's normalisation.
    """

    def __init__(
        self, inputs: InputSource, device: torch.device, network: Network | None = None, info: DatasetInfo | None = None
    ) -> None:
        self._network, self._info = network, info
        if network is not None:
            network.eval().requires_grad_(False)
        chosen = torch.cat([_first_of(inputs.labels, label) for label in inputs.labels.unique()])
        with torch.no_grad():
            raw = torch.cat(in_chunks("features", partial(self._raw_of, inputs, device), chosen, EMBEDDED_AT_ONCE))
        deviation = raw.std(0, correction=0)
        self._mean, self._deviation = raw.mean(0), deviation.clamp(min=LEAST_DEVIATION * deviation.mean())
        self.dim = raw.shape[1]
        self.unit = mean_dissimilarity((raw - self._mean) / self._deviation, inputs.labels[chosen].to(device))
        if not self.unit > LEAST_UNIT:
            raise BadInputError(
                f"real images of a class differ by {self.unit:.1g} in the criteria's space: too little to compare "
                "samples by; use criteria_space=inputs"
            )

    def project(self, clean: Tensor) -> Tensor:
        """Return the centred and scaled samples."""
        return (self._raw(clean) - self._mean) / self._deviation

    def to(self, device: torch.device) -> CentredSpace:
        """Return it with what it holds on a device."""
        self._mean, self._deviation = self._mean.to(device), self._deviation.to(device)
        if self._network is not None:
            self._network.to(device)
        return self

    def _raw_of(self, inputs: InputSource, device: torch.device, chosen: Tensor) -> Tensor:
        return self._raw(inputs.take(chosen, torch.zeros(len(chosen), dtype=torch.bool), None).to(device))

    def _raw(self, clean: Tensor) -> Tensor:
        if self._network is None or self._info is None:
            return clean.flatten(1)
        return self._network.embed(self._info.normalise((clean + 1) / 2)).flatten(1)


def space_maker(name: SpaceName, train: LabeledImages, ctx: RunContext) -> Callable[[InputSource], CriteriaSpace]:
    """Return what makes a space by name from the real images of the classes that are trained.

    Args:
        name: `inputs`, `centred`, or `features` of the extractor that sets of this size are measured by, trained on
            another seed: what is optimised is not what measures.
        train: the training split.
        ctx: device and progress; its generator is not used.
    """
    if name == "inputs":
        return lambda inputs: INPUTS
    network = None
    if name == "features":
        network = train_extractor(default_extractor(train.info), train, ctx, seed=EXTRACTOR_SEED)
    return lambda inputs: CentredSpace(inputs, ctx.device, network, train.info)


def mean_dissimilarity(samples: Tensor, labels: Tensor) -> float:
    """Return 1 - cosine of two different samples of one class, averaged over pairs, then over classes; 1 without any.

    Args:
        samples: (N, D).
        labels: (N,) int64.
    """
    means = []
    for label in labels.unique():
        directions = F.normalize(samples[labels == label].double())
        count = len(directions)
        if count > 1:
            cosines = (directions.sum(0).square().sum() - directions.square().sum()) / (count * (count - 1))
            means.append(float(1 - cosines))
    return sum(means) / len(means) if means else 1.0


def _first_of(labels: Tensor, label: Tensor) -> Tensor:
    return (labels == label).nonzero()[:SAMPLE_PER_CLASS, 0]
