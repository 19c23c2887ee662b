"""Planted regressions end to end: dm and full_real on digits under `quick`, real runs, the real command."""

import pytest

from ddbench.claims import load_claims
from ddbench.cli.main import main
from ddbench.distilled.dataset import DistilledDataset
from ddbench.distilled.files import load_distilled
from ddbench.host.files import baselines_dir
from ddbench.runs.results_store import read_results, write_lines

FOLDER = baselines_dir() / "results" / "xeon_2_cores"
METHODS = ["dm", "full_real"]
TIMES = "\N{MULTIPLICATION SIGN}1."


@pytest.fixture(scope="module")
def baseline(tmp_path_factory):
    """A baseline recorded from real runs of 25 seeds in six processes."""
    path = tmp_path_factory.mktemp("baseline") / "recorded.toml"
    assert main(["claims", "record", str(FOLDER / "digits_gate.jsonl"), "-o", str(path)]) == 0
    return path


def fresh(seeds=(115, 116, 117)):
    """Real runs of unchanged code with seeds that were not recorded."""
    return [r for r in read_results([FOLDER / "digits_gate_fresh.jsonl"]) if r.distill_seed in seeds]


def judged(baseline, results, tmp_path, capsys, *more):
    """Return exit code, and the printed line of each claim that is not supported, by its verdict and id."""
    write_lines(results, tmp_path / "new.jsonl")
    capsys.readouterr()
    code = main(["claims", str(baseline), str(tmp_path / "new.jsonl"), *more])
    lines = [line for line in capsys.readouterr().out.splitlines() if line.count(": ") >= 2]
    return code, [line for line in lines if line.startswith(("refuted", "not ", "inconclusive"))]


def with_accuracy(result, loss):
    metrics = [
        metric.model_copy(update={"values": tuple(value - loss for value in metric.values)})
        if metric.name == "test_accuracy"
        else metric
        for metric in result.metrics
    ]
    return result.model_copy(update={"metrics": tuple(metrics)})


def with_cost(result, name, factor):
    phases = [
        phase.model_copy(update={"reading": phase.reading.model_copy(update={name: type(old)(old * factor)})})
        for phase in result.phases
        for old in (getattr(phase.reading, name),)
    ]
    return result.model_copy(update={"phases": tuple(phases)})


def test_fresh_seeds_of_unchanged_code_pass_at_least_19_times_of_20(baseline, tmp_path, capsys):
    codes = [judged(baseline, fresh(range(first, first + 3)), tmp_path, capsys)[0] for first in range(115, 175, 3)]
    assert len(codes) == 20
    assert codes.count(0) >= 19


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("plant", "words"),
    [
        (lambda result: with_accuracy(result, 0.03), ("accuracy", "points")),
        (
            lambda result: with_cost(result, "processor_seconds", 1.5),
            ("-processor-seconds", "\N{MULTIPLICATION SIGN}1."),
        ),
        (lambda result: with_cost(result, "seconds", 1.5), ("-seconds", "\N{MULTIPLICATION SIGN}1.")),
        (lambda result: with_cost(result, "peak_host_bytes", 1.3), ("peak-host-bytes", "\N{MULTIPLICATION SIGN}1.3 [")),
    ],
    ids=["accuracy -3 points", "processor time x1.5", "time x1.5", "memory x1.3"],
)
def test_planted_regression_is_refuted_and_said(baseline, tmp_path, capsys, method, plant, words):
    results = [plant(result) if result.method == method else result for result in fresh()]
    code, lines = judged(baseline, results, tmp_path, capsys)
    assert code == 1
    recorded = [claim.id for claim in load_claims(baseline).claims if claim.id.startswith(f"{method}-")]
    planted = [
        name for name in recorded if name.endswith(words[0]) and (words[0] != "-seconds" or "processor" not in name)
    ]
    assert planted
    assert [line.split(": ")[1] for line in lines] == planted
    for line in lines:
        assert line.startswith(f"refuted: {method}-digits")
        assert "recorded" in line
        for word in words:
            assert word in line


@pytest.mark.parametrize("method", METHODS)
def test_changed_protocol_is_not_comparable(baseline, tmp_path, capsys, method):
    results = [
        result.model_copy(update={"protocol_hash": "0123456789ab"}) if result.method == method else result
        for result in fresh()
    ]
    code, lines = judged(baseline, results, tmp_path, capsys)
    assert code == 3
    assert all(line.startswith(f"not comparable: {method}-digits") for line in lines)
    assert "protocol quick@0123456789ab instead of quick@" in lines[0]


def test_cost_of_another_machine_is_not_comparable_but_accuracy_is(baseline, tmp_path, capsys):
    results = [result.model_copy(update={"machine": {"id": "elsewhere"}}) for result in fresh()]
    code, lines = judged(baseline, results, tmp_path, capsys)
    assert code == 3
    assert len(lines) == 10
    assert all("measured on machine elsewhere" in line for line in lines)


def swap_labels(distilled):
    """The same images, each with the label of the next class: a label file of another set."""
    labels = (distilled.labels + 1) % distilled.num_classes
    fields = ("images", "num_classes", "ipc", "space", "provenance")
    return DistilledDataset(labels=labels, **{name: getattr(distilled, name) for name in fields})


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize("method", METHODS)
def test_swapped_label_file_is_refuted(baseline, tmp_path, capsys, method):
    """Real sets whose labels are exchanged, evaluated by `ddbench evaluate` and judged: accuracy falls to nothing."""
    from ddbench import distill, load_dataset

    like = next(result for result in fresh() if result.method == method)
    real, results = load_dataset("digits"), tmp_path / "results"
    config = {**like.config, "steps": 20} if method == "dm" else {}
    made = distill(method, real, like.ipc or 1, 100, config, "cpu")
    swap_labels(made).save(tmp_path / "swapped")
    assert (load_distilled(tmp_path / "swapped").labels != made.labels).all()
    command = ["evaluate", str(tmp_path / "swapped"), "--protocol", "quick", "--students", "1", "--device", "cpu"]
    assert main([*command, "--results", str(results)]) == 0
    (swapped,) = read_results([results])
    assert swapped.config.items() >= like.config.items()
    # One set was trained here; its seeds differ in nothing that could bring the labels back.
    copies = [swapped.model_copy(update={"distill_seed": seed, "key": str(seed)}) for seed in (115, 116, 117)]
    others = [result for result in fresh() if result.method != method]
    code, lines = judged(baseline, copies + others, tmp_path, capsys)
    assert code == 1
    (line,) = [line for line in lines if f"{method}-digits" in line and "-accuracy" in line]
    assert line.startswith("refuted")
    assert swapped.metric("test_accuracy").mean < 0.1


@pytest.mark.slow
@pytest.mark.usefixtures("own_cache")
def test_suspected_regression_is_run_again_before_it_fails(baseline, tmp_path, capsys):
    """A loss that this code does not have is suspected from the results, and gone in the rerun."""
    results = [with_accuracy(result, 0.03) if result.method == "dm" else result for result in fresh()]
    rerun = str(tmp_path / "rerun")
    code, lines = judged(baseline, results, tmp_path, capsys, "--rerun", rerun, "--device", "cpu")
    again = read_results([rerun])
    assert sorted(result.distill_seed for result in again) == [118, 119, 120]
    assert {result.method for result in again} == {"dm"}
    assert code == 0
    assert [line for line in lines if "confirmed by a rerun" in line] == []


def test_rerun_covers_the_entries_of_refuted_claims_with_fresh_seeds(baseline):
    from ddbench.claims import Sources, judge, load_claims
    from ddbench.claims.rerunning import confirm, suites_to_rerun

    file = load_claims(baseline)
    planted = [with_accuracy(result, 0.03) if result.method == "dm" else result for result in fresh()]
    first = judge(file, planted)
    (suite,) = suites_to_rerun(file, first, Sources(tuple(planted)))
    (entry,) = suite.methods
    assert (entry.name, entry.settings["steps"]) == ("dm", 20)
    assert [cell.distill_seed for cell in suite.cells()] == [118, 119, 120]
    healed, same = fresh((118, 119, 120)), [with_accuracy(r, 0.03) for r in fresh((118, 119, 120))]
    (cleared,) = [v for v in confirm(file, first, healed) if "by a rerun" in v.moved]
    assert (cleared.verdict, cleared.moved.startswith("suspected at first, not confirmed")) == ("supported", True)
    (confirmed,) = [v for v in confirm(file, first, same) if "by a rerun" in v.moved]
    assert (confirmed.verdict, confirmed.moved.startswith("confirmed by a rerun")) == ("refuted", True)
