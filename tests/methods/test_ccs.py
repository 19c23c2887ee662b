"""Tests of CCS: the shares of strata against the authors' algorithm, and what is left out."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from ddbench.dataset import load_dataset
from ddbench.methods._coresets.training_scores import SCORES_FILE
from ddbench.methods.ccs import cover, share_out
from ddbench.runs.distill import distill

SETTINGS = {"score_network": "convnet-d1-w8", "score_epochs": 2}


def naive_shares(count: int, sizes: list[int]) -> list[int]:
    """Algorithm 1: always the smallest stratum that is left, and an equal share of the budget that is left."""
    left, open_strata, given = count, dict(enumerate(sizes)), [0] * len(sizes)
    while open_strata:
        stratum = min(open_strata, key=lambda at: (open_strata[at], at))
        given[stratum] = min(open_strata[stratum], left // len(open_strata))
        left -= given[stratum]
        del open_strata[stratum]
    return given


@settings(deadline=None, max_examples=80)
@given(sizes=st.lists(st.integers(0, 9), min_size=1, max_size=8), data=st.data())
def test_shares_are_those_of_the_algorithm(sizes, data):
    count = data.draw(st.integers(0, sum(sizes)))
    found = share_out(count, torch.tensor(sizes)).tolist()
    assert found == naive_shares(count, sizes)
    assert sum(found) == count


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32), total=st.integers(1, 30), strata=st.integers(1, 12), data=st.data())
def test_as_many_as_wanted_are_drawn_each_once(seed, total, strata, data):
    count = data.draw(st.integers(1, total))
    draws = torch.Generator().manual_seed(seed)
    scores = torch.rand(total, generator=draws)
    chosen = cover(scores, count, strata, draws).tolist()
    assert len(chosen) == len(set(chosen)) == count


def test_equal_scores_are_one_stratum():
    assert sorted(cover(torch.ones(4), 4, 50, torch.Generator()).tolist()) == [0, 1, 2, 3]


def test_the_hardest_are_left_out_where_enough_remain(own_cache):
    train = load_dataset("digits").train
    made = distill("ccs", "digits", 5, config={**SETTINGS, "hard_fraction": 0.5})
    (path,) = own_cache.rglob(SCORES_FILE)
    margins = load_file(path)["margin"]
    for label in range(10):
        of_class = margins[train.of_class(label)].sort().values
        mine = [float(margins[i]) for i in made.provenance["selected_indices"] if train.labels[i] == label]
        assert min(mine) >= float(of_class[len(of_class) // 2])
    smallest = int(train.class_counts().min())
    everything = distill("ccs", "digits", smallest, config={**SETTINGS, "hard_fraction": 0.5})
    assert len(everything.images) == 10 * smallest
