"""What cells take, from what is declared of them."""

from __future__ import annotations

import pytest
import torch

from ddbench.runs.distill import RunOptions, distill
from ddbench.runs.jobs import PROCESS_BYTES, JobMaker
from ddbench.runs.suite import load_suite
from tests.runs.test_suite_runner import SELECTS, write_suite

pytestmark = pytest.mark.usefixtures("own_cache")
CPU = torch.device("cpu")
OPTIONS = RunOptions(device="cpu")


def jobs_of(path, device=CPU, given=(), **changes):
    cells = load_suite(write_suite(path, **changes)).cells()
    maker = JobMaker(OPTIONS, given, device)
    return cells, [maker.job_of(index, cell) for index, cell in enumerate(cells)]


def test_small_networks_take_a_thread_and_large_ones_all_that_pay(tmp_path):
    _, (small, large) = jobs_of(
        tmp_path / "s.yaml", networks=["convnet-d1-w8", "convnet-d3-w512"], distill_seeds=1, ipc=[10]
    )
    assert small.needs.threads == 1
    assert large.needs.threads == torch.get_num_threads()
    assert 0 < small.cost < large.cost
    assert PROCESS_BYTES < small.needs.memory_bytes < large.needs.memory_bytes
    _, (on_gpu, _) = jobs_of(tmp_path / "s.yaml", torch.device("cuda"), distill_seeds=2)
    assert (on_gpu.needs.gpus, on_gpu.needs.threads) == (1, 1)


def test_cells_share_their_set_and_what_is_yet_to_be_prepared(tmp_path):
    cells, jobs = jobs_of(
        tmp_path / "s.yaml", methods=[SELECTS], ipc=[1, 2], distill_seeds=1, networks=["mlp-w4", "mlp-w5"]
    )
    assert [len(job.shares) for job in jobs] == [2] * 4
    shared = set.intersection(*(set(job.shares) for job in jobs))
    assert [share.split()[0] for share in shared] == ["prepared"]
    assert len({job.shares for job in jobs}) == 2
    distill("herding", "digits", 1, config=SELECTS["settings"], options=OPTIONS)
    cost = jobs[0].cost
    _, jobs = jobs_of(
        tmp_path / "s.yaml", methods=[SELECTS], ipc=[1, 2], distill_seeds=1, networks=["mlp-w4", "mlp-w5"]
    )
    assert {share.split()[0] for job in jobs for share in job.shares} == {"set"}
    assert jobs[0].cost < cost
    _, (given, *_) = jobs_of(tmp_path / "s.yaml", given=[cells[0].key], methods=[SELECTS], distill_seeds=1)
    assert given.cost < cost


def test_seeds_cost_the_same_and_what_cannot_be_done_costs_nothing(tmp_path):
    _, jobs = jobs_of(tmp_path / "s.yaml", distill_seeds=3)
    assert len({job.cost for job in jobs}) == 1
    _, (skipped,) = jobs_of(tmp_path / "s.yaml", ipc=[100_000], distill_seeds=1)
    assert skipped.cost == 0


def test_a_cell_that_cannot_be_looked_at_is_a_job_whose_result_says_why(tmp_path):
    _, (tiny,) = jobs_of(tmp_path / "s.yaml", networks=["convnet-d4-w8"], distill_seeds=1)
    assert tiny.cost is None
    assert tiny.needs.threads == torch.get_num_threads()
    assert [share.split()[0] for share in tiny.shares] == ["set"]
