"""What `dsa` and `quick` say by name: part of their hash since before data sets said whether they may be mirrored."""

from __future__ import annotations

from ddbench.augment.strategies import DSA_STRATEGY_NO_FLIP

AUGMENTATION_FOR = dict.fromkeys(("digits", "mnist", "svhn"), DSA_STRATEGY_NO_FLIP)
