"""Tests of mean ranks, with the worked example of Demšar's paper."""

from __future__ import annotations

import pytest

from ddbench.analysis.ranks import rank_methods
from ddbench.tables.table import make_table
from tests.report._results import only_panel, varied

# Table 6 of Demšar, JMLR 7, 2006: area under the curve of four learners on fourteen data sets. Its ranks come from more
# digits than it prints: on `voting` the third learner stands before the fourth.
PAPER = """
adult 0.763 0.768 0.771 0.798
breast 0.599 0.591 0.590 0.569
wisconsin 0.954 0.971 0.968 0.967
cmc 0.628 0.661 0.654 0.657
ionosphere 0.882 0.888 0.886 0.898
iris 0.936 0.931 0.916 0.931
liver 0.661 0.668 0.609 0.685
lung 0.583 0.583 0.563 0.625
lymphography 0.775 0.838 0.866 0.875
mushroom 1.000 1.000 1.000 1.000
tumor 0.940 0.962 0.965 0.962
rheum 0.619 0.666 0.614 0.669
voting 0.972 0.981 0.97501 0.975
wine 0.957 0.978 0.946 0.970
"""
LEARNERS = ("c45", "c45-m", "c45-cf", "c45-m-cf")


def panels(columns, ipc=10):
    """Entries by data set from accuracies by data set and method."""
    return [
        only_panel([varied(method, ipc, 0, (value,), dataset=dataset) for method, value in column.items()]).entries
        for dataset, column in columns.items()
    ]


def paper():
    lines = (line.split() for line in PAPER.strip().splitlines())
    return {name: dict(zip(LEARNERS, map(float, values), strict=True)) for name, *values in lines}


def test_the_papers_example_has_the_papers_ranks_and_critical_difference():
    (ranks,) = rank_methods(panels(paper()))
    assert dict(ranks.methods) == pytest.approx(
        {"c45": 3.143, "c45-m": 2.000, "c45-cf": 2.893, "c45-m-cf": 1.964}, abs=5e-4
    )
    assert ranks.methods[0][0] == "c45-m-cf"
    assert ranks.critical_difference == pytest.approx(1.25, abs=5e-3)
    assert 0.01 < ranks.p_value < 0.02  # the paper's 3.69 for F is without the correction for ties
    assert ranks.groups == ((0, 3),)  # 1.179 between best and worst: the paper finds no difference by this test


def test_methods_that_differ_stand_in_groups_of_their_own():
    columns = {f"d{n}": {"a": 0.9, "b": 0.8, "c": 0.7, "d": 0.6 + 0.001 * n} for n in range(12)}
    (ranks,) = rank_methods(panels(columns))
    assert [rank for _, rank in ranks.methods] == [1, 2, 3, 4]
    assert ranks.p_value < 1e-6
    assert ranks.groups == ((0, 1), (1, 2), (2, 3))


def test_methods_without_all_data_sets_are_left_out_and_four_data_sets_are_too_few():
    columns = {f"d{n}": {"a": 0.9, "b": 0.8 - 0.01 * n, "c": 0.7 + 0.02 * n} for n in range(6)}
    columns["d0"]["d"] = 0.5
    (ranks,) = rank_methods(panels(columns))
    assert ranks.left_out == ("d",)
    assert len(ranks.datasets) == 6
    assert rank_methods(panels({name: columns[name] for name in list(columns)[:4]})) == ()


def test_equal_methods_have_no_small_p_value():
    (ranks,) = rank_methods(panels({f"d{n}": dict.fromkeys("abc", 0.5) for n in range(5)}))
    assert {rank for _, rank in ranks.methods} == {2.0}
    assert ranks.p_value == 1.0


def test_a_data_set_whose_name_stands_for_two_data_does_not_count():
    columns = {f"d{n}": {"a": 0.9, "b": 0.8, "c": 0.7} for n in range(5)}
    assert rank_methods([*panels(columns), *panels({"d0": columns["d0"]})]) == ()


def test_methods_under_several_contents_of_a_protocol_are_not_ranked_against_each_other():
    found = [
        varied(method, 10, 0, (value,), dataset=f"d{n}", protocol_hash=content, key=f"{method}-{n}-{content}")
        for n in range(5)
        for content in ("0" * 12, "1" * 12)
        for method, value in (("a", 0.9), ("b", 0.8), ("c", 0.7))
    ]
    mixed = [panel.entries for panel in make_table(found, mix_protocols=True).panels]
    one, other = rank_methods(mixed)
    assert [method for method, _ in one.methods] == [method for method, _ in other.methods] == ["a", "b", "c"]
    assert {one.protocol_hash, other.protocol_hash} == {"0" * 12, "1" * 12}
    parts = [result for result in found if (result.dataset in ("d0", "d1")) == (result.protocol_hash[0] == "0")]
    assert rank_methods(panel.entries for panel in make_table(parts, mix_protocols=True).panels) == ()
