"""Tests of what no ranking holds: each with its reason, and altered results in no number at all."""

from ddbench.site.left_out import sort_out
from tests.tables._made import make_result


def words(results):
    sound, left = sort_out(results)
    return sound, [f"{each.what}: {each.reason}" for each in left]


def test_altered_and_misplaced_results_stay_out_of_every_number():
    whole = make_result("dm", 10, 0)
    altered, misplaced = (make_result("dm", 10, seed) for seed in (1, 2))
    sound, left = words([whole, altered.standing_as("altered"), misplaced.standing_as("misplaced")])
    assert sound == [whole]
    assert "dm on digits, ipc 10, seed 1" in left[0]
    assert "digest differs" in left[0]
    assert "folder of another cell" in left[1]


def test_results_from_before_digests_count():
    older = make_result().standing_as("older")
    assert sort_out([older]) == ([older], ())


def test_of_what_was_measured_twice_the_later_one_is_named():
    first = make_result(key="a", started_at="2026-01-01")
    again = make_result(key="b", started_at="2026-01-02")
    sound, left = words([again, first])
    assert len(sound) == 2
    assert len(left) == 1
    assert "key b" in left[0]
    assert "started 2026-01-01 counts" in left[0]


def test_what_has_no_number_is_named_with_its_reason():
    failed = make_result(status="out_of_memory", reason="8 GiB are too few")
    silent = make_result("dc", values=())
    sound, left = words([failed, silent])
    assert sound == [failed, silent]
    assert left[0].endswith("out of memory: 8 GiB are too few")
    assert left[1].endswith("not its test accuracy")
