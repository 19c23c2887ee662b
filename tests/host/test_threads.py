"""Threads that work is given: torch's own and those of linear algebra, and what is at hand meanwhile."""

from __future__ import annotations

import os

import pytest
import torch
from threadpoolctl import threadpool_info

from ddbench.host import threads
from ddbench.host.threads import given_threads, processors_at_hand, threads_at_hand


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


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs processes bound to a processor")
def test_processors_are_those_that_the_process_is_bound_to():
    own = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {max(own)})
        assert processors_at_hand() == (max(own),)
    finally:
        os.sched_setaffinity(0, own)


@pytest.mark.parametrize(("limit", "most"), [("100000 100000", 1), ("50000 100000", 1), ("max 100000", None)])
def test_a_container_may_have_fewer(limit, most, tmp_path, monkeypatch):
    (tmp_path / "cpu.max").write_text(limit)
    monkeypatch.setattr(threads, "_GROUP", tmp_path)
    assert len(processors_at_hand()) == (most or len(os.sched_getaffinity(0)))
