"""Tests of teachers: trained once whatever is judged, their cost and bytes kept, files of users checked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torchvision import models

from ddbench import distill, evaluate
from ddbench.cli import main as cli
from ddbench.dataset import make_real_dataset
from ddbench.errors import BadInputError, DataMismatchError
from ddbench.host.cached_work import MANIFEST
from ddbench.host.checkpoint import UNFINISHED_FOLDER
from ddbench.host.files import baselines_dir
from ddbench.images import RealDataset
from ddbench.network import InputShape, make_network
from ddbench.protocol import PROTOCOLS, Protocol, Schedule
from ddbench.records import Result
from ddbench.registry import DATASETS
from ddbench.seeding import make_generator
from ddbench.students import teacher as teachers
from ddbench.students.loop import TrainingPlan, TrainingSet, train_student
from ddbench.students.teacher import PARAMETERS_FILE, ReadyTeacher, find_teacher, untrained_teachers
from ddbench.tables.table import make_table
from ddbench.training_recipe import Teacher
from tests._keeper import KilledError
from tests._weights import BIRDS, lively, toy_subset

pytestmark = pytest.mark.usefixtures("own_cache")

CPU = torch.device("cpu")
SHORT = Schedule(epochs=2, drop_at=1)
TEACHER = Teacher(network="convnet-d1-w4-bn", schedule=SHORT, seed=0, temperature=20.0, loss="kl")
HARD = PROTOCOLS.get("imagenet-hard").model_copy(
    update={"name": "hard", "network": "convnet-d1-w4", "schedule": SHORT, "real_schedule": SHORT}
)
SOFT = HARD.model_copy(update={"name": "soft", "teacher": TEACHER})


def toy_real(name: str = "toy", seed: int = 0) -> RealDataset:
    def split(count: int, offset: int) -> tuple[Tensor, Tensor]:
        draws = torch.Generator().manual_seed(seed + offset)
        images = torch.randint(256, (count, 3, 8, 8), dtype=torch.uint8, generator=draws)
        return images, torch.arange(count) % 3

    return make_real_dataset(
        name, split(12, 0), split(9, 1), class_names=("a", "b", "c"), mean=(0.5,) * 3, std=(0.3,) * 3
    )


def parameters_of(ready: ReadyTeacher) -> dict[str, Tensor]:
    return ready.soft_labels.teacher.state_dict()


def folders(own_cache: Path) -> list[Path]:
    return sorted(path for path in (own_cache / "teachers").iterdir() if path.is_dir())


def save_teacher(path: Path, changes: dict[str, Tensor | None] | None = None) -> Path:
    network = make_network(TEACHER.network, InputShape(3, 8, 3), torch.Generator().manual_seed(5))
    tensors = {**network.state_dict(), **(changes or {})}
    save_file({name: value for name, value in tensors.items() if value is not None}, path)
    return path


def with_file(path: Path) -> Protocol:
    return SOFT.with_options([f"teacher={path}"])


def test_a_protocol_without_a_teacher_has_none():
    assert find_teacher(HARD, toy_real(), CPU) is None


def test_a_teacher_is_a_student_of_the_whole_real_set_with_hard_labels():
    real = toy_real()
    found = find_teacher(SOFT, real, CPU)
    expected = make_network(TEACHER.network, InputShape.of(real.info), make_generator(0, "teacher", TEACHER.network))
    plan = TrainingPlan.of(HARD, real.info, None)
    train_student(expected, TrainingSet.of_real(real.train, CPU), plan, make_generator(0, "teacher", "training"))
    assert all(torch.equal(value, expected.state_dict()[name]) for name, value in parameters_of(found).items())


def test_a_teacher_is_trained_once_and_its_cost_is_shown_again(own_cache, monkeypatch):
    first = find_teacher(SOFT, toy_real(), CPU)
    monkeypatch.setattr(teachers, "train_network", lambda *args: pytest.fail("trained again"))
    hotter = SOFT.model_copy(update={"teacher": TEACHER.model_copy(update={"temperature": 4.0})})
    for protocol in (SOFT, hotter):
        again = find_teacher(protocol, toy_real(), CPU)
        assert all(torch.equal(value, parameters_of(first)[name]) for name, value in parameters_of(again).items())
        assert again.record == first.record
        assert (again.phase.reading, again.phase.cached) == (first.phase.reading, True)
        assert again.soft_labels.temperature == protocol.teacher.temperature
    assert (first.phase.name, first.phase.cached) == ("teacher", False)
    assert len(folders(own_cache)) == 1


@pytest.mark.parametrize(
    "changes", [{"seed": 1}, {"network": "convnet-d1-w5-bn"}, {"schedule": Schedule(epochs=3, drop_at=1)}]
)
def test_other_settings_or_data_are_another_teacher(own_cache, changes):
    find_teacher(SOFT, toy_real(), CPU)
    find_teacher(SOFT.model_copy(update={"teacher": TEACHER.model_copy(update=changes)}), toy_real(), CPU)
    find_teacher(SOFT, toy_real("other"), CPU)
    find_teacher(SOFT.model_copy(update={"lr": 0.02}), toy_real(), CPU)
    assert len(folders(own_cache)) == 4


def test_the_record_counts_every_byte_and_names_the_file(own_cache):
    record = find_teacher(SOFT, toy_real(), CPU).record
    tensors = load_file(folders(own_cache)[0] / PARAMETERS_FILE)
    assert record.num_bytes == sum(value.numel() * value.element_size() for value in tensors.values())
    assert record.sha256 == teachers.sha256_of(folders(own_cache)[0] / PARAMETERS_FILE)
    assert (record.origin, record.network) == ("trained", TEACHER.network)
    assert 0 <= record.test_accuracy <= 1


def test_a_teacher_whose_training_was_killed_is_trained_again(own_cache):
    first = find_teacher(SOFT, toy_real(), CPU)
    (folders(own_cache)[0] / MANIFEST).unlink()
    again = find_teacher(SOFT, toy_real(), CPU)
    assert (again.phase.cached, again.record) == (False, first.record)


def test_a_killed_training_goes_on_at_its_epoch_and_counts_both_attempts(own_cache, monkeypatch):
    monkeypatch.setattr(teachers, "CHECKPOINT_SECONDS", 0.0)
    longer = SOFT.model_copy(update={"teacher": TEACHER.model_copy(update={"schedule": Schedule(epochs=5, drop_at=3)})})
    whole = find_teacher(longer, toy_real(), CPU)
    shutil.rmtree(folders(own_cache)[0])
    seen: list[int] = []

    def killed(iterable, description, state=None):
        for item in iterable:
            if len(seen) == 3:
                raise KilledError
            seen.append(item)
            yield item

    with pytest.raises(KilledError):
        find_teacher(longer, toy_real(), CPU, killed)
    assert len(list((folders(own_cache)[0] / UNFINISHED_FOLDER).glob("*.safetensors"))) == 1
    monkeypatch.setattr(teachers, "train_network", watch_epochs(seen_again := [], teachers.train_network))
    again = find_teacher(longer, toy_real(), CPU)
    assert seen_again == [3, 4]
    assert again.record == whole.record
    assert (again.phase.reading.interruptions, again.phase.cached) == (1, False)
    assert not (folders(own_cache)[0] / UNFINISHED_FOLDER).exists()


def watch_epochs(seen, train):
    """`train_network` that notes which epochs are done."""

    def watched(network, data, plan, generator, track):
        def noting(iterable, description, state=None):
            for item in track(iterable, description, state):
                seen.append(item)
                yield item

        return train(network, data, plan, generator, noting)

    return watched


@pytest.mark.parametrize(
    ("name", "message"), [(PARAMETERS_FILE, "teacher.safetensors is missing or altered"), (MANIFEST, "is damaged")]
)
def test_a_damaged_teacher_is_trained_again_and_told_in_one_line(own_cache, name, message):
    first = find_teacher(SOFT, toy_real(), CPU)
    (folders(own_cache)[0] / name).write_bytes(b"broken")
    with pytest.warns(UserWarning, match=f"^[^\n]*is made again: [^\n]*{message}$"):
        again = find_teacher(SOFT, toy_real(), CPU)
    assert (again.phase.cached, again.record) == (False, first.record)


def test_results_carry_the_teacher_and_its_own_account():
    real = toy_real()
    distilled = distill("random_real", real, 2)
    first, second = (evaluate(distilled, real, SOFT, students=2, device="cpu") for _ in range(2))
    assert [phase.name for phase in first.phases] == ["first_use", "distill", "teacher", "evaluate"]
    assert [result.phase("teacher").cached for result in (first, second)] == [False, True]
    assert first.phase("teacher").reading == second.phase("teacher").reading
    assert first.metric("test_accuracy") == second.metric("test_accuracy")
    assert first.metric("teacher_seconds").values == (first.phase("teacher").reading.seconds,)
    assert first.teacher == second.teacher
    assert Result.model_validate_json(first.model_dump_json()) == first
    hard = evaluate(distilled, real, HARD, students=2, device="cpu")
    assert (hard.teacher, hard.phase("teacher")) == (None, None)


def test_tables_show_the_teacher_with_its_seconds_and_bytes():
    real = toy_real()
    distilled = distill("random_real", real, 2)
    result = evaluate(distilled, real, SOFT, students=1, device="cpu")
    (panel,) = make_table([result]).panels
    teacher = result.teacher
    expected = (
        f"soft labels by {TEACHER.network}, trained here: {100 * teacher.test_accuracy:.1f} % on the test set, "
        f"{teacher.num_bytes / 1024:.1f} KiB, sha256 {teacher.sha256[:12]}"
    )
    assert expected in panel.header
    assert panel.cost.loc[0, "teacher size"] == f"{teacher.num_bytes / 1024:.1f} KiB"
    assert "teacher (s)" in panel.cost.columns
    assert panel.rows[0]["teacher_bytes"] == teacher.num_bytes
    assert panel.rows[0]["teacher_seconds"] == result.phase("teacher").reading.seconds
    other = teacher.model_copy(update={"origin": "file", "sha256": "f" * 64})
    copy = result.model_copy(update={"key": "b", "method": "dm", "teacher": other})
    lines = [line for line in make_table([result, copy]).panels[0].header if line.startswith("soft labels")]
    assert [line.rsplit(" ", 1)[1] for line in lines] == ["(random_real)", "(dm)"]
    assert f"from a file: {100 * teacher.test_accuracy:.1f} %" in lines[1]
    (hard,) = make_table([evaluate(distilled, real, HARD, students=1, device="cpu")]).panels
    assert not any("teacher" in name for name in hard.cost.columns)


def test_results_of_before_there_were_teachers_still_load():
    line = (baselines_dir() / "results/xeon_2_cores/cifar10_small.jsonl").read_text().splitlines()[0]
    assert "teacher" not in json.loads(line)
    assert Result.model_validate_json(line).teacher is None


def test_a_teacher_from_a_file_gives_its_labels_and_has_no_cost_here(tmp_path, own_cache):
    protocol = with_file(save_teacher(tmp_path / "t.safetensors"))
    found = find_teacher(protocol, toy_real(), CPU)
    assert all(torch.equal(v, parameters_of(found)[k]) for k, v in load_file(tmp_path / "t.safetensors").items())
    assert (found.phase, found.record.origin) == (None, "file")
    assert found.record.sha256 == protocol.teacher.sha256
    assert not (own_cache / "teachers").exists()
    real = toy_real()
    result = evaluate(distill("random_real", real, 2), real, protocol, students=1, device="cpu")
    assert (result.protocol, result.protocol_hash) == (protocol.name, protocol.hash)
    assert result.teacher == found.record


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classifier.weight": torch.zeros(4, 64)}, r"classifier.weight should be \(3, 64\), found \(4, 64\)"),
        ({"classifier.bias": None}, "it lacks classifier.bias"),
        ({"extra": torch.zeros(1), "more": torch.zeros(1)}, "it has an unknown extra and 1 more"),
        ({"classifier.bias": torch.full((3,), float("nan"))}, "classifier.bias holds NaN"),
        ({"classifier.bias": torch.zeros(3, dtype=torch.int64)}, "should be torch.float32, found torch.int64"),
    ],
)
def test_a_file_that_does_not_fit_is_told_in_one_line(tmp_path, changes, message):
    protocol = with_file(save_teacher(tmp_path / "t.safetensors", changes))
    with pytest.raises(BadInputError, match=f"^[^\n]*{message}[^\n]*teacher_network=[^\n]*$"):
        find_teacher(protocol, toy_real(), CPU)


def test_a_file_that_is_none_and_one_that_changed_are_told(tmp_path):
    path = tmp_path / "t.safetensors"
    path.write_bytes(b"not tensors")
    with pytest.raises(BadInputError, match="is not a safetensors file, or is cut off"):
        find_teacher(with_file(path), toy_real(), CPU)
    protocol = with_file(save_teacher(path))
    path.write_bytes(b"others")
    with pytest.raises(DataMismatchError, match="has changed since the run began"):
        find_teacher(protocol, toy_real(), CPU)


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Weights for ImageNet where ddbench looks for them, and the model that they are of."""
    monkeypatch.setenv("DDBENCH_MODEL_DIR", str(tmp_path / "models"))
    model = lively(models.shufflenet_v2_x0_5())
    (tmp_path / "models/torchvision").mkdir(parents=True)
    torch.save(model.state_dict(), tmp_path / "models/torchvision/shufflenet_v2_x0_5.IMAGENET1K_V1.pth")
    return model


def test_published_weights_label_a_subset_and_stand_in_the_result(published, tmp_path):
    real = toy_subset(size=16)
    protocol = SOFT.with_options(["teacher=torchvision/shufflenet_v2_x0_5"])
    result = evaluate(distill("random_real", real, 2), real, protocol, students=1, device="cpu")
    images = real.info.normalise(real.test.images)
    with torch.no_grad():
        correct = published(images)[:, list(BIRDS.values())].argmax(1) == real.test.labels
    teacher = result.teacher
    assert (teacher.origin, teacher.network) == ("published", "torchvision/shufflenet_v2_x0_5")
    assert teacher.weights == "torchvision/shufflenet_v2_x0_5.IMAGENET1K_V1"
    assert teacher.sha256 == protocol.teacher.sha256
    assert teacher.test_accuracy == pytest.approx(correct.float().mean().item())
    assert result.phase("teacher") is None
    assert Result.model_validate_json(result.model_dump_json()) == result
    (panel,) = make_table([result]).panels
    assert any(f"with weights {teacher.weights}: " in line for line in panel.header)


def test_a_registered_protocol_may_name_weights_that_are_looked_for_when_it_is_used(published):
    given = {"network": "torchvision/shufflenet_v2_x0_5", "weights": "torchvision/shufflenet_v2_x0_5.IMAGENET1K_V1"}
    protocol = SOFT.model_copy(update={"teacher": TEACHER.model_copy(update=given)})
    found = find_teacher(protocol, toy_subset(size=16), CPU)
    named = SOFT.with_options(["teacher=torchvision/shufflenet_v2_x0_5"])
    assert found.record == find_teacher(named, toy_subset(size=16), CPU).record


def test_several_teachers_give_the_mean_of_their_logits_and_one_account(published):
    real = toy_subset(size=16)
    names = ["teacher=trained", "teacher=torchvision/shufflenet_v2_x0_5", "teacher=trained", "teacher_network=mlp"]
    protocol = SOFT.with_options(names)
    assert [network for network, _ in untrained_teachers(protocol, real)] == [TEACHER.network, "mlp"]
    several = find_teacher(protocol, real, CPU)
    alone = [find_teacher(SOFT.with_options(options), real, CPU) for options in (names[:1], names[1:2], names[2:])]
    images = real.info.normalise(real.train.images)
    mean = sum(ready.soft_labels.targets(images) for ready in alone) / 3
    torch.testing.assert_close(several.soft_labels.targets(images), mean)
    assert several.record.members == tuple(ready.record for ready in alone)
    assert several.record.origin == "several"
    assert several.record.num_bytes == sum(ready.record.num_bytes for ready in alone)
    paid = [ready.phase for ready in alone if ready.phase is not None]
    assert several.phase.reading.seconds == pytest.approx(sum(phase.reading.seconds for phase in paid))
    assert (several.phase.cached, find_teacher(protocol, real, CPU).phase.cached) == (False, True)
    assert untrained_teachers(protocol, real) == []
    result = evaluate(distill("random_real", real, 2), real, protocol, students=1, device="cpu")
    assert Result.model_validate_json(result.model_dump_json()).teacher == several.record
    (panel,) = make_table([result]).panels
    assert any(f"soft labels by {several.record.network}, their logits averaged: " in line for line in panel.header)


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        ("torchvision/resnet18", "no weights torchvision/resnet18.IMAGENET1K_V1 on this machine: put resnet18-"),
        ("torchvision/resnet19", "torchvision has no model 'resnet19'; did you mean"),
        ("torchvision/shufflenet_v2_x0_5", "takes images of 3 channels, digits has 1; take another teacher"),
        ("cut.pth", "is damaged or not a PyTorch file"),
        ("cut.safetensors", "is not a safetensors file, or is cut off"),
        ("code.pth", "holds Python code"),
        ("classes.pth", "knows 7 classes and digits has 10, not ImageNet's by WordNet id"),
        ("none.pth", "does not exist; check the path"),
    ],
)
def test_each_kind_of_bad_teacher_is_one_line_and_exit_code_2(
    teacher, message, published, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    folder = distill("random_real", "digits", 1).save(tmp_path / "set")
    lenet = make_network("mlp", InputShape(1, 8, 7), torch.Generator())
    torch.save(lenet.state_dict(), "classes.pth")
    torch.save(lenet, "code.pth")
    for name in ("cut.pth", "cut.safetensors"):
        Path(name).write_bytes(Path("classes.pth").read_bytes()[:3000])
    monkeypatch.setitem(PROTOCOLS._entries, "soft", SOFT.model_copy(update={"image_augmentation": None}))
    network = ",teacher_network=mlp" if "." in teacher else ""
    arguments = ["evaluate", str(folder), "--protocol", f"soft,teacher={teacher}{network}", "--students", "1"]
    assert cli.main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_class_that_imagenet_does_not_have_is_one_line_and_exit_code_2(published, tmp_path, monkeypatch, capsys):
    real = toy_subset(ids=("n01440764", "n99999999", "n02102040"), size=16)
    monkeypatch.setitem(DATASETS._entries, "toy", lambda data_dir, download=False: real)
    monkeypatch.setitem(PROTOCOLS._entries, "soft", SOFT)
    folder = distill("random_real", real, 1).save(tmp_path / "set")
    protocol = "soft,teacher=torchvision/shufflenet_v2_x0_5"
    assert cli.main(["evaluate", str(folder), "--protocol", protocol, "--students", "1"]) == 2
    error = capsys.readouterr().err
    assert "class n99999999 of toy is not one of ImageNet's 1,000; take another teacher" in error
    assert error.count("\n") == 1


def test_the_command_line_says_what_is_wrong_and_exits_with_2(tmp_path, capsys):
    folder = distill("random_real", "digits", 1).save(tmp_path / "set")
    for protocol, message in (
        ("imagenet-hard", "protocol imagenet-hard changes colours and needs images of 3 channels, digits has 1"),
        ("soft-label,teacher=/no/file", "teacher file /no/file does not exist"),
        ("soft-labl", "did you mean soft-label"),
    ):
        assert cli.main(["evaluate", str(folder), "--protocol", protocol, "--students", "1"]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1


def test_every_shipped_protocol_names_networks_that_can_be_built(build_for):
    for name in PROTOCOLS.names():
        protocol = PROTOCOLS.get(name)
        assert build_for(protocol.network)
        assert protocol.teacher is None or build_for(protocol.teacher.network)


@pytest.fixture
def build_for():
    def build(spec: str) -> object:
        with torch.device("meta"):
            return spec and make_network(spec, InputShape(3, 64, 10), torch.Generator())

    return build
