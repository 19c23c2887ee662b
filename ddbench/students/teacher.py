"""The teacher of a protocol with soft labels: trained once per data set and kept, or loaded from a user's file."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import Tensor

from ddbench.errors import BadInputError, DataMismatchError
from ddbench.host.cached_work import WorkKey, cached_work, is_kept
from ddbench.host.files import sha256_of, staged_file
from ddbench.host.meter import Meter
from ddbench.inputs.documents import read_bytes
from ddbench.method import Tracker, untracked
from ddbench.network import InputShape, Network, make_network, plugin_code
from ddbench.protocol import Protocol, Schedule
from ddbench.records import DatasetInfo, Phase, Reading, RealDataset, Record, TeacherRecord
from ddbench.seeding import make_generator
from ddbench.students.loop import TrainingPlan, measure_accuracy
from ddbench.students.soft_labels import SoftLabels
from ddbench.students.trainer import train_network
from ddbench.training_recipe import ImageAugmentation, Teacher, TeacherTraining

LARGEST_FILE = 16 * 2**30  # bytes of a user's teacher
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
    """A teacher ready to give labels, what it is, and what its training cost; a user's file does not say that."""

    soft_labels: SoftLabels
    record: TeacherRecord
    phase: Phase | None


def find_teacher(
    protocol: Protocol, real: RealDataset, device: torch.device, track: Tracker = untracked
) -> ReadyTeacher | None:
    """Return the teacher of a protocol for one data set, None for a protocol without one.

    One that is trained here is trained once for all methods, seeds, students and temperatures, under the protocol's
    own plan for the whole real set, with hard labels, and kept in the cache folder; a damaged one is trained again. The
    test accuracy is measured outside its account and decides nothing.

    Raises:
        BadInputError: a user's file that cannot be read or does not fit the data set.
        DataMismatchError: a user's file whose content has changed.
    """
    teacher = protocol.teacher
    if teacher is None:
        return None
    network = make_network(
        teacher.network, InputShape.of(real.info), make_generator(teacher.seed, "teacher", teacher.network)
    ).to(device)
    if teacher.path:
        record = _load_file(teacher, network, real, device)
        return ReadyTeacher(SoftLabels.under(teacher, network), record, None)
    kept, is_cached = _train_once(protocol, teacher, network, real, device, track)
    phase = Phase(name="teacher", reading=kept.reading, cached=is_cached)
    return ReadyTeacher(SoftLabels.under(teacher, network), kept.record, phase)


def teacher_plan(protocol: Protocol, real: RealDataset) -> TrainingPlan | None:
    """Return how the teacher of a protocol has yet to be trained; None without one, or where it is there already."""
    teacher = protocol.teacher
    if teacher is None or teacher.path:
        return None
    plan = _plan_of(protocol, teacher, real)
    return None if is_kept(_key_of(plan, teacher, real)) else plan


def _train_once(
    protocol: Protocol,
    teacher: Teacher,
    network: Network,
    real: RealDataset,
    device: torch.device,
    track: Tracker,
) -> tuple[_Kept, bool]:
    """Give `network` the kept parameters, trained first where there are none; also returns whether there were."""
    plan = _plan_of(protocol, teacher, real)
    with cached_work(_key_of(plan, teacher, real)) as work:
        path = work.folder / PARAMETERS_FILE
        if work.account is not None:
            _fill(network, path.read_bytes(), path, teacher, real)
            return _Kept.model_validate(work.account), True
        with Meter(device) as meter:
            train_network(network, real.train, plan, make_generator(teacher.seed, "teacher", "training"), track)
        with staged_file(path) as temporary:
            save_file({name: value.cpu().contiguous() for name, value in network.state_dict().items()}, temporary)
        record = _describe(teacher, network, real, device, sha256_of(path))
        kept = _Kept(record=record, reading=meter.reading)
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


def _load_file(teacher: Teacher, network: Network, real: RealDataset, device: torch.device) -> TeacherRecord:
    path = Path(teacher.path)
    content = read_bytes(path, "teacher file", LARGEST_FILE)
    if hashlib.sha256(content).hexdigest() != teacher.sha256:
        raise DataMismatchError(f"teacher file {path} has changed since the run began; start again")
    _fill(network, content, path, teacher, real)
    return _describe(teacher, network, real, device, teacher.sha256)


def _fill(network: Network, content: bytes, path: Path, teacher: Teacher, real: RealDataset) -> None:
    """Load parameters into `network`; raises BadInputError with the first thing that does not fit."""
    try:
        tensors = load(content)
    except SafetensorError as error:
        raise BadInputError(f"teacher file {path} is not a whole safetensors file ({error}); save it again") from error
    problem = _misfit(tensors, network.state_dict())
    if problem:
        raise BadInputError(
            f"teacher file {path} does not fit network {teacher.network} on {real.info.name}: {problem}; name its "
            "network with teacher_network=NETWORK, or train one for this data set"
        )
    network.load_state_dict(tensors)


def _misfit(found: dict[str, Tensor], expected: dict[str, Tensor]) -> str:
    """Return what is wrong with the first parameter that is, or an empty text."""
    if missing := sorted(expected.keys() - found.keys()):
        return f"it lacks {missing[0]}" + (f" and {len(missing) - 1} more" if len(missing) > 1 else "")
    if unknown := sorted(found.keys() - expected.keys()):
        return f"it has an unknown {unknown[0]}" + (f" and {len(unknown) - 1} more" if len(unknown) > 1 else "")
    for name, wanted in expected.items():
        tensor = found[name]
        if tensor.shape != wanted.shape:
            return f"{name} should be {tuple(wanted.shape)}, found {tuple(tensor.shape)}"
        if tensor.is_floating_point() != wanted.is_floating_point():
            return f"{name} should be {wanted.dtype}, found {tensor.dtype}"
        if not tensor.isfinite().all():
            return f"{name} holds NaN or infinite values"
    return ""


def _describe(
    teacher: Teacher, network: Network, real: RealDataset, device: torch.device, sha256: str
) -> TeacherRecord:
    return TeacherRecord(
        network=teacher.network,
        origin="file" if teacher.path else "trained",
        sha256=sha256,
        num_bytes=sum(value.numel() * value.element_size() for value in network.state_dict().values()),
        test_accuracy=measure_accuracy(network, real.test, device),
    )
