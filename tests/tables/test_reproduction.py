"""Measured accuracies beside published ones: the verdict, and rows that are not at the published settings."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from ddbench.analysis.aggregate import TIMES
from ddbench.analysis.published import find_published
from ddbench.method import config_of, make_method
from ddbench.records import Metric
from ddbench.runs.presets import preset_settings
from tests.tables._made import make_result, notes_of, only_panel

CIFAR = {"dataset": "cifar10", "dataset_fingerprint": "", "network": "convnet-d3", "protocol": "dsa"}
PUBLISHED = 26.0  # dm at IPC 1, with a spread of 0.8


def dm(*accuracies: float, ipc: int = 1, **settings):
    config = config_of(make_method("dm", {**preset_settings("dm_cifar10_ipc1", "dm", {}), **settings}))
    return [
        make_result("dm", ipc=ipc, seed=seed, values=(value,), config=config, **CIFAR)
        for seed, value in enumerate(accuracies)
    ]


def beside(results) -> dict[str, str]:
    (row,) = only_panel(results, published=True).published.to_dict("records")
    return row


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ((0.259, 0.264, 0.269), "reproduced"),
        ((0.284, 0.285, 0.286), "higher"),
        ((0.234, 0.235, 0.236), "lower"),
        ((0.234, 0.264, 0.204), "reproduced"),  # a wide interval excludes nothing
        ((0.2,), "too few"),
    ],
)
def test_the_verdict_follows_from_the_interval_and_the_published_spread(values, verdict):
    row = beside(dm(*values))
    assert row["verdict"] == verdict
    assert row["diff"] == f"{100 * np.mean(values) - PUBLISHED:+.1f}"
    assert row["published"] == "26.0 ± 0.8 [1]"


def test_the_interval_is_students_t_over_distillation_seeds():
    values = np.array([25.9, 26.4, 27.5])
    row = beside(dm(*(values / 100)))
    half = stats.t.ppf(0.975, 2) * values.std(ddof=1) / np.sqrt(3)
    assert row["ours, 95 %"] == f"26.6 [{values.mean() - half:.1f}, {values.mean() + half:.1f}]"
    assert row["n"] == f"3{TIMES}1"


def test_one_set_has_an_interval_over_its_students_and_a_note_says_so():
    (one,) = dm(0.26)
    students = make_result("dm", ipc=1, values=(0.25, 0.26, 0.27), config=one.config, **CIFAR)
    assert beside([students])["n"] == f"1{TIMES}3"
    assert "over its students" in notes_of([students], published=True)


def test_a_cut_run_stands_in_no_published_column():
    cut = dm(0.26, 0.27, steps=1000)
    panel = only_panel(cut, published=True)
    assert panel.published.empty
    assert panel.accuracy["IPC 1 published"].tolist() == ["settings differ"]
    assert "dm, IPC 1: not at the published settings" in " ".join(panel.notes)
    assert "steps 1000 instead of 20000" in " ".join(panel.notes)
    assert panel.rows[0]["published_verdict"] == "settings differ"
    assert panel.rows[0]["published_difference"] is None


def test_a_cut_run_stands_in_no_column_of_another_protocol_either():
    config = config_of(make_method("dc", {"steps": 60}))
    panel = only_panel([make_result("dc", ipc=1, config=config, **CIFAR)], published=True)
    assert panel.accuracy["IPC 1 published"].tolist() == ["settings differ"]


def test_an_added_setting_counts_though_its_default_is_in_no_record():
    settings = {**preset_settings("dc_cifar10_ipc1", "dc", {}), "real_precision": "bf16"}
    half = make_result("dc", ipc=1, config=config_of(make_method("dc", settings)), **{**CIFAR, "protocol": "dc"})
    assert "real_precision bf16 instead of fp32" in notes_of([half], published=True)
    settings = {**preset_settings("minimax_imagewoof_ipc10", "minimax", {}), "image_size": None}
    fields = {"dataset": "imagewoof", "dataset_fingerprint": "", "network": "resnet_ap10", "protocol": "imagenet-hard"}
    plain = make_result("minimax", ipc=50, config=config_of(make_method("minimax", settings)), **fields)
    assert "image_size None instead of 256" in notes_of([plain], published=True)


def test_defaults_give_no_verdict_where_the_published_settings_are_not_known():
    fields = {**CIFAR, "protocol": "dc", "config": config_of(make_method("herding"))}
    herded = [make_result("herding", ipc=1, seed=n, values=(0.2 + n / 100,), **fields) for n in range(3)]
    assert beside(herded)["verdict"] == "settings not known"
    assert "published settings are not known here: herding, IPC 1" in notes_of(herded, published=True)


def test_a_method_without_settings_needs_none():
    drawn = [make_result("random_real", ipc=1, seed=n, values=(0.15 + n / 1000,), **CIFAR) for n in range(3)]
    assert beside(drawn)["verdict"] == "reproduced"


def test_a_number_that_nobody_has_read_gives_no_verdict():
    fields = {**CIFAR, "dataset": "mnist", "config": {}}
    results = [make_result("full_real", ipc=None, seed=n, values=(0.99 + n / 1000,), **fields) for n in (0, 1)]
    assert beside(results)["verdict"] == "unverified"


def test_a_method_that_is_not_registered_has_no_known_settings_and_is_compared():
    results = [make_result("pad", ipc=1, seed=s, values=(v,), **CIFAR) for s, v in enumerate((0.46, 0.47))]
    assert "settings differ" not in only_panel(results, published=True).accuracy.to_string()


def test_reruns_of_others_stand_beside_the_papers_number():
    config = config_of(make_method("mtt", preset_settings("mtt_cifar10_ipc1", "mtt", {})))
    fields = {**CIFAR, "protocol": "mtt"}
    results = [
        make_result("mtt", ipc=1, seed=s, values=(v,), config=config, **fields) for s, v in enumerate((0.46, 0.47))
    ]
    row = beside(results)
    assert row["published"].startswith("46.3 ± 0.8")
    assert "45.75" in row["reruns"]


def test_the_best_of_several_tests_is_compared_with_the_best_that_a_paper_prints():
    of_rded = {**CIFAR, "network": "convnet-d3-bn", "protocol": "rded"}
    published = find_published("rded", "cifar10", 10, "convnet-d3-bn", "rded").shown.value / 100
    results = []
    for seed in range(3):
        last = make_result("rded", ipc=10, seed=seed, values=(published - 0.05,), **of_rded)
        best = Metric(name="test_accuracy_best", unit="fraction", higher_is_better=True, values=(published,))
        results.append(last.model_copy(update={"metrics": (*last.metrics, best)}))
    assert beside(results)["diff"] == "+0.0"
    assert "selected on the test set" in notes_of(results, published=True)
    plain = [result.model_copy(update={"metrics": result.metrics[:-1]}) for result in results]
    assert beside(plain)["diff"] == "-5.0"
    assert "ours the last epoch's: rded, IPC 10" in notes_of(plain, published=True)
    assert "selected on the test set" not in notes_of(plain, published=True)
    assert beside([*results[:2], plain[2]])["diff"] == "-5.0"
