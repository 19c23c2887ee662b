"""Tests of pausing the collection of garbage."""

from __future__ import annotations

import gc

import pytest

from ddbench.host.collection import collection_paused


@collection_paused()
def fail() -> None:
    raise KeyError(gc.isenabled())


def test_it_is_paused_inside_and_on_again_after_an_error():
    with pytest.raises(KeyError, match="False"):
        fail()
    assert gc.isenabled()


def test_within_another_pause_it_stays_paused():
    with collection_paused():
        with collection_paused():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
