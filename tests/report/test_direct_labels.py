"""Tests of names beside curves."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddbench.report.direct_labels import LINE, spread
from ddbench.report.plot_style import DASHES, number_rows
from ddbench.report.plots import plots_of
from tests.report._results import only_panel, varied


@given(st.lists(st.floats(0, 1), min_size=1, max_size=int(1 / LINE)))
def test_names_never_overlap_nor_leave_the_plot(wanted):
    wanted.sort()
    places = spread(wanted, LINE)
    assert all(above - below >= LINE - 1e-9 for below, above in pairwise(places))
    assert places[-1] <= 1
    assert places[0] >= -1e-9


def test_names_that_have_room_stay_where_their_curves_end():
    assert spread([0.1, 0.5, 0.9], 0.1) == pytest.approx([0.1, 0.5, 0.9])


@pytest.mark.parametrize(("name", "has_legend"), [("dm", False), ("a_method_of_a_very_long_name", True)])
def test_short_names_stand_beside_their_curves_and_long_ones_in_a_legend(name, has_legend):
    found = [varied(method, ipc, 0, (0.3 + 0.01 * ipc,)) for method in (name, "dc") for ipc in (1, 10)]
    panel = only_panel([*found, varied("full_real", None, 0, (0.9,))])
    figure = plots_of(panel, number_rows([panel]))[0].figure
    assert bool(figure.legends) is has_legend
    if not has_legend:
        assert {text.get_text() for text in figure.axes[0].texts} == {"dm", "dc", "full_real"}


def test_the_line_to_a_name_is_not_drawn_like_a_curve():
    panel = only_panel([varied("dm", 1, 0), varied("dm", 10, 0), varied("dc", 1, 0)])
    axes = plots_of(panel, number_rows([panel]))[0].figure.axes[0]
    connectors = {text.arrow_patch.get_linestyle() for text in axes.texts}
    assert connectors == {":"}
    assert not connectors & set(DASHES)
