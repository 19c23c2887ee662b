"""The scale of DD-Ranking's scores."""

from __future__ import annotations

import math


def normalised_score(alpha: float) -> float:
    """Return (e^alpha - e^-1) / (e - e^-1), which lies in 0..1 for alpha in -1..1 (arXiv 2505.13300)."""
    return (math.exp(alpha) - math.exp(-1)) / (math.e - math.exp(-1))
