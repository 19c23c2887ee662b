"""The order of cells: each given out once, never more than fit, shared work made by one, the longest first."""

from __future__ import annotations

import heapq

from hypothesis import given
from hypothesis import strategies as st

from ddbench.runner import Needs
from ddbench.runs.schedule import Job, Schedule, WorkLeft

jobs_of = st.lists(
    st.tuples(
        st.sampled_from([1, 1, 2, 4]),
        st.one_of(st.none(), st.floats(0, 100)),
        st.lists(st.sampled_from("abc"), unique=True, max_size=2),
        st.booleans(),
    ),
    max_size=30,
).map(
    lambda rows: [
        (Job(index, Needs(threads), cost, tuple(shares)), succeeds)
        for index, (threads, cost, shares, succeeds) in enumerate(rows)
    ]
)


def simulate(schedule, threads, succeeds):
    """Run all jobs on so many threads; yields at every moment what runs."""
    running, time, given_out = [], 0.0, []
    while True:

        def has_room(needs):
            return not running or sum(job.needs.threads for _, _, job in running) + needs.threads <= threads

        while (job := schedule.take(has_room)) is not None:
            heapq.heappush(running, (time + (job.cost or 1.0), job.index, job))
            given_out.append(job)
            yield [entry[2] for entry in running], given_out
        if not running:
            return
        time, _, job = heapq.heappop(running)
        schedule.ended(job, made=succeeds[job.index])


@given(jobs_of, st.integers(1, 6), st.booleans())
def test_every_job_is_given_out_once_and_what_is_shared_is_made_by_one_at_a_time(rows, threads, longest_first):
    jobs, succeeds = [job for job, _ in rows], [succeeds for _, succeeds in rows]
    schedule = Schedule(jobs, longest_first=longest_first)
    made, given_out = set(), []
    for running, given_out in simulate(schedule, threads, succeeds):
        assert len(running) == 1 or sum(job.needs.threads for job in running) <= threads
        latest = given_out[-1]
        ended = [job for job in given_out if job not in running]
        made = {share for job in ended if succeeds[job.index] for share in job.shares}
        for share in set(latest.shares) - made:
            assert [job for job in running if share in job.shares] == [latest]
    assert sorted(job.index for job in given_out) == list(range(len(jobs)))
    assert len(schedule) == 0


def test_the_longest_comes_first_and_unknown_ones_before_all():
    jobs = [Job(0, cost=1.0), Job(1, cost=9.0), Job(2, Needs(2), 3.0), Job(3), Job(4, cost=9.0)]
    taken = [Schedule(jobs, longest_first=longest) for longest in (True, False)]
    orders = [[schedule.take(lambda _: True).index for _ in jobs] for schedule in taken]
    assert orders == [[2, 3, 1, 4, 0], [0, 1, 2, 3, 4]]


def test_a_job_of_more_threads_than_are_free_is_waited_for_and_not_passed_by():
    schedule = Schedule([Job(0, Needs(2), 5.0), Job(1, Needs(1), 4.0)], longest_first=True)
    assert schedule.take(lambda needs: needs.threads == 1) is None
    assert schedule.take(lambda needs: True).index == 0


def test_where_the_maker_fails_the_next_one_makes_it_and_one_put_back_comes_again():
    first, second, third = jobs = [Job(index, shares=("prepared",)) for index in range(3)]
    schedule = Schedule(jobs)
    assert schedule.take(lambda _: True) is first
    assert schedule.take(lambda _: True) is None
    schedule.put_back(first)
    assert schedule.take(lambda _: True) is first
    schedule.ended(first, made=False)
    assert schedule.take(lambda _: True) is second
    assert schedule.take(lambda _: True) is None
    schedule.ended(second, made=True)
    assert schedule.take(lambda _: True) is third
    assert not schedule


def test_what_is_left_is_told_at_the_pace_so_far(monkeypatch):
    jobs = [Job(0, cost=1.0), Job(1, cost=3.0), Job(2), Job(3, cost=2.0)]
    left = WorkLeft(jobs)
    assert left.seconds is None
    monkeypatch.setattr(type(left._watch), "seconds", 10.0)
    left.ended(jobs[3])
    assert left.seconds == 10.0 * (1 + 3 + 2) / 2  # the unknown one counts as the mean of the others
    left.drop(jobs[1])
    assert left.seconds == 10.0 * (1 + 2) / 2
