"""One distillation from outside: killed and resumed, what is left of one that diverged, its foundation."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from ddbench import PROTOCOLS
from ddbench.cli.main import main
from ddbench.dataset import load_dataset
from ddbench.distilled.dataset import DistilledDataset
from ddbench.distilled.files import load_distilled
from ddbench.errors import DivergedError
from ddbench.host import file_digests
from ddbench.host.cached_work import MANIFEST
from ddbench.host.files import CACHE_DIR_VARIABLE
from ddbench.method import METHODS, Foundation, Method, NoConfig, Tracker, untracked
from ddbench.records import Reading
from ddbench.runs import distill as distilling
from ddbench.runs.cell import run_cell
from ddbench.runs.distill import RunOptions, distill, load_real
from ddbench.runs.results_store import LAST_GOOD_FOLDER
from ddbench.runs.suite import Cell
from tests._killing import ITEM_SECONDS, Loop, distil_toy, kill_in_loops, run_whole, slowly

# Three steps an epoch, nine for each expert.
SETTINGS = {
    "network": "convnet-d1-w8",
    "num_experts": 2,
    "trajectory_epochs": 3,
    "trajectory_batch_size": 50,
    "expert_epochs": 1,
    "max_start_epoch": 1,
    "steps": 30,
    "syn_steps": 2,
    "image_lr": 10.0,
    "lr_lr": 1e-6,
}
DIVERGING = {**SETTINGS, "trajectory_batch_size": 512, "lr_lr": 1e3}
LOOPS = {
    "experts": Loop("prepared/*/.unfinished/training-expert-2-of-2.safetensors", items=4),
    "images": Loop("unfinished/*/matching-trajectories.safetensors", items=5),
}


def distil_experts(track: Tracker = untracked) -> DistilledDataset:
    return distil_toy("mtt", 1, SETTINGS, images_per_class=50, track=track)


@pytest.fixture(scope="module")
def killed(tmp_path_factory) -> dict[str, tuple[Path, int]]:
    """Cache folders of processes killed in each of the loops, and how many items of it were done."""
    return kill_in_loops("tests.runs.test_distill", LOOPS, tmp_path_factory.mktemp, give_up_seconds=300)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[Path, DistilledDataset]:
    """The cache folder and the set of a distillation that nobody interrupted."""
    return run_whole(tmp_path_factory.mktemp, distil_experts)


def readings(distilled: DistilledDataset) -> dict[str, Reading]:
    return {phase["name"]: Reading.model_validate(phase["reading"]) for phase in distilled.provenance["phases"]}


def assert_same_numbers(found: DistilledDataset, expected: DistilledDataset) -> None:
    assert torch.equal(found.images, expected.images)
    assert found.student_lr == expected.student_lr
    assert found.whitening.hash == expected.whitening.hash


def interruptions(distilled: DistilledDataset) -> dict[str, int]:
    return {name: reading.interruptions for name, reading in readings(distilled).items()}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL on Windows")
def test_a_killed_distillation_goes_on_and_ends_with_the_same_numbers(killed, whole, monkeypatch):
    cache, done = killed["images"]
    assert 5 <= done < SETTINGS["steps"]
    monkeypatch.setenv(CACHE_DIR_VARIABLE, str(cache))
    found, (_, expected) = distil_experts(), whole
    assert_same_numbers(found, expected)
    assert interruptions(found) == {"first_use": 0, "prepare": 0, "distill": 1}
    assert interruptions(expected) == {"first_use": 0, "prepare": 0, "distill": 0}
    assert readings(found)["distill"].seconds > ITEM_SECONDS * done  # the killed process waited at every item
    assert list((cache / "unfinished").iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL on Windows")
def test_experts_go_on_after_a_kill_in_the_middle_of_an_epoch(killed, whole, monkeypatch):
    cache, done = killed["experts"]
    assert 4 <= done < 9
    (finished,) = cache.glob("prepared/*/expert-*.safetensors")
    written = finished.stat().st_mtime_ns
    assert not list(cache.glob(f"prepared/*/{MANIFEST}"))
    monkeypatch.setenv(CACHE_DIR_VARIABLE, str(cache))
    found, (whole_cache, expected) = distil_experts(), whole
    assert finished.stat().st_mtime_ns == written
    for name in ("expert-000.safetensors", "expert-001.safetensors"):
        resumed, uninterrupted = (next(folder.glob(f"prepared/*/{name}")) for folder in (cache, whole_cache))
        assert torch.equal(load_file(resumed)["trajectory"], load_file(uninterrupted)["trajectory"])
    assert_same_numbers(found, expected)
    assert interruptions(found) == {"first_use": 0, "prepare": 1, "distill": 0}
    assert readings(found)["prepare"].seconds > ITEM_SECONDS * (9 + done)  # what the killed process took counts
    assert not list(cache.glob("*/*/.unfinished"))


@pytest.mark.usefixtures("own_cache")
def test_a_diverged_distillation_says_where_its_last_good_set_comes_from():
    with pytest.raises(DivergedError, match="student_lr left its range") as caught:
        distill("mtt", "digits", 1, 4, DIVERGING, "cpu")
    good = caught.value.last_good
    assert good.provenance["diverged"] == str(caught.value)
    assert good.provenance["method"] == "mtt"
    assert good.provenance["distill_seed"] == 4
    assert good.provenance["config"]["lr_lr"] == 1e3
    assert good.provenance["engine"]["matching"] == "adjoint"
    assert good.images.isfinite().all()


@pytest.mark.usefixtures("own_cache")
def test_a_diverged_cell_fails_with_its_reason_and_keeps_the_last_good_set(tmp_path):
    cell = Cell(
        method="mtt",
        config=DIVERGING,
        dataset="digits",
        ipc=1,
        network="convnet-d1-w8",
        protocol="quick",
        protocol_hash=PROTOCOLS.get("quick").hash,
        distill_seed=0,
        eval_seed=0,
        students=1,
    )
    result = run_cell(cell, RunOptions(device="cpu"), tmp_path)
    assert result.status == "failed"
    assert result.reason.startswith("diverged: mtt stopped at step ")
    assert "student_lr left its range" in result.reason
    assert result.metrics == ()
    good = load_distilled(tmp_path / LAST_GOOD_FOLDER)
    assert good.space == "zca"
    assert f"diverged: {good.provenance['diverged']}" == result.reason
    assert not (tmp_path / "distilled").exists()
    assert not (tmp_path / "log.txt").exists()  # which would hold a traceback


@pytest.mark.usefixtures("own_cache")
def test_the_command_line_names_the_folder_of_the_last_good_set(tmp_path, capsys):
    out = tmp_path / "set"
    settings = [part for key, value in DIVERGING.items() for part in ("--set", f"{key}={value}")]
    arguments = ["distill", "mtt", "--dataset", "digits", "--ipc", "1", "--device", "cpu", "--out", str(out), *settings]
    for again in ([], ["--overwrite"]):
        assert main([*arguments, *again]) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert line.startswith("ddbench: mtt stopped at step ")
        assert line.endswith(f"the last good images are in {out}-last-good")
        assert main(arguments) == 2  # they are not replaced without a word
        assert f"{out}-last-good holds images of a run that diverged" in capsys.readouterr().err
    assert load_distilled(tmp_path / "set-last-good").images.shape == (10, 1, 8, 8)
    assert not out.exists()


class Standing(Method):
    """Stands on a foundation and may prepare something; takes down what it was handed."""

    Config = NoConfig
    prepares: ClassVar[bool] = True
    seen: ClassVar[list[tuple[str, Path | None, Path | None]]] = []

    def foundation(self):
        return Foundation("ground", {"width": 3}, self.fill)

    def fill(self, train, ctx):
        self.seen.append(("foundation", ctx.foundation, ctx.prepared))
        time.sleep(0.05)
        (ctx.cache_dir / "ground.txt").write_text("ground")
        return ctx.cache_dir

    def prepare(self, train, ctx):
        self.seen.append(("prepare", ctx.foundation, ctx.prepared))
        time.sleep(0.02)
        return ctx.cache_dir if self.prepares else None

    def distill(self, train, ipc, ctx):
        self.seen.append(("distill", ctx.foundation, ctx.prepared))
        shape = train.images.shape[1:]
        return DistilledDataset(torch.zeros(10 * ipc, *shape), torch.arange(10).repeat_interleave(ipc), 10, ipc)


class StandingAlone(Standing):
    """Prepares nothing."""

    prepare = Method.prepare


@pytest.fixture
def standing(monkeypatch, own_cache) -> Callable[..., DistilledDataset]:
    """A function that distils with such a method."""
    monkeypatch.setitem(METHODS._entries, "standing", Standing)
    monkeypatch.setitem(METHODS._entries, "standing_alone", StandingAlone)
    Standing.seen.clear()
    return lambda seed=0, method="standing": distill(method, "digits", 1, seed, device="cpu")


def prepare_phase(distilled: DistilledDataset) -> tuple[float, bool]:
    (phase,) = [phase for phase in distilled.provenance["phases"] if phase["name"] == "prepare"]
    return phase["reading"]["seconds"], phase["cached"]


def test_foundation_and_preparation_are_one_account(standing, own_cache):
    first, again, other_seed = standing(), standing(), standing(1)
    assert [phase["name"] for phase in first.provenance["phases"]] == ["first_use", "prepare", "distill"]
    assert [prepare_phase(distilled)[1] for distilled in (first, again, other_seed)] == [False, True, False]
    costs = {
        path.parent.name.partition("-")[0]: json.loads(path.read_text())["account"]["seconds"]
        for path in own_cache.glob(f"*/*/{MANIFEST}")
    }
    assert set(costs) == {"ground", "standing"}
    for distilled in (first, again, other_seed):
        assert prepare_phase(distilled)[0] >= 0.07
    assert prepare_phase(again)[0] == prepare_phase(first)[0]
    assert prepare_phase(first)[0] - costs["ground"] >= 0.02
    assert costs["ground"] >= 0.05


def test_work_is_measured_earlier_only_where_all_of_it_was(standing, own_cache):
    standing()
    shutil.rmtree(next(own_cache.glob("foundations/ground-*/")))
    assert not prepare_phase(standing())[1]
    assert [work for work, _, _ in Standing.seen].count("prepare") == 1
    assert prepare_phase(standing())[1]


def test_a_foundation_without_preparation_is_the_account_alone(standing, own_cache):
    first, other_seed = standing(method="standing_alone"), standing(1, "standing_alone")
    (done,) = own_cache.glob(f"*/*/{MANIFEST}")
    cost = json.loads(done.read_text())["account"]["seconds"]
    assert prepare_phase(first) == (cost, False)
    assert prepare_phase(other_seed) == (cost, True)


def test_preparation_and_distillation_are_handed_the_foundation(standing, own_cache):
    standing()
    ground, prepared = (next(own_cache.glob(f"*/{name}-*/")) for name in ("ground", "standing"))
    assert Standing.seen == [("foundation", None, None), ("prepare", ground, None), ("distill", ground, prepared)]


def test_a_set_says_what_foundation_it_stands_on(standing):
    assert standing().provenance["foundation"] == "ground"
    assert "foundation" not in distill("random_real", "digits", 1, device="cpu").provenance


if __name__ == "__main__":  # a process to be killed
    torch.set_num_threads(1)
    distil_experts(slowly)


def test_the_first_optimiser_is_made_before_the_method_begins(monkeypatch):
    """It loads torch's compiler; the seconds belong to first use, not to the method that is distilled first."""
    events, make = [], torch.optim.SGD

    def watched(*args, **options):
        events.append("optimiser")
        return make(*args, **options)

    plain = METHODS.get("random_real").distill

    def distilled(*args):
        events.append("distill")
        return plain(*args)

    monkeypatch.setattr(torch.optim, "SGD", watched)
    monkeypatch.setattr(METHODS.get("random_real"), "distill", distilled)
    distill("random_real", "digits", 1, seed=0)
    assert events == ["optimiser", "distill"]


def test_native_code_is_compiled_before_the_phases_are_billed(monkeypatch):
    events = []
    plain = METHODS.get("random_real").distill
    monkeypatch.setattr(distilling, "native_passes", lambda: events.append("native code"))
    monkeypatch.setattr(METHODS.get("random_real"), "distill", lambda *args: events.append("distill") or plain(*args))
    distill("random_real", "digits", 1, device="cpu")
    assert events == ["native code", "distill"]


@pytest.fixture
def pictures(tmp_path):
    """Two classes of one picture in each split."""
    for split in ("train", "test"):
        for shade, name in ((50, "a"), (200, "b")):
            path = tmp_path / "pictures" / split / name / "0.png"
            path.parent.mkdir(parents=True)
            Image.new("L", (8, 8), shade).save(path)
    return tmp_path / "pictures"


@pytest.mark.parametrize("settled", [True, False])
@pytest.mark.parametrize("change", ["picture", "added", "removed", "class renamed"])
def test_a_folder_that_changed_between_two_calls_is_read_again(pictures, own_cache, monkeypatch, change, settled):
    if settled:  # as if nothing had been written for a while
        monkeypatch.setattr(file_digests, "RECENT_SECONDS", -1.0)
    spec = f"image_folder:{pictures},size=8"
    first = load_real(spec, RunOptions())
    assert load_real(spec, RunOptions()).info == first.info
    assert (load_real(spec, RunOptions()) is first) == settled
    picture = pictures / "train" / "a" / "0.png"
    match change:
        case "picture":
            times = picture.stat().st_atime_ns, picture.stat().st_mtime_ns
            Image.new("L", (8, 8), 51).save(picture)
            os.utime(picture, ns=times)
        case "added":
            shutil.copy(picture, picture.with_name("1.png"))
        case "removed":
            shutil.copy(picture, picture.with_name("1.png"))
            load_real(spec, RunOptions())
            picture.unlink()
            Image.new("L", (8, 8), 3).save(picture.with_name("2.png"))
        case "class renamed":
            for split in ("train", "test"):
                (pictures / split / "a").rename(pictures / split / "c")
    again = load_real(spec, RunOptions())
    assert again.info.fingerprint != first.info.fingerprint
    assert again.info == load_dataset(spec).info


def test_the_last_two_data_sets_are_kept_in_memory(pictures):
    one, other = load_real("digits", RunOptions()), load_real("digits", RunOptions(data_dir=pictures))
    assert load_real("digits", RunOptions()) is one is not other
    load_real("digits", RunOptions(data_dir=pictures / "train"))
    assert load_real("digits", RunOptions()) is one
    assert load_real("digits", RunOptions(data_dir=pictures)) is not other
