"""Tests of the plot of gains by label regime."""

from ddbench.report.plot_style import number_rows
from ddbench.report.plots import inline_svg, plots_of
from ddbench.report.regimes import gains_to_plot, plot_regimes
from ddbench.tables.table import make_table
from tests.analysis.test_regime_gains import result


def panel_of(*results):
    (panel,) = make_table(results).panels
    return panel


def several(method="dm", shift=0.0):
    found = []
    for seed in range(3):
        parts = [result(seed, [shift + seed / 100], regime, method) for regime in ("hard", "online")]
        metrics = tuple(metric for part in parts for metric in part.metrics)
        found.append(parts[0].model_copy(update={"metrics": metrics, "key": f"{method}{seed}"}))
    return found


def test_every_regime_has_a_place_and_every_method_a_marker_with_its_interval():
    panel = panel_of(*several("dm", 0.02), *several("dc", -0.03), *several("random_real"))
    gains = gains_to_plot(panel)
    assert {each.entry.method for each in gains} == {"dm", "dc"}
    figure = plot_regimes(panel, number_rows([panel]))
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["hard", "online"]
    heights = sorted(y for container in axes.containers for y in container.lines[0].get_ydata())
    assert heights == sorted(each.gain for each in gains)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["dc", "dm"]
    assert "points" in axes.get_ylabel()


def test_a_report_has_it_where_there_are_gains_and_not_otherwise():
    with_gains, without = panel_of(*several()), panel_of(result(0, [0.1]))
    (plot,) = (plot for plot in plots_of(with_gains, number_rows([with_gains])) if plot.name == "regimes")
    assert inline_svg(plot, "x").startswith("<svg")
    assert [plot.name for plot in plots_of(without, number_rows([without]))] == []
