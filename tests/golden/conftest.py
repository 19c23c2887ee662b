"""How golden tests judge and keep differences."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

Agreement = Callable[[Mapping[str, float], float], None]


@pytest.fixture
def agreement(request: pytest.FixtureRequest) -> Agreement:
    """A function that fails where a relative difference is too large; `--junit-xml=FILE` writes all of them down."""

    def agree(missed: Mapping[str, float], within: float) -> None:
        assert missed
        request.node.user_properties += missed.items()
        assert {name: missed[name] for name in missed if not missed[name] <= within} == {}, f"largest allowed: {within}"

    return agree
