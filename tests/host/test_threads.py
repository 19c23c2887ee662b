"""Threads that work is given: torch's own and those of linear algebra, and what is at hand meanwhile."""

from __future__ import annotations

import pytest
import torch
from threadpoolctl import threadpool_info

from ddbench.host.threads import given_threads, threads_at_hand


def pools():
    return {(pool["user_api"], pool["internal_api"]): pool["num_threads"] for pool in threadpool_info()}


def test_work_has_its_threads_and_others_have_theirs_back(monkeypatch):
    before, pools_before = torch.get_num_threads(), pools()
    with given_threads(3):
        assert torch.get_num_threads() == 3
        assert threads_at_hand() == before
        assert set(pools().values()) <= {1, 3}  # a library may be built for one thread
        with given_threads(1):
            assert torch.get_num_threads() == 1
            assert set(pools().values()) == {1}
            assert threads_at_hand() == before
        assert torch.get_num_threads() == 3
    assert (torch.get_num_threads(), pools()) == (before, pools_before)


def test_an_error_gives_them_back_too():
    before = torch.get_num_threads()
    with pytest.raises(RuntimeError, match="on purpose"), given_threads(5):
        raise RuntimeError("on purpose")
    assert torch.get_num_threads() == before == threads_at_hand()
