"""The teacher of a protocol with soft labels: networks trained once per data set and kept, or trained elsewhere."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, fields

import torch
from safetensors.torch import save_file

from ddbench.errors import BadInputError
from ddbench.host.cached_work import WorkKey, cached_work, is_kept
from ddbench.host.checkpoint import CHECKPOINT_SECONDS, UNFINISHED_FOLDER, Checkpoints
from ddbench.host.files import load_tensors, sha256_of, staged_file
from ddbench.host.meter import Meter
from ddbench.images import DatasetInfo, RealDataset
from ddbench.method import Tracker, untracked
from ddbench.network import InputShape, Network, make_network, plugin_code
from ddbench.pretrained.loading import load_given
from ddbench.protocol import Protocol, Schedule
from ddbench.records import Phase, Reading, Record, TeacherRecord
from ddbench.seeding import make_generator
from ddbench.students.averaged import Averaged
from ddbench.students.loop import TrainingPlan, measure_accuracy
from ddbench.students.soft_labels import SoftLabels
from ddbench.students.trainer import train_network
from ddbench.training_recipe import ImageAugmentation, Teacher, TeacherNetwork, TeacherTraining

PARAMETERS_FILE = "teacher.safetensors"
LARGEST_SHIFTED = 32  # px: above, images are cropped; as RDED's and SRe2L's teachers of CIFAR and ImageNet
SHIFT = 4  # px at 32, an eighth of smaller sides
CACHE_VERSION = 1  # of the code that trains one; `tests/test_cache_versions.py` says when it must be raised


class _Kept(Record):
    """What stands beside the parameters of a teacher that was trained here."""

    record: TeacherRecord
    reading: Reading


@dataclass(frozen=True, eq=False)
class ReadyTeacher:
    """A teacher ready to give labels, what it is, and what its training cost; what is given does not say that."""

    soft_labels: SoftLabels
    record: TeacherRecord
    phase: Phase | None


@dataclass(frozen=True, eq=False)
class _Member:
    """One network of a teacher, on the device; its fields as those of `ReadyTeacher`."""

    network: Network
    record: TeacherRecord
    phase: Phase | None


def find_teacher(
    protocol: Protocol, real: RealDataset, device: torch.device, track: Tracker = untracked
) -> ReadyTeacher | None:
    """Return the teacher of a protocol for one data set, None for a protocol without one.

    What is trained here is trained once for all methods, seeds, students and temperatures, under the protocol's
    own plan for the whole real set, with hard labels, and kept in the cache folder; a training that was killed goes on
    at its epoch, a damaged teacher is trained again. The test accuracy is measured outside its account and decides
    nothing.

    Raises:
        BadInputError: a file that cannot be read or does not fit the data set.
        DataMismatchError: a file whose content has changed, or published weights that are damaged.
        DataMissingError: published weights that are not on this machine.
    """
    teacher = protocol.teacher
    if teacher is None:
        return None
    alone = [_alone(teacher, member) for member in teacher.members]
    fresh = [_make_fresh(member, real) for member in alone]  # of all, before the first is trained
    members = [
        _find_member(protocol, member, network, real, device, track)
        for member, network in zip(alone, fresh, strict=True)
    ]
    whole = members[0] if len(members) == 1 else _average(members, real, device)
    return ReadyTeacher(SoftLabels.under(teacher, whole.network), whole.record, whole.phase)


def untrained_teachers(protocol: Protocol, real: RealDataset) -> list[tuple[str, TrainingPlan]]:
    """Return the networks of a protocol's teacher that have yet to be trained, each with how."""
    teacher = protocol.teacher
    alone = [] if teacher is None else [_alone(teacher, member) for member in teacher.members]
    plans = [(member, _plan_of(protocol, member, real)) for member in alone if not member.is_given]
    return [(member.network, plan) for member, plan in plans if not is_kept(_key_of(plan, member, real))]


def _make_fresh(teacher: Teacher, real: RealDataset) -> Network | None:
    """Return a network that is to be trained, None for a given one; BadInputError where it is none for the images."""
    if teacher.is_given:
        return None
    initial = make_generator(teacher.seed, "teacher", teacher.network)
    try:
        return make_network(teacher.network, InputShape.of(real.info), initial)
    except BadInputError as error:
        raise BadInputError(f"the teacher {teacher.network}: {error}") from error


def _alone(teacher: Teacher, member: TeacherNetwork) -> Teacher:
    """Return a teacher that one network of several is."""
    changes = {name: getattr(member, name) for name in TeacherNetwork.model_fields}
    return teacher.model_copy(update={**changes, "others": ()})


def _find_member(
    protocol: Protocol,
    teacher: Teacher,
    fresh: Network | None,
    real: RealDataset,
    device: torch.device,
    track: Tracker,
) -> _Member:
    if fresh is None:
        loaded = load_given(teacher, real.info)
        network = loaded.network.to(device)
        return _Member(network, _describe(teacher, network, real, device, loaded.sha256), None)
    network = fresh.to(device)
    kept, is_cached = _train_once(protocol, teacher, network, real, device, track)
    return _Member(network, kept.record, Phase(name="teacher", reading=kept.reading, cached=is_cached))


def _average(members: list[_Member], real: RealDataset, device: torch.device) -> _Member:
    """Return the mean of several networks; its cost is that of all that were trained."""
    records = [member.record for member in members]
    network = Averaged([member.network for member in members], InputShape.of(real.info))
    record = TeacherRecord(
        network=" + ".join(record.network for record in records),
        origin="several",
        sha256=hashlib.sha256("".join(record.sha256 for record in records).encode()).hexdigest(),
        num_bytes=sum(record.num_bytes for record in records),
        test_accuracy=measure_accuracy(network, real.test, device),
        members=tuple(records),
    )
    return _Member(network, record, Phase.joined(member.phase for member in members))


def _train_once(
    protocol: Protocol,
    teacher: Teacher,
    network: Network,
    real: RealDataset,
    device: torch.device,
    track: Tracker,
) -> tuple[_Kept, bool]:
    """Give `network` the kept parameters, trained first where there are none; also returns whether there were."""
    plan, generator = _plan_of(protocol, teacher, real), make_generator(teacher.seed, "teacher", "training")
    with cached_work(_key_of(plan, teacher, real), resumes=True) as work:
        path, meter = work.folder / PARAMETERS_FILE, Meter(device)
        if work.account is not None:
            network.load_state_dict(load_tensors(path, "remove its folder, and it is trained again"))
            return _Kept.model_validate(work.account), True
        with Checkpoints(work.folder / UNFINISHED_FOLDER, meter, track, CHECKPOINT_SECONDS) as checkpoints:
            with meter:
                train_network(network, real.train, plan, generator, checkpoints.track)
            with staged_file(path) as temporary:
                save_file({name: value.cpu().contiguous() for name, value in network.state_dict().items()}, temporary)
            record = _describe(teacher, network, real, device, sha256_of(path))
            kept = _Kept(record=record, reading=checkpoints.total())
            work.keep(kept.model_dump(mode="json"))
        return kept, False


def _plan_of(protocol: Protocol, teacher: Teacher, real: RealDataset) -> TrainingPlan:
    if (training := teacher.training) is not None:
        return teacher_training_plan(training, teacher.schedule, real.info)
    whole = protocol.model_copy(update={"real_schedule": teacher.schedule})
    return TrainingPlan.of(whole, real.info, None)


def teacher_training_plan(training: TeacherTraining, schedule: Schedule, info: DatasetInfo) -> TrainingPlan:
    """Return how a teacher of a data set is trained: SGD, and shifts or, above 32 px, crops of every image."""
    flip = 0.5 * info.may_be_mirrored
    is_small = info.image_size <= LARGEST_SHIFTED
    crops = ImageAugmentation(
        crop_area=(1.0, 1.0) if is_small else (0.08, 1.0),
        flip=flip,
        jitter=0.0,
        lighting=0.0,
        padding=min(SHIFT, info.image_size // 8) if is_small else 0,
    )
    return TrainingPlan(
        schedule=schedule,
        lr=training.lr,
        batch_size=training.batch_size,
        augmentation="",
        weight_decay=training.weight_decay,
        resets_momentum=False,
        image_augmentation=crops,
    )


def _key_of(plan: TrainingPlan, teacher: Teacher, real: RealDataset) -> WorkKey:
    parts = {
        field.name: value.model_dump(exclude_defaults=True) if hasattr(value, "model_dump") else value
        for field in fields(plan)
        if (value := getattr(plan, field.name)) != field.default  # so that a field added later leaves keys alone
    }
    content = {
        "plan": parts,
        "network": teacher.network,
        "code": plugin_code(teacher.network),
        "seed": teacher.seed,
        "data": asdict(real.info),
    }
    return WorkKey("teachers", teacher.network, real.info.name, CACHE_VERSION, content)


def _describe(
    teacher: Teacher, network: Network, real: RealDataset, device: torch.device, sha256: str
) -> TeacherRecord:
    return TeacherRecord(
        network=teacher.network,
        origin="published" if teacher.weights else "file" if teacher.path else "trained",
        sha256=sha256,
        num_bytes=sum(value.numel() * value.element_size() for value in network.state_dict().values()),
        test_accuracy=measure_accuracy(network, real.test, device),
        weights=teacher.weights,
    )
