"""What an export could not hold, measured."""

from __future__ import annotations

from typing import Any

import torch

from ddbench.exporter import ExportPlan

ROUNDING = 1e-6  # of float32 on the way through mean and std


def lost_to_bytes(plan: ExportPlan) -> dict[str, Any]:
    """Return what clipping to [0, 1] and rounding to 8 bits changes in the pixels; empty where it changes nothing.

    `clipped` is the fraction of values outside 0..1, the changes are in units of that range.
    """
    exact, written = plan.exact, plan.pixels
    if exact.dtype == torch.uint8:
        return {}
    change = (exact.double() - written.double() / 255).abs()
    outside = ((exact < 0) | (exact > 1)).double().mean()
    if float(change.max()) < ROUNDING:
        return {}
    return {
        "clipped": round(float(outside), 6),
        "mean_change": round(float(change.mean()), 6),
        "largest_change": round(float(change.max()), 6),
    }
