"""Tests of gains by label regime: paired, with an interval over seeds, and a verdict."""

import pytest
from scipy import stats

from ddbench.analysis.aggregate import make_entries
from ddbench.analysis.regime_gains import is_of_regimes, regime_gains
from ddbench.records import Metric, Result
from ddbench.tables.formats import render
from ddbench.tables.table import make_table
from ddbench.training_recipe import REGIMES


def result(seed, gains, regime="soft", method="dm"):
    def metric(name, values, unit="fraction"):
        return Metric(name=f"{name}[{regime}]", unit=unit, higher_is_better=True, values=tuple(values))

    return Result(
        key=f"{seed:016x}", method=method, dataset="digits", ipc=1, network="mlp", students=len(gains),
        distill_seed=seed, eval_seed=0, config={}, protocol="quick", protocol_hash="x", status="ok", label_mode="hard",
        metrics=(
            metric("accuracy", [0.5 + gain for gain in gains]), metric("random_accuracy", [0.5] * len(gains)),
            metric("gain", gains), metric("label_bytes", [4000.0], "bytes"),
        ),
    )  # fmt: skip


def gains_of(*results):
    return regime_gains(make_entries(results, with_hash=False))


def test_the_interval_is_students_over_seeds():
    means = [0.02, 0.05, 0.035]
    (found,) = gains_of(*(result(seed, [mean - 0.01, mean + 0.01]) for seed, mean in enumerate(means)))
    low, high = stats.t.interval(0.95, 2, loc=100 * sum(means) / 3, scale=stats.sem([100 * mean for mean in means]))
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.gain == pytest.approx(3.5)
    assert (found.verdict, found.over, found.label_bytes) == ("unclear", "seeds", 4000)


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [([0.02, 0.021, 0.022], "gains"), ([-0.02, -0.021, -0.022], "loses"), ([0.02, -0.02, 0.001], "unclear")],
)
def test_the_verdict_is_where_zero_lies(gains, verdict):
    (found,) = gains_of(*(result(seed, [gain]) for seed, gain in enumerate(gains)))
    assert found.verdict == verdict


def test_one_seed_has_an_interval_over_its_students_and_one_student_none():
    (found,) = gains_of(result(0, [0.01, 0.02, 0.03]))
    assert found.over == "students"
    assert found.low is not None
    (alone,) = gains_of(result(0, [0.01]))
    assert (alone.verdict, alone.low, alone.high) == ("too few", None, None)


def test_tables_have_them_in_a_part_of_their_own():
    results = [result(seed, [0.02 + seed / 1000], regime) for seed in range(3) for regime in ("soft",)]
    table = make_table(results)
    assert not len(table.panels[0].others)
    text = render(table, "md")
    assert "Gain over random real images, by labels (points)" in text
    assert "| soft   | dm" in text
    assert "2.1" in text
    assert "gains" in text
    assert "3.9 KiB" in text
    for form in ("latex", "html", "csv", "json", "terminal"):
        assert render(table, form)


def test_regimes_stand_from_the_cheapest_labels_to_the_dearest_and_own_ones_are_explained():
    def panel_of(*regimes):
        metrics = tuple(metric for regime in regimes for metric in result(0, [0.02], regime).metrics)
        return make_table([result(0, [0.02]).model_copy(update={"metrics": metrics})]).panels[0]

    panel = panel_of("online", "soft, teacher of 3 epochs", "hard")
    assert list(panel.regimes["labels"]) == ["hard", "soft, teacher of 3 epochs", "online"]
    assert not [note for note in panel.notes if "Under own labels" in note]
    with_own = panel_of("online", "soft, teacher of 3 epochs", "hard", "own")
    assert list(with_own.regimes["labels"])[1] == "own"
    assert [note for note in with_own.notes if "Under own labels random images have a teacher's" in note]
    assert REGIMES == ("hard", "own", "soft", "online")


def test_names_of_regimes_are_known():
    assert is_of_regimes("gain[online, teacher of 3 epochs]")
    assert not is_of_regimes("coverage[convnet-d1]")
    assert not is_of_regimes("test_accuracy[mlp]")
