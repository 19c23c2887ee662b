"""Verdicts: each kind of claim supported, refuted and undecided; the family's correction; what is never judged."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddbench.claims import Sources, exit_code, judge
from ddbench.claims.sources import SavedBenchmark
from ddbench.errors import BadInputError
from ddbench.records import MachineLoad, Phase, Reading
from tests.claims._made import accuracy, make_costs, make_result, make_results, write_claims

CELL = 'cell = { method = "dm", ipc = 10 }'
RANDOM = 'against = { method = "random_real" }'
GOOD, BAD = [92.0, 92.6, 91.8, 92.4, 92.2], [80.0, 80.9, 79.8, 80.3, 80.5]


def one(tmp_path, claim, results):
    (verdict,) = judge(write_claims(tmp_path, claim), results)
    return verdict


def both(ours, theirs):
    return [*make_results(ours), *make_results(theirs, method="random_real", config={})]


@pytest.mark.parametrize(
    ("bound", "value", "word"),
    [
        ("within", 92.0, "supported"),
        ("within", 80.0, "refuted"),
        ("within", 91.0, "inconclusive"),
        ("at_least", 92.0, "supported"),
        ("at_least", 95.0, "refuted"),
        ("at_least", 93.2, "inconclusive"),
        ("at_most", 92.0, "supported"),
        ("at_most", 90.0, "refuted"),
        ("at_most", 91.2, "inconclusive"),
    ],
)
def test_absolute_claims(tmp_path, bound, value, word):
    claim = f'kind = "absolute"\nvalue = {value}\nmargin = 1.0\nbound = "{bound}"\n{CELL}'
    verdict = one(tmp_path, claim, make_results(GOOD))
    assert verdict.verdict == word
    assert verdict.effect == pytest.approx(92.2 - value)
    assert verdict.low < verdict.effect < verdict.high
    assert verdict.n == (5,)
    assert "92.2 %" in verdict.moved


@pytest.mark.parametrize("paired", ["true", "false"])
@pytest.mark.parametrize(("ours", "theirs", "word"), [(GOOD, BAD, "supported"), (BAD, GOOD, "refuted")])
def test_relative_claims(tmp_path, paired, ours, theirs, word):
    verdict = one(tmp_path, f'kind = "relative"\npaired = {paired}\n{CELL}\n{RANDOM}', both(ours, theirs))
    assert verdict.verdict == word
    assert abs(verdict.effect) == pytest.approx(11.9)
    assert verdict.n == ((5,) if paired == "true" else (5, 5))


def test_relative_claim_is_undecided_where_seeds_disagree(tmp_path):
    verdict = one(tmp_path, f'kind = "relative"\n{CELL}\n{RANDOM}', both(GOOD, [95.0, 90.0, 93.0, 90.5, 91.0]))
    assert verdict.verdict == "inconclusive"
    assert exit_code([verdict]) == 3


def test_a_loss_inside_the_margin_never_refutes(tmp_path):
    slightly_worse = [value - 0.5 for value in GOOD]
    claim = f'kind = "relative"\nmargin = 1.0\n{CELL}\n{RANDOM}'
    assert one(tmp_path, claim, both(slightly_worse, GOOD)).verdict == "supported"
    assert one(tmp_path, claim.replace("1.0", "0.0"), both(slightly_worse, GOOD)).verdict == "refuted"
    assert one(tmp_path, claim.replace("1.0", "-5.0"), both(GOOD, BAD)).verdict == "supported"


def test_lower_is_better_turns_the_comparison_round(tmp_path):
    def gap(value):
        (metric,) = accuracy(value)
        return (metric.model_copy(update={"name": "gap", "higher_is_better": False}),)

    results = [make_result(seed, metrics=gap(value)) for seed, value in enumerate(BAD)]
    results += [make_result(seed, method="random_real", metrics=gap(value)) for seed, value in enumerate(GOOD)]
    assert one(tmp_path, f'kind = "relative"\nmetric = "gap"\n{CELL}\n{RANDOM}', results).verdict == "supported"


@pytest.mark.parametrize(("limit", "word"), [(0.6, "supported"), (0.4, "refuted"), (0.5, "inconclusive")])
def test_cost_ratio_between_two_entries(tmp_path, limit, word):
    results = make_costs([1.0, 1.04, 0.97, 1.02, 0.98]) + make_costs([2.0, 2.0, 2.02, 1.98, 2.01], method="mtt")
    claim = f'kind = "cost"\nmetric = "distill_seconds"\nlimit = {limit}\n{CELL}\nagainst = {{ method = "mtt" }}'
    verdict = one(tmp_path, claim, results)
    assert verdict.verdict == word
    assert verdict.effect == pytest.approx(0.5, abs=0.01)
    assert "distill_seconds 1 s for dm" in verdict.moved


def by_ipc(costs):
    return [result for ipc, values in costs.items() for result in make_costs(values, ipc=ipc)]


@pytest.mark.parametrize(
    ("law", "costs", "word"),
    [
        ("independent", {1: [2.0, 2.02, 1.98], 10: [2.01, 2.0, 2.03], 50: [2.0, 1.99, 2.02]}, "supported"),
        ("independent", {1: [2.0, 2.02, 1.98], 10: [2.9, 3.0, 3.1], 50: [4.0, 4.1, 4.2]}, "refuted"),
        ("independent", {1: [2.0, 3.0, 1.0], 10: [2.9, 1.5, 3.1], 50: [1.0, 4.1, 2.2]}, "inconclusive"),
        ("linear", {1: [1.0, 1.02, 0.98], 10: [10.1, 9.9, 10.0], 50: [50.0, 49.0, 51.0]}, "supported"),
        ("linear", {1: [1.0, 1.02, 0.98], 10: [1.1, 0.99, 1.0], 50: [1.0, 1.01, 1.1]}, "refuted"),
        ("linear", {1: [1.0, 5.0, 0.3], 10: [10.0, 2.0, 30.0], 50: [50.0, 9.0, 90.0]}, "inconclusive"),
    ],
)
def test_scaling_claims(tmp_path, law, costs, word):
    claim = 'kind = "scaling"\nmetric = "distill_seconds"\ntolerance = 0.2\nipc = [1, 10, 50]\n'
    assert one(tmp_path, f'{claim}cell = {{ method = "dm" }}\nlaw = "{law}"', by_ipc(costs)).verdict == word


@pytest.mark.parametrize(
    ("ratios", "word"),
    [([2.0, 2.1, 1.9], "supported"), ([1.2, 1.25, 1.22], "refuted"), ([1.3, 2.2, 1.6], "inconclusive")],
)
def test_speed_claims_read_what_benchmarks_noted(tmp_path, ratios, word):
    saved = tuple(SavedBenchmark("t.py::test_a", {"ratio": ratio}) for ratio in ratios)
    others = (SavedBenchmark("t.py::test_b", {"ratio": 9.0}), SavedBenchmark("t.py::test_a", {"peaks": [1]}))
    claim = 'kind = "speed"\nbenchmark = "t.py::test_a"\nat_least = 1.5'
    verdict = one(tmp_path, claim, Sources((), saved + others))
    assert (verdict.verdict, verdict.n) == (word, (3,))
    assert one(tmp_path, claim.replace("test_a", "test_c"), Sources((), saved)).verdict == "not measured"


RECORDED = [92.0, 92.6, 91.8, 92.4, 92.2, 92.1, 92.5, 91.9]
GATE = f'kind = "absolute"\nbound = "at_least"\nmargin = 1.0\nrecorded = {RECORDED}\n{CELL}'


@pytest.mark.parametrize(
    ("loss", "word"), [(0.0, "supported"), (0.9, "supported"), (3.0, "refuted"), (-5.0, "supported")]
)
def test_recorded_accuracy_is_a_gate(tmp_path, loss, word):
    verdict = one(tmp_path, GATE, make_results([value - loss for value in GOOD]))
    assert verdict.verdict == word
    assert verdict.n == (5, 8)
    assert f"recorded {sum(RECORDED) / 8:.4g} %" in verdict.moved
    assert "limit -1 points" in verdict.moved


@pytest.mark.parametrize(
    ("factor", "word"), [(1.0, "supported"), (1.1, "supported"), (1.5, "refuted"), (0.5, "supported")]
)
def test_recorded_cost_is_a_gate(tmp_path, factor, word):
    claim = (
        'kind = "cost"\nmetric = "distill_processor_seconds"\nlimit = 1.15\nmachine = "here"\n'
        f"recorded = [2.0, 2.1, 1.9, 2.05, 1.95]\n{CELL}"
    )
    verdict = one(tmp_path, claim, make_costs([2.0 * factor, 2.05 * factor, 1.95 * factor]))
    assert verdict.verdict == word
    assert verdict.effect == pytest.approx(factor, rel=0.01)
    elsewhere = make_costs([4.0, 4.1, 4.2], machine={"id": "there"})
    verdict = one(tmp_path, claim, elsewhere)
    assert (verdict.verdict, exit_code([verdict])) == ("not comparable", 3)
    assert "measured on machine there instead of here" in verdict.moved


@settings(deadline=None, max_examples=25)
@given(shift=st.floats(-20, 7), spread=st.floats(0.01, 3))
def test_a_worse_mean_never_turns_a_refuted_gate_into_a_supported_one(tmp_path_factory, shift, spread):
    path = write_claims(tmp_path_factory.mktemp("gate"), GATE)
    near = [92 + shift + spread * step for step in (-1, 0, 1)]
    words = [judge(path, make_results([value - loss for value in near]))[0].verdict for loss in (0.0, 1.0, 5.0, 30.0)]
    assert words == sorted(words, reverse=True)
    assert words[-1] == "refuted"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"protocol_hash": "0" * 12}, "protocol quick@000000000000 instead of quick@f58e2342656b"),
        ({"protocol": "dsa"}, "protocol dsa@f58e2342656b instead"),
        ({"config": {"steps": 5}}, "setting steps is 5 instead of 20"),
        ({"students": 4}, "4 students per set instead of 1"),
        ({"dataset_fingerprint": "other"}, "data other instead of data"),
    ],
)
def test_results_of_other_circumstances_are_not_comparable(tmp_path, changes, message):
    exact = 'cell = { method = "dm", ipc = 10, students = 1, fingerprint = "data", settings = { steps = 20 } }'
    verdict = one(tmp_path, GATE.replace(CELL, exact), make_results(BAD, **changes))
    assert verdict.verdict == "not comparable"
    assert message in verdict.moved
    assert verdict.effect is None
    assert exit_code([verdict]) == 3


@pytest.mark.parametrize(
    ("named", "result", "verdict"),
    [
        ('fingerprint = "data"', {"dataset_fingerprint": "c1-a", "dataset_layout": "data"}, "supported"),
        ('fingerprint = "data"', {"dataset_fingerprint": "c1-a", "dataset_layout": "other"}, "not comparable"),
        ('fingerprint = "c1-a", layout = "data"', {"dataset_fingerprint": "data"}, "supported"),
        ('fingerprint = "c1-a"', {"dataset_fingerprint": "data"}, "not comparable"),
        (
            'fingerprint = "c1-b", layout = "data"',
            {"dataset_fingerprint": "c1-a", "dataset_layout": "data"},
            "not comparable",
        ),
        (
            'fingerprint = "c1-a", layout = "data"',
            {"dataset_fingerprint": "c1-a", "dataset_layout": "data"},
            "supported",
        ),
    ],
)
def test_claims_and_results_of_before_content_counted_meet_by_layout(tmp_path, named, result, verdict):
    cell = f'cell = {{ method = "dm", ipc = 10, {named} }}'
    assert one(tmp_path, GATE.replace(CELL, cell), make_results(GOOD, **result)).verdict == verdict


def test_results_of_before_and_after_are_one_entry_where_nothing_speaks_against_it(tmp_path):
    old, new = make_results(GOOD), make_results(GOOD, dataset_fingerprint="c1-a", dataset_layout="data")
    assert one(tmp_path, GATE, [*old[:1], *new[1:]]).verdict == "supported"
    other = make_results(GOOD, dataset_fingerprint="c1-b", dataset_layout="data")
    with pytest.raises(BadInputError, match="differ in fingerprint"):
        one(tmp_path, GATE, [*new[:2], *other[2:]])


def test_what_is_not_measured_says_why(tmp_path):
    verdict = one(tmp_path, GATE, make_results(GOOD, ipc=1))
    assert (verdict.verdict, verdict.moved) == (
        "not measured",
        "there is no result of dm on digits, ipc 10, convnet-d2-w32",
    )
    failed = [make_result(seed, status="out_of_memory", reason="too big", metrics=()) for seed in range(3)]
    assert "out of memory: too big" in one(tmp_path, GATE, failed).moved
    assert one(tmp_path, GATE, make_results(GOOD[:2])).moved == "3 runs are needed, there are 2"
    assert one(tmp_path, GATE, make_results(GOOD[:2])).verdict == "inconclusive"


def test_costs_of_several_machines_of_reused_work_and_of_interrupted_work_do_not_count(tmp_path):
    claim = f'kind = "cost"\nmetric = "prepare_seconds"\nlimit = 2.0\n{CELL}\nagainst = {{ method = "mtt" }}'

    def prepared(machine="here", method="dm", **reading):
        cached = reading.pop("cached", False)
        phase = Phase(name="prepare", reading=Reading(seconds=2.0, **reading), cached=cached)
        return [make_result(seed, method=method, phases=(phase,), machine={"id": machine}) for seed in range(3)]

    mtt = prepared(method="mtt")
    assert one(tmp_path, claim, prepared() + mtt).verdict == "supported"
    assert "several machines (here, there)" in one(tmp_path, claim, prepared("there") + mtt).moved
    assert one(tmp_path, claim, prepared(cached=True) + mtt).verdict == "not measured"
    assert one(tmp_path, claim, prepared(interruptions=1) + mtt).verdict == "not measured"


@pytest.mark.parametrize("metric", ["distill_seconds", "distill_processor_seconds", "distill_peak_host_bytes"])
def test_times_of_a_busy_machine_do_not_count_and_its_memory_does(tmp_path, metric):
    claim = f'kind = "cost"\nmetric = "{metric}"\nlimit = 2.0\n{CELL}\nagainst = {{ method = "mtt" }}'

    def distilled(waited, method="dm"):
        load = MachineLoad(seconds=2.0, waited_seconds=waited)
        reading = Reading(seconds=2.0, processor_seconds=2.0, peak_host_bytes=2**30, load=load)
        phase = Phase(name="distill", reading=reading)
        return [make_result(seed, method=method, phases=(phase,)) for seed in range(3)]

    found = one(tmp_path, claim, distilled(1.5) + distilled(0.1, "mtt"))
    if metric.endswith("bytes"):
        assert found.verdict == "supported"
    else:
        assert found.verdict == "not measured"
        assert "3 of 3 results were measured on a busy machine" in found.moved
    quiet = [distilled(0.1)[0], *distilled(1.5)[1:]]
    assert ("needed, there are 1" in one(tmp_path, claim, quiet + distilled(0.1, "mtt")).moved) != metric.endswith(
        "bytes"
    )


def test_results_that_must_not_be_pooled_are_refused(tmp_path):
    with pytest.raises(BadInputError, match=r"claim c0: .*several settings \(steps differ\)"):
        one(tmp_path, GATE, [*make_results(GOOD), *make_results(GOOD, config={"steps": 5})])
    percent = GATE.replace('"absolute"', '"absolute"\nunit = "fraction"')
    with pytest.raises(BadInputError, match="test_accuracy is in percent, the claim in fraction"):
        one(tmp_path, percent, make_results(GOOD))
    mixed = [*make_results(GOOD[:3]), make_result(9, metrics=accuracy(90.0, unit="points"))]
    with pytest.raises(BadInputError, match=r"mixed units \(percent, points\)"):
        one(tmp_path, GATE, mixed)


def test_family_in_which_nothing_could_be_supported_is_refused(tmp_path):
    permutation = f'kind = "relative"\ntest = "permutation"\npaired = false\n{CELL}\n{RANDOM}'
    results = both(GOOD, BAD)
    assert one(tmp_path, permutation, results).verdict == "supported"  # 1 of 252 permutations: p 0.004
    with pytest.raises(
        BadInputError, match=r"no claim of the family 'test' could be supported: .*permutation.* 13 claims"
    ):
        judge(write_claims(tmp_path, *[permutation] * 13), results)
    words = {verdict.verdict for verdict in judge(write_claims(tmp_path, *[permutation] * 12), results)}
    assert words == {"supported"}


def test_holm_corrects_for_the_family_and_unmeasured_claims_keep_their_place(tmp_path):
    weak = f'kind = "relative"\n{CELL}\n{RANDOM}'
    results = both([90.0, 90.4, 90.7, 90.1], [89.7, 90.2, 90.1, 89.8])
    alone = one(tmp_path, weak, results)
    assert alone.verdict == "supported"
    assert 0.01 < alone.p < 0.05
    unmeasured = weak.replace("ipc = 10", "ipc = 50")
    verdicts = judge(write_claims(tmp_path, weak, *[unmeasured] * 4), results)
    assert verdicts[0].verdict == "inconclusive"
    assert verdicts[0].p == pytest.approx(5 * alone.p)
    assert [verdict.verdict for verdict in verdicts[1:]] == ["not measured"] * 4


def test_duplicates_do_not_count_as_runs(tmp_path):
    copies = [make_result(0, 90.0), make_result(0, 10.0, started_at="2026-02-01T00:00:00+00:00"), make_result(1, 90.0)]
    assert one(tmp_path, GATE, copies).moved == "3 runs are needed, there are 2"


def test_exit_codes(tmp_path):
    held, lost = GATE, GATE.replace("92", "99")
    unmeasured = GATE.replace("ipc = 10", "ipc = 50")
    results = make_results(GOOD)
    assert exit_code(judge(write_claims(tmp_path, held), results)) == 0
    assert exit_code(judge(write_claims(tmp_path, held, unmeasured), results)) == 3
    assert exit_code(judge(write_claims(tmp_path, held, unmeasured, lost), results)) == 1
