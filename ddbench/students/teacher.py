"""The teacher of a protocol with soft labels: trained once per data set and kept, or loaded from a user's file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from filelock import FileLock
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import Tensor

from ddbench.errors import BadInputError, DataMismatchError
from ddbench.host.files import find_cache_dir, keyed_name, make_folder, sha256_of, staged_file, write_text
from ddbench.host.meter import Meter
from ddbench.method import Tracker, untracked
from ddbench.network import InputShape, Network, make_network
from ddbench.protocol import Protocol
from ddbench.records import Phase, Reading, RealDataset, Record, TeacherRecord
from ddbench.seeding import make_generator
from ddbench.students.loop import TrainingPlan, measure_accuracy
from ddbench.students.soft_labels import SoftLabels
from ddbench.students.trainer import train_network
from ddbench.training_recipe import Teacher

PARAMETERS_FILE = "teacher.safetensors"
RECORD_FILE = "teacher.json"


class _Kept(Record):
    """What stands beside the parameters of a teacher that was trained here."""

    record: TeacherRecord
    reading: Reading


@dataclass(frozen=True, eq=False)
class Teaching:
    """A teacher ready to give labels, what it is, and what its training cost; a user's file does not say that."""

    soft_labels: SoftLabels
    record: TeacherRecord
    phase: Phase | None


def find_teacher(
    protocol: Protocol, real: RealDataset, device: torch.device, track: Tracker = untracked
) -> Teaching | None:
    """Return the teacher of a protocol for one data set, None for a protocol without one.

    One that is trained here is trained once for all methods, seeds, students and temperatures, under the protocol's
    own plan for the whole real set, with hard labels, and kept in the cache folder. The test accuracy is measured
    outside its account and decides nothing.

    Raises:
        BadInputError: a user's file that cannot be read or does not fit the data set.
        DataMismatchError: a kept teacher or a user's file whose content has changed.
    """
    teacher = protocol.teacher
    if teacher is None:
        return None
    network = make_network(
        teacher.network, InputShape.of(real.info), make_generator(teacher.seed, "teacher", teacher.network)
    ).to(device)
    if teacher.path:
        record = _load_file(teacher, network, real, device)
        return Teaching(SoftLabels.of(network, teacher.temperature), record, None)
    kept, is_cached = _train_once(protocol, teacher, network, real, device, track)
    phase = Phase(name="teacher", reading=kept.reading, cached=is_cached)
    return Teaching(SoftLabels.of(network, teacher.temperature), kept.record, phase)


def teacher_plan(protocol: Protocol, real: RealDataset) -> TrainingPlan | None:
    """Return how the teacher of a protocol has yet to be trained; None without one, or where it is there already."""
    teacher = protocol.teacher
    if teacher is None or teacher.path:
        return None
    plan = _plan_of(protocol, teacher, real)
    return None if (_folder_of(plan, teacher, real) / RECORD_FILE).is_file() else plan


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
    folder = _folder_of(plan, teacher, real)
    make_folder(folder)
    with FileLock(folder.with_name(f"{folder.name}.lock")):
        if (folder / RECORD_FILE).is_file():
            return _read_kept(folder, network, teacher, real), True
        with Meter(device) as meter:
            train_network(network, real.train, plan, make_generator(teacher.seed, "teacher", "training"), track)
        with staged_file(folder / PARAMETERS_FILE) as temporary:
            save_file({name: value.cpu().contiguous() for name, value in network.state_dict().items()}, temporary)
        record = _describe(teacher, network, real, device, sha256_of(folder / PARAMETERS_FILE))
        kept = _Kept(record=record, reading=meter.reading)
        # Last: a teacher without its record is trained again.
        write_text(folder / RECORD_FILE, kept.model_dump_json(indent=1) + "\n")
        return kept, False


def _plan_of(protocol: Protocol, teacher: Teacher, real: RealDataset) -> TrainingPlan:
    whole = protocol.model_copy(update={"real_schedule": teacher.schedule})
    return TrainingPlan.of(whole, real.info, None)


def _folder_of(plan: TrainingPlan, teacher: Teacher, real: RealDataset) -> Path:
    parts = {key: value.model_dump() if hasattr(value, "model_dump") else value for key, value in vars(plan).items()}
    content = {
        "plan": parts,
        "network": teacher.network,
        "seed": teacher.seed,
        "dataset": real.info.name,
        "fingerprint": real.info.fingerprint,
    }
    return find_cache_dir() / "teachers" / keyed_name(content, real.info.name)


def _read_kept(folder: Path, network: Network, teacher: Teacher, real: RealDataset) -> _Kept:
    path = folder / PARAMETERS_FILE
    try:
        kept = _Kept.model_validate_json((folder / RECORD_FILE).read_text(encoding="utf-8"))
        content = path.read_bytes()
    except (OSError, ValueError, ValidationError) as error:
        reason = " ".join(str(error).split())[:160]
        raise DataMismatchError(f"the teacher in {folder} is damaged ({reason}); remove it to train again") from error
    if hashlib.sha256(content).hexdigest() != kept.record.sha256:
        raise DataMismatchError(f"{path} is truncated or altered: its checksum differs; remove {folder} to train again")
    _fill(network, content, path, teacher, real)
    return kept


def _load_file(teacher: Teacher, network: Network, real: RealDataset, device: torch.device) -> TeacherRecord:
    path = Path(teacher.path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadInputError(f"teacher file {path} cannot be read: {error.strerror or error}; check the path") from error
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
