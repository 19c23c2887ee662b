"""Recipes: what authors have for images of one size, of which settings may change a part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, TypeVar

from ddbench.images import DatasetInfo

R = TypeVar("R")  # a dataclass


def recipe_for(recipes: Mapping[int, R], info: DatasetInfo, config: object) -> R:
    """Return the recipe for a data set's images, with those fields that `config` has and that are not None.

    Args:
        recipes: by the largest side of images, in pixels and rising; the last one is for all that are larger.
        info: of the data set.
        config: settings with names as the recipe's fields.
    """
    usual: Any = next((recipe for side, recipe in recipes.items() if info.image_size <= side), [*recipes.values()][-1])
    given = {field.name: getattr(config, field.name, None) for field in fields(usual)}
    found: R = replace(usual, **{name: value for name, value in given.items() if value is not None})
    return found
