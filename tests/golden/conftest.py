"""How golden tests judge and keep differences."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import pytest
import torch

from ddbench import images
from ddbench.distilled import dataset

Agreement = Callable[[Mapping[str, float], float], None]


@pytest.fixture
def agreement(request: pytest.FixtureRequest) -> Agreement:
    """A function that fails where a relative difference is too large; `--junit-xml=FILE` writes all of them down."""

    def agree(missed: Mapping[str, float], within: float) -> None:
        assert missed
        request.node.user_properties += missed.items()
        assert {name: missed[name] for name in missed if not missed[name] <= within} == {}, f"largest allowed: {within}"

    return agree


@pytest.fixture
def in_double(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Networks and draws are float64, and distilled sets may be."""
    monkeypatch.setattr(dataset, "as_set_images", lambda given, *_: given.detach())
    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    images._per_channel.cache_clear()
    yield
    torch.set_default_dtype(usual)
    images._per_channel.cache_clear()  # it keeps tensors of the default type
