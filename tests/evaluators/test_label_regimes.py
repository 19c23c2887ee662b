"""Tests of the gain over random real images by label regime."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from ddbench.augment.zca import fit_zca, whiten
from ddbench.distilled.dataset import DistilledDataset
from ddbench.errors import BadInputError
from ddbench.evaluators._random_side import RandomSide
from ddbench.evaluators.label_regimes import LabelRegimes
from ddbench.network import InputShape, make_network
from ddbench.registry import EVALUATORS, PROTOCOLS
from ddbench.runs.cell import evaluate
from ddbench.runs.distill import distill
from ddbench.testing import SMOKE_PROTOCOL
from ddbench.training_recipe import Schedule

LONGER = SMOKE_PROTOCOL.model_copy(update={"schedule": Schedule(epochs=20, drop_at=15), "lr": 0.05})


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DDBENCH_CACHE_DIR", str(tmp_path))


def measure(run, real, context, option=None):
    return {metric.name: metric for metric in LabelRegimes(option).evaluate(run, real, context)}


@pytest.fixture
def long_run(run):
    return replace(run, protocol=LONGER)


def test_random_images_gain_nothing_on_themselves(long_run, real, context):
    same = replace(long_run, distilled=distill("random_real", real, 2, seed=3), distill_seed=3)
    found = measure(same, real, context)
    for regime in ("hard", "soft", "online"):
        assert found[f"gain[{regime}]"].values == (0.0,) * same.students
        assert found[f"accuracy[{regime}]"].values == found[f"random_accuracy[{regime}]"].values


def test_the_hard_side_is_what_accuracy_measures(long_run, real, context):
    found = measure(long_run, real, context)
    (plain,) = EVALUATORS.get("accuracy")().evaluate(long_run, real, context)
    assert found["accuracy[hard]"].values == plain.values
    random = evaluate(
        distill("random_real", real, long_run.distilled.ipc, seed=long_run.distill_seed),
        real, LONGER, long_run.network, long_run.students, long_run.eval_seed,
    )  # fmt: skip
    assert found["random_accuracy[hard]"].values == random.metric("test_accuracy").values
    gains = [a - b for a, b in zip(plain.values, random.metric("test_accuracy").values, strict=True)]
    assert found["gain[hard]"].values == pytest.approx(gains)


def test_the_random_side_is_measured_once_for_all_methods(long_run, real, context, monkeypatch):
    measure(long_run, real, context)
    other = replace(long_run, distilled=distill("herding", real, long_run.distilled.ipc))
    monkeypatch.setattr(RandomSide, "random_set", lambda self, train=None: pytest.fail("drawn again"))
    assert set(measure(other, real, context)) == set(measure(long_run, real, context))
    with pytest.raises(pytest.fail.Exception, match="drawn again"):
        measure(replace(other, distill_seed=7), real, context)


def test_both_sides_take_as_many_steps(long_run, real, context):
    rows = torch.cat([real.train.of_class(label)[:2] for label in range(10)])
    several = DistilledDataset(real.train.pixels(rows), real.train.labels[rows], 10, 2, "pixels", decode_factor=2)
    small = LONGER.model_copy(update={"batch_size": 16})
    side = RandomSide(replace(long_run, distilled=several, protocol=small), real, context)
    schedule = side.random_schedule()
    assert schedule.epochs * -(-20 // 16) == 20 * -(-80 // 16)  # 4 parts an image
    assert schedule.drop_at == round(15 * schedule.epochs / 20)
    plain = RandomSide(replace(long_run, protocol=small), real, context)
    assert plain.random_schedule() == small.schedule


def test_an_uneven_set_stands_beside_as_many_images_of_each_class(long_run, real, context):
    counts = [1, 3] * 5
    rows = torch.cat([real.train.of_class(label)[:count] for label, count in enumerate(counts)])
    made = DistilledDataset(real.train.pixels(rows), real.train.labels[rows], 10, 2, "pixels", uneven=True)
    drawn = RandomSide(replace(long_run, distilled=made), real, context).random_set()
    assert drawn.classes.bincount().tolist() == counts
    assert drawn.uneven


def test_own_soft_labels_of_a_whitened_set_stand_beside_a_teachers_of_random_images(long_run, real, context):
    rows = torch.cat([real.train.of_class(label)[:1] for label in range(10)])
    whitening = fit_zca(real.train)
    soft = (torch.nn.functional.one_hot(real.train.labels[rows], 10) * 3.0).softmax(1)
    white = whiten(real.train.pixels(rows), whitening)
    made = DistilledDataset(white, soft, 10, 1, "zca", whitening=whitening)
    run = replace(long_run, distilled=made)
    found = measure(run, real, context)
    assert [name for name in found if name.startswith("gain")] == ["gain[hard]", "gain[own]"]
    drawn = RandomSide(run, real, context)
    labelled = drawn.labelled(drawn.random_set(), "soft")
    assert torch.equal(labelled.distilled.images, whiten(drawn.random_set().images, whitening))


def test_a_set_with_labels_of_its_own_is_measured_with_a_teachers_too(long_run, real, context):
    random = distill("random_real", real, 2, seed=3)
    own = torch.nn.functional.one_hot(random.labels, 10).float()
    run = replace(long_run, distilled=replace(random, labels=own), distill_seed=3)
    found = measure(run, real, context)
    assert found["accuracy[own]"].values == found["accuracy[hard]"].values
    assert found["random_accuracy[own]"].values == found["random_accuracy[soft]"].values
    assert found["gain[soft]"].values == (0.0,) * run.students  # the same images, the same teacher's labels
    assert found["accuracy[own]"].basis == ""
    assert found["random_accuracy[own]"].basis == found["accuracy[soft]"].basis != ""


def test_a_teacher_of_given_epochs_has_a_name_of_its_own(long_run, real, context):
    found = measure(long_run, real, context, "1")
    assert "gain[online, teacher of 1 epochs]" in found
    assert "gain[hard]" in found
    for wrong in ("0", "x", "1.5", "-1", "", "9" * 9):
        with pytest.raises(BadInputError, match="takes the epochs of its teacher"):
            LabelRegimes(wrong)


def test_what_has_no_random_side_is_told_before_training_or_left_out(long_run, real, context):
    whole = replace(long_run, distilled=distill("full_real", real, 1), protocol=SMOKE_PROTOCOL)
    assert measure(whole, real, context) == {}
    first = torch.stack([real.train.of_class(label)[0] for label in range(10)]).repeat_interleave(150)
    many = DistilledDataset(real.train.pixels(first), real.train.labels[first], 10, 150, "pixels")
    with pytest.raises(BadInputError, match="a random counterpart needs 150 real images of class '0', there are 143;"):
        evaluate(many, real, LONGER, evaluators=("label_regimes",))
    with pytest.raises(BadInputError, match="there are 143, 14 of them held out; evaluate a smaller set"):
        evaluate(distill("random_real", real, 135), real, LONGER, evaluators=("ars",))
    taught = PROTOCOLS.get("soft-label-2cores")
    with pytest.raises(BadInputError, match="label_regimes:3 trains a teacher, and protocol soft-label-2cores has one"):
        LabelRegimes("3").check(replace(long_run, protocol=taught), real)


def test_the_random_side_is_billed_once_and_to_first_use(long_run, real, context):
    measure(long_run, real, context)
    first = len(long_run.first_use)
    again = replace(long_run, first_use=[])
    measure(again, real, context)
    assert first > len(again.first_use) == 1  # the teacher is looked for


def test_a_teacher_that_nobody_asks_is_not_trained(long_run, real, context):
    rows = torch.cat([real.train.of_class(label)[:1] for label in range(10)])
    whitening = fit_zca(real.train)
    white = whiten(real.train.pixels(rows), whitening)
    made = DistilledDataset(white, real.train.labels[rows], 10, 1, "zca", whitening=whitening)
    run = replace(long_run, distilled=made)
    assert {name.partition("[")[2] for name in measure(run, real, context)} == {"hard]"}
    assert "regimes_teacher" not in run.engine


def test_random_sides_of_one_file_read_in_two_ways_are_two(long_run, real, context, tmp_path):
    path, shape = tmp_path / "teacher.safetensors", InputShape.of(real.info)
    save_file(make_network("mlp-w8", shape, torch.Generator().manual_seed(0)).state_dict(), path)
    contents = []
    for option in ("", ",teacher_normalisation=dataset"):
        taught = PROTOCOLS.get(f"soft-label,teacher={path},teacher_network=mlp-w8{option}").teacher
        protocol = LONGER.model_copy(update={"teacher": taught})
        side = RandomSide(replace(long_run, protocol=protocol), real, context)
        contents.append(side.key_content("online", LONGER.schedule, {}))
    assert contents[0] != contents[1]
    assert {**contents[1], "teacher_members": contents[0]["teacher_members"]} == contents[0]
