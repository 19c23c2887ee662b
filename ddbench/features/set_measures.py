"""How well a few distilled images of one class stand for its real images: formulas on features, in float64.

Papers: Kynkaanniemi, Karras, Laine, Lehtinen, Aila, "Improved Precision and Recall Metric for Assessing Generative
Models", NeurIPS 2019 (arXiv 1904.06991), equations 1 and 2: precision and recall. Naeem, Oh, Uh, Choi, Yoo, "Reliable
Fidelity and Diversity Metrics for Generative Models", ICML 2020 (arXiv 2002.09797), section 3: density and coverage.
Representativeness and diversity are our choice.
Differs from them: one class at a time; k is smaller where a class has fewer than six images; balls are wider by 1e-5 of
the mean length of a real feature (see `TOLERANCE`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

NEIGHBOURS = 5  # source: Naeem et al.; Kynkaanniemi et al. use 3
# The surface of a ball belongs to it, and real images in a distilled set often lie there. The last bits of a feature
# depend on the images that share its forward pass; without a margin they would decide. Our choice.
TOLERANCE = 1e-5
CHUNK_ENTRIES = 2**22  # of a matrix of distances: 32 MiB; our choice


def measure_class(real: Tensor, radii: Tensor, distilled: Tensor) -> dict[str, float]:
    """Return the measures of one class by name; what these numbers of images do not define is left out.

    Args:
        real: (N, D) features of the real images, N at least 1.
        radii: (N,) `neighbour_radii` of them.
        distilled: (M, D) features of the distilled images, any M.

    Returns:
        The mean and the 10th percentile of `best_matches`, as `representativeness` and `representativeness_p10`, with
        what `diversity` and `manifold_measures` give.
    """
    real, radii, distilled = real.double(), radii.double(), distilled.double()
    best = best_matches(real, distilled)
    representativeness = {
        "representativeness": best.mean().item(),
        "representativeness_p10": best.quantile(0.1).item(),
    }
    return representativeness | diversity(distilled) | manifold_measures(real, radii, distilled)


def best_matches(real: Tensor, distilled: Tensor) -> Tensor:
    """Return (N,) cosines of each of the (N, D) real features and its best match among the (M, D) distilled ones.

    They lie in [-1, 1]. Without distilled images they are -1; the cosine with a feature of zeros is 0.
    """
    if len(distilled) == 0:
        return real.new_full((len(real),), -1.0)
    directions = F.normalize(distilled)
    cosines = [(rows @ directions.T).amax(1) for _, rows in _chunks(F.normalize(real), len(distilled))]
    return torch.cat(cosines).clamp(-1, 1)


def diversity(distilled: Tensor) -> dict[str, float]:
    """Return the mean cosine distance, 1 - cosine, of two different images, and of an image to the nearest other one.

    (M, D) features give `diversity` and `diversity_nearest`, both in [0, 2]; fewer than two images give nothing.
    """
    count = len(distilled)
    if count < 2:
        return {}
    directions = F.normalize(distilled)
    total, nearest = 0.0, 0.0
    for start, rows in _chunks(directions, count):
        distances = (1 - rows @ directions.T).clamp(0, 2)
        own = distances.diagonal(start)  # of each image to itself
        total += float(distances.sum() - own.sum())
        own.fill_(torch.inf)
        nearest += float(distances.amin(1).sum())
    return {"diversity": total / (count * (count - 1)), "diversity_nearest": nearest / count}


def neighbour_radii(features: Tensor, neighbours: int = NEIGHBOURS) -> Tensor:
    """Return (n,) float64 Euclidean distances of each of (n, D) features to its k-th nearest other one.

    k is `neighbours`, or n - 1 where there are fewer others; a single feature has the radius 0.
    """
    points = features.double()
    k = min(neighbours, len(points) - 1)
    if k < 1:
        return points.new_zeros(len(points))
    radii = []
    for start, rows in _chunks(points, len(points)):
        distances = _distances(rows, points)
        distances.diagonal(start).fill_(torch.inf)
        radii.append(distances.topk(k, largest=False).values[:, -1])
    return torch.cat(radii)


def manifold_measures(real: Tensor, radii: Tensor, distilled: Tensor) -> dict[str, float]:
    """Return precision, recall, density and coverage of (M, D) distilled against (N, D) real features, both float64.

    Around every real image lies a ball that reaches to its k-th nearest other one, of (N,) `radii`.

    Returns:
        `precision`, the fraction of distilled images that lie in any ball, and `density`, the number of balls that a
        distilled image lies in over k, where M is at least 1; `coverage`, the fraction of balls that hold a distilled
        image; `recall`, the fraction of real images that lie in a ball around a distilled one, where M is at least 2.
        Nothing where N is 1.
    """
    if len(real) < 2:
        return {}
    if len(distilled) == 0:
        return {"coverage": 0.0}
    margin = TOLERANCE * real.norm(dim=1).mean()
    distilled_radii = neighbour_radii(distilled) + margin
    in_real_balls = torch.zeros(len(distilled), dtype=torch.int64, device=real.device)
    covered = recalled = 0
    for start, rows in _chunks(real, len(distilled)):
        distances = _distances(rows, distilled)
        within = distances <= radii[start : start + len(rows), None] + margin
        in_real_balls += within.sum(0)
        covered += int(within.any(1).sum())
        recalled += int((distances <= distilled_radii).any(1).sum())
    k = min(NEIGHBOURS, len(real) - 1)
    measures = {
        "precision": int((in_real_balls > 0).sum()) / len(distilled),
        "density": int(in_real_balls.sum()) / (k * len(distilled)),
        "coverage": covered / len(real),
    }
    return measures if len(distilled) < 2 else measures | {"recall": recalled / len(real)}


def expected_coverage(num_real: int, num_generated: int) -> float:
    """Return the coverage to expect of images that are drawn like the real ones (Naeem et al., lemma 2)."""
    steps = range(1, min(NEIGHBOURS, num_real - 1) + 1)
    return 1 - math.prod((num_real - step) / (num_real + num_generated - step) for step in steps)


def frechet_distance(real: Tensor, generated: Tensor) -> float:
    """Return the squared Frechet distance of two Gaussians with the means and covariances of features.

    With InceptionV3's features it is the FID (Heusel et al., arXiv 1706.08500); its value depends on the extractor and
    grows as images get fewer, so numbers compare only for one extractor and equal counts.

    Args:
        real: (N, D), N at least 2.
        generated: (M, D), M at least 2. The trace of the root of the covariances' product is taken from the (N, M)
            matrix of inner products, whose singular values add up to it, whatever D.
    """
    features = [real.double(), generated.double()]
    means = [rows.mean(0) for rows in features]
    scaled = [(rows - mean) / (len(rows) - 1) ** 0.5 for rows, mean in zip(features, means, strict=True)]
    mean_shift = (means[0] - means[1]).square().sum()
    small, large = sorted(scaled, key=len)
    inner = small @ large.T
    root = torch.linalg.eigvalsh(inner @ inner.T).clamp(min=0).sqrt().sum()
    return float(mean_shift + sum(rows.square().sum() for rows in scaled) - 2 * root)


def _distances(rows: Tensor, points: Tensor) -> Tensor:
    """Return the (n, m) Euclidean distances; in float64 the error of one image to itself is 1e-7 of its length."""
    return torch.cdist(rows, points, compute_mode="use_mm_for_euclid_dist")


def _chunks(features: Tensor, width: int) -> Iterator[tuple[int, Tensor]]:
    """Yield the rows of (n, D) features, each chunk with its first position, for matrices of `width` columns."""
    size = max(1, CHUNK_ENTRIES // width)
    for start in range(0, len(features), size):
        yield start, features[start : start + size]
