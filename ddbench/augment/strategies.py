"""The DSA strategy of a data set: the paper's, without mirror images where those are of no class of the set.

Checked against: VICO-UoE/DatasetCondensation, which leaves `flip` out for data sets of digits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # which imports torch, and listing protocols does not
    from ddbench.images import DatasetInfo

DSA_STRATEGY = "color_crop_cutout_flip_scale_rotate"
DSA_STRATEGY_NO_FLIP = "color_crop_cutout_scale_rotate"


def dsa_strategy(info: DatasetInfo) -> str:
    """Return the DSA strategy for a data set."""
    return DSA_STRATEGY if info.may_be_mirrored else DSA_STRATEGY_NO_FLIP


def without_flip(strategy: str) -> str:
    """Return a DSA strategy without `flip`; empty, which is none, where nothing remains."""
    return "_".join(name for name in strategy.split("_") if name != "flip")
