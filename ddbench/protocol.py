"""Evaluation protocols: frozen, named, versioned and hashed, so that two numbers are comparable or visibly not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ddbench.errors import BadInputError, UnknownNameError
from ddbench.host.files import sha256_of
from ddbench.registry import suggest
from ddbench.training_recipe import CutMix, ImageAugmentation, ManyClasses, Precision, Schedule, ScheduleByIpc, Teacher

__all__ = ["PROTOCOLS", "Protocol", "Protocols", "Schedule", "dsa_strategy"]

DSA_STRATEGY = "color_crop_cutout_flip_scale_rotate"
DSA_STRATEGY_NO_FLIP = "color_crop_cutout_scale_rotate"
# A mirrored digit is another shape: reference code leaves `flip` out for these (DSA repository, per data set).
NO_FLIP_DATASETS = ("digits", "mnist", "svhn")


def dsa_strategy(dataset: str) -> str:
    """Return the DSA strategy string for a data set name."""
    return DSA_STRATEGY_NO_FLIP if dataset in NO_FLIP_DATASETS else DSA_STRATEGY


class Protocol(BaseModel):
    """How students are trained and judged. Every field is part of the hash.

    Attributes:
        network: default student; an evaluation on another network is another row, not another protocol.
        schedule: for distilled sets, the same for all or by IPC; `schedule_for` overrides it for named data sets.
        real_schedule: for `full_real`, whose epochs are thousands of times longer.
        lr: SGD learning rate; a distilled set's learned `student_lr` takes its place.
        lr_drop: factor on the rate at every drop.
        resets_momentum: the optimiser is made anew at a drop, as in the DC family's reference code.
        augmentation: DSA strategy for each batch, empty for none; `augmentation_for` overrides it by data set.
        precision: of the students' passes, in training and testing: `bf16` by autocast, parameters staying float32;
            `tf32` on GPUs from Ampere on. cuDNN takes algorithms that repeat their bits under every protocol.
        reported: which epoch's accuracy counts.
        image_augmentation: crops, flips and colours of each image, instead of DSA.
        cutmix: mixes the images of a batch, and their labels, after the other augmentation.
        many_classes: other constants for data sets of many classes.
        teacher: gives the labels of every augmented batch, in place of the set's own, which are then not used.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    version: int = Field(ge=1)
    network: str
    schedule: Schedule | ScheduleByIpc
    schedule_for: Mapping[str, Schedule] = {}
    real_schedule: Schedule
    optimiser: Literal["sgd"] = "sgd"
    lr: float = 0.01
    lr_drop: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    resets_momentum: bool = True
    batch_size: int = 256
    augmentation: str = ""
    augmentation_for: Mapping[str, str] = {}
    precision: Precision = "fp32"
    reported: Literal["last epoch"] = "last epoch"
    image_augmentation: ImageAugmentation | None = None
    cutmix: CutMix | None = None
    many_classes: ManyClasses | None = None
    teacher: Teacher | None = None

    @property
    def hash(self) -> str:
        """Content hash, 12 hexadecimal digits: equal exactly where every field is equal.

        Fields at their default stay out of it, so that a field added later leaves the hash of older protocols alone. A
        default must therefore never change: `tests/golden/protocols.json` holds every field of every version.
        """
        content = json.dumps(self.model_dump(mode="json", exclude_defaults=True), sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:12]

    def schedule_of(self, dataset: str, ipc: int | None, num_classes: int) -> Schedule:
        """Return the schedule for a data set name and number of images per class, None for the whole real set."""
        if ipc is None:
            return self.real_schedule
        chosen = self.schedule_for.get(dataset, self.schedule)
        return chosen if isinstance(chosen, Schedule) else chosen.schedule(ipc, num_classes)

    def augmentation_of(self, dataset: str) -> str:
        """Return the DSA strategy for a data set name; empty for none."""
        return self.augmentation_for.get(dataset, self.augmentation)

    def for_classes(self, num_classes: int) -> Protocol:
        """Return the protocol with the constants that hold for so many classes."""
        many = self.many_classes
        if many is None or num_classes <= many.more_than:
            return self
        return self.model_copy(update=many.model_dump(exclude={"more_than"}))


_NO_FLIP = dict.fromkeys(NO_FLIP_DATASETS, DSA_STRATEGY_NO_FLIP)

# Epoch counts and drops are the reference loops' (they run one pass more than the papers say); the whole-data
# schedules are our choice, because no repository of the family contains one.
DSA = Protocol(
    name="dsa",
    version=1,
    network="convnet-d3",
    schedule=Schedule(epochs=1001, drop_at=502),
    real_schedule=Schedule(epochs=200, drop_at=100),
    augmentation=DSA_STRATEGY,
    augmentation_for=_NO_FLIP,
)
# `dsa` in half the precision and, on processors that compute in it, half the time. Never in one table with `dsa` unless
# asked for, although no difference was found: README.
DSA_BF16 = DSA.model_copy(update={"name": "dsa-bf16", "precision": "bf16"})
# `dsa` with TF32 in products and convolutions, as torch's convolutions have it by default on newer GPUs; on a GPU only.
DSA_TF32 = DSA.model_copy(update={"name": "dsa-tf32", "precision": "tf32"})
DC = Protocol(
    name="dc",
    version=1,
    network="convnet-d3",
    schedule=Schedule(epochs=301, drop_at=152),
    schedule_for={"mnist": Schedule(epochs=1001, drop_at=502)},
    real_schedule=Schedule(epochs=100, drop_at=50),
    augmentation="",
    augmentation_for={"mnist": "crop_scale_rotate"},
)
QUICK = Protocol(
    name="quick",
    version=1,
    network="convnet-d2-w32",
    schedule=Schedule(epochs=150, drop_at=100),
    real_schedule=Schedule(epochs=40, drop_at=30),
    lr=0.05,
    batch_size=128,
    augmentation=DSA_STRATEGY,
    augmentation_for=_NO_FLIP,
)

# Checked against vimar-gu/MinimaxDiffusion (argument.py, train.py, data.py): Gu et al., CVPR 2024 (arXiv 2311.15529).
# It reports the best epoch, this protocol the last. Whole real set: argument.py's default of 300 epochs.
IMAGENET_HARD = Protocol(
    name="imagenet-hard",
    version=1,
    network="resnet_ap10",
    schedule=ScheduleByIpc(
        steps=((1, 3000), (10, 2000), (50, 1500), (200, 1000), (500, 500)),
        beyond=300,
        drops=((2, 3), (5, 6)),
        factor_at_100_classes=(2, 3),
    ),
    real_schedule=Schedule(epochs=300, drop_at=200, later_drops=(250,)),
    lr_drop=0.2,
    resets_momentum=False,
    batch_size=64,
    image_augmentation=ImageAugmentation(crop_area=(0.5, 1.0), flip=0.5, jitter=0.4, lighting=0.1),
    cutmix=CutMix(probability=1.0, beta=1.0),
    many_classes=ManyClasses(more_than=100, lr=0.1, weight_decay=1e-4, batch_size=128),
)
# `imagenet-hard` but for the labels. Temperature 20, CutMix and a ResNet-18 with batch norm as teacher: VILA-Lab/SRe2L
# (validate/train_FKD.sh) and LINs-lab/RDED (validation/main.py), which differ in the rest (AdamW, a cosine, crops).
SOFT_LABEL = IMAGENET_HARD.model_copy(
    update={
        "name": "soft-label",
        "teacher": Teacher(
            network="resnet18-bn", schedule=IMAGENET_HARD.real_schedule, seed=0, temperature=20.0, loss="kl"
        ),
    }
)

# Variants for two cores and images of 64 px: a tenth of the epochs, and the ConvNet whose depth fits that size, at a
# quarter of the usual width. For trying things out: their numbers are comparable with nothing published.
_TENTH = Schedule(epochs=30, drop_at=20, later_drops=(25,))
_TENTH_BY_IPC = ScheduleByIpc(
    steps=((1, 300), (10, 200), (50, 150), (200, 100), (500, 50)),
    beyond=30,
    drops=((2, 3), (5, 6)),
    factor_at_100_classes=None,
)
IMAGENET_HARD_2CORES = IMAGENET_HARD.model_copy(
    update={
        "name": "imagenet-hard-2cores",
        "network": "convnet-d4-w32",
        "schedule": _TENTH_BY_IPC,
        "real_schedule": _TENTH,
    }
)
SOFT_LABEL_2CORES = IMAGENET_HARD_2CORES.model_copy(
    update={
        "name": "soft-label-2cores",
        "teacher": Teacher(network="convnet-d4-w32-bn", schedule=_TENTH, seed=0, temperature=20.0, loss="kl"),
    }
)


class Protocols:
    """The named protocols; `get` accepts a name, with near-miss suggestions for an unknown one.

    A protocol with a teacher takes options: `soft-label,teacher=FILE[,teacher_network=NETWORK]` is another protocol,
    whose teacher is loaded from a safetensors file. Its name and hash follow from the file's bytes.
    """

    kind = "protocol"

    def __init__(self, *protocols: Protocol) -> None:
        self._protocols = {protocol.name: protocol for protocol in protocols}

    def register(self, protocol: Protocol) -> Protocol:
        """Add a protocol under its own name; raises ValueError where a different one has that name."""
        if self._protocols.get(protocol.name, protocol) != protocol:
            raise ValueError(f"protocol name {protocol.name!r} is taken by another content; choose another name")
        self._protocols[protocol.name] = protocol
        return protocol

    def names(self) -> tuple[str, ...]:
        """Every known name, sorted."""
        return tuple(sorted(self._protocols))

    def get(self, name: str) -> Protocol:
        """Return the protocol called `name`, options included.

        Raises:
            UnknownNameError: no such protocol.
            BadInputError: options that it does not take, or a teacher's file that cannot be read.
        """
        base, *options = name.split(",")
        if base not in self._protocols:
            raise UnknownNameError(f"unknown protocol {base!r}; {suggest(base, self.names())}")
        protocol = self._protocols[base]
        return _with_teacher_file(protocol, options) if options else protocol

    def summary(self, name: str) -> str:
        """One line about `name`: version, hash and what it trains."""
        protocol = self.get(name)
        return f"v{protocol.version}@{protocol.hash}: {', '.join(_describe(protocol))}"


PROTOCOLS = Protocols(
    DSA, DSA_BF16, DSA_TF32, DC, QUICK, IMAGENET_HARD, SOFT_LABEL, IMAGENET_HARD_2CORES, SOFT_LABEL_2CORES
)


def _describe(protocol: Protocol) -> list[str]:
    schedule = protocol.schedule
    if isinstance(schedule, Schedule):
        epochs = f"{schedule.epochs} epochs"
    else:
        epochs = f"{schedule.steps[0][1]} to {schedule.beyond} epochs by IPC"
    if protocol.image_augmentation is not None:
        augmented = "crops, flips and colours" + (", CutMix" if protocol.cutmix else "")
    else:
        augmented = "DSA" if protocol.augmentation else "no augmentation"
    teacher = protocol.teacher
    precision = [] if protocol.precision == "fp32" else [protocol.precision]
    labels = [f"soft labels of a {teacher.network} at temperature {teacher.temperature:g}"] if teacher else []
    return [protocol.network, epochs, augmented, *precision, *labels]


def _with_teacher_file(protocol: Protocol, pairs: Sequence[str]) -> Protocol:
    """Return the protocol with a teacher from a file, as `teacher=FILE` and `teacher_network=NETWORK` say."""
    known = ("teacher", "teacher_network")
    if protocol.teacher is None:
        raise BadInputError(f"protocol {protocol.name} takes no options, got {pairs[0]!r}; soft-label takes some")
    options: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if key not in known:
            raise BadInputError(f"protocol {protocol.name} has no option {key!r}; {suggest(key, known)}")
        if not (equals and value) or key in options:
            raise BadInputError(f"protocol option must be key=value, each key once, got {pair!r}")
        options[key] = value
    if "teacher" not in options:
        raise BadInputError(f"protocol {protocol.name}: teacher_network goes with teacher=FILE; give that too")
    path = Path(options["teacher"]).expanduser()
    try:
        digest = sha256_of(path)
    except OSError as error:
        raise BadInputError(f"teacher file {path} cannot be read: {error.strerror or error}; check the path") from error
    changes: dict[str, Any] = {"path": str(path), "sha256": digest}
    if "teacher_network" in options:
        changes["network"] = options["teacher_network"]
    teacher = protocol.teacher.model_copy(update=changes)
    return protocol.model_copy(update={"name": f"{protocol.name},teacher={digest[:12]}", "teacher": teacher})
