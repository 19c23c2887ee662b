"""ZCA whitening in float64, as its formula stands."""

from __future__ import annotations

import numpy as np


def naive_fit(pixels: np.ndarray, eps: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean, and U diag(1 / sqrt(s + eps)) U^T of the covariance that divides by N - 1, of (N, D) pixels in [0, 1]."""
    mean = pixels.mean(0)
    covariance = sum(np.outer(row, row) for row in pixels - mean) / (len(pixels) - 1)
    values, vectors = np.linalg.eigh(covariance)
    return mean, vectors @ np.diag(1 / np.sqrt(values.clip(0) + eps)) @ vectors.T
