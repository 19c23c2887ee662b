"""Tests of the plots of losses, from logs as cells keep them."""

from __future__ import annotations

import pytest

from ddbench.report.losses import POINTS, find_logs, plots_of_losses, read_losses
from tests.report._results import only_panel, varied


def write_log(folder, lines):
    folder.mkdir(parents=True)
    (folder / "log.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "result.json").write_text("{}", encoding="utf-8")
    return folder / "log.txt"


def test_losses_are_read_in_the_order_of_their_steps_and_what_is_no_number_is_not(tmp_path):
    lines = ["# begins", "loss[10] = 0.25", "loss[0] = 1.5", "loss[20] = nan", "loss[30] = inf", "loss[x] = 1"]
    path = write_log(tmp_path / "a", [*lines, "images[0] = (10, 3, 8, 8)", "student_lr[0] = 0.1", "loss[40] = 1e-3"])
    assert read_losses(path) == ((0.0, 10.0, 40.0), (1.5, 0.25, 0.001))
    assert read_losses(tmp_path / "none.txt") == ((), ())


def test_many_losses_become_means_of_neighbours(tmp_path):
    path = write_log(tmp_path / "a", [f"loss[{step}] = {step}" for step in range(1001)])
    steps, values = read_losses(path)
    assert len(steps) <= POINTS
    assert steps == values
    assert sum(values[:-1]) / len(values[:-1]) == pytest.approx(sum(range(1000)) / 1000, rel=0.01)


def test_a_method_with_logs_has_one_plot_with_a_line_for_each_ipc(tmp_path):
    results = [varied(method, ipc, seed) for method in ("dm", "random_real") for ipc in (1, 10) for seed in (0, 1)]
    for result in results:
        lines = [f"loss[{step}] = {1 / (step + 1)}" for step in range(12)] if result.method == "dm" else ["no loss"]
        write_log(tmp_path / result.key, lines)
    logs = find_logs([tmp_path])
    assert set(logs) == {result.key for result in results}
    (plot,) = plots_of_losses(only_panel(results), logs)
    assert (plot.method, plot.caption) == ("dm", "dm: loss by step, distillation seed 0")
    axes = plot.figure.axes[0]
    assert [line.get_label() for line in axes.get_lines()] == ["IPC 1", "IPC 10"]
    assert axes.get_yscale() == "log"
    assert plots_of_losses(only_panel(results), {}) == []


def test_numbers_of_the_logarithmic_axis_are_read_as_they_stand(tmp_path):
    result = varied("dm", 1, 0)
    path = write_log(tmp_path / "a", [f"loss[{step}] = {10.0**-step}" for step in range(3)])
    (plot,) = plots_of_losses(only_panel([result]), {result.key: path})
    plot.figure.canvas.draw()
    texts = {label.get_text() for label in plot.figure.axes[0].get_yticklabels()}
    assert {"1", "0.1", "0.01"} <= texts
    assert not any("$" in text for text in texts)
