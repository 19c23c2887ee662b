"""Parts of a protocol: schedules, image-side augmentation, CutMix, and the teacher that gives soft labels.

All are frozen. Fields without a default are always part of a protocol's hash; one added later needs a default.
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import ConfigDict, Field

from ddbench.inputs.checked import Checked

# Of passes through a network; parameters and losses stay float32. `fp32` is float32 on every machine, `tf32` what GPUs
# from Ampere on make of it where they may, `bf16` autocast.
Precision = Literal["fp32", "tf32", "bf16"]
MethodPrecision = Literal["fp32", "bf16"]

# Whose labels a set is trained with, from the cheapest to the dearest. `hard`: the class. `own`: the set's soft ones.
# `soft`: a teacher's distribution of each image, kept with it. `online`: a teacher's, of every augmented batch.
Regime = Literal["hard", "own", "soft", "online"]
REGIMES: tuple[Regime, ...] = get_args(Regime)


# A bool or text where a number belongs is a slip, not a number.
Whole = Annotated[int, Field(strict=True)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]


class Part(Checked):
    """Base of what protocols are made of: frozen, and an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Schedule(Part):
    """Length of a training run: `epochs` passes, the learning rate lowered from epoch index `drop_at` on.

    Attributes:
        epochs: passes.
        drop_at: epoch index of the first drop.
        later_drops: epoch indices of further drops.
    """

    epochs: Whole = Field(gt=0)
    drop_at: Whole = Field(gt=0)
    later_drops: tuple[Whole, ...] = ()

    @classmethod
    def with_late_drop(cls, epochs: int) -> Schedule:
        """Return a schedule whose rate drops once, after two thirds of its epochs: for networks trained briefly."""
        return cls(epochs=epochs, drop_at=max(1, epochs * 2 // 3))

    def drops_at(self, epoch: int) -> int:
        """Return how often the rate is lowered before an epoch, counted from 0."""
        return (self.drop_at, *self.later_drops).count(epoch)

    def scaled(self, epochs: int) -> Schedule:
        """Return a schedule of another length whose rate drops at the same fractions of it."""
        first, *later = (max(1, round(at * epochs / self.epochs)) for at in (self.drop_at, *self.later_drops))
        return Schedule(epochs=epochs, drop_at=first, later_drops=tuple(later))


class ScheduleByIpc(Part):
    """Fewer epochs for more images per class; drops at fractions of the epochs, rounded down.

    Attributes:
        steps: (largest IPC, epochs), ascending.
        beyond: epochs for more images per class than any step.
        drops: (numerator, denominator) of each drop's place.
        factor_at_100_classes: (numerator, denominator) of the epochs at exactly 100 classes, then floored to hundreds.
    """

    steps: tuple[tuple[Whole, Whole], ...]
    beyond: Whole = Field(gt=0)
    drops: tuple[tuple[Whole, Whole], ...] = Field(min_length=1)
    factor_at_100_classes: tuple[Whole, Whole] | None

    def schedule(self, ipc: int, num_classes: int) -> Schedule:
        """Return the schedule of a set with `ipc` images in each of `num_classes` classes."""
        epochs = next((epochs for largest, epochs in self.steps if ipc <= largest), self.beyond)
        if num_classes == 100 and self.factor_at_100_classes is not None:
            above, below = self.factor_at_100_classes
            epochs = epochs * above // below // 100 * 100
        first, *later = (epochs * above // below for above, below in self.drops)
        return Schedule(epochs=epochs, drop_at=first, later_drops=tuple(later))


class ManyClasses(Part):
    """What replaces a protocol's rate, weight decay and batch size above `more_than` classes."""

    more_than: Whole
    lr: Number
    weight_decay: Number
    batch_size: Whole


class ImageAugmentation(Part):
    """Random resized crop, flip, colour jitter and PCA lighting, in this order (see `ddbench.augment.imagenet`).

    Attributes:
        crop_area: least and most of the image's area that a crop keeps.
        flip: probability of a mirror image.
        jitter: largest weight in the jitter's three interpolations.
        lighting: standard deviation of the weights on the principal components of colour.
    """

    crop_area: tuple[Number, Number]
    flip: Number
    jitter: Number
    lighting: Number


class CutMix(Part):
    """CutMix of a batch with probability `probability`, the kept area drawn from Beta(`beta`, `beta`)."""

    probability: Number = Field(ge=0, le=1)
    beta: Number = Field(gt=0)


class TeacherNetwork(Part):
    """A network whose logits are a teacher's: trained here, in a file, or with weights that a library publishes.

    Attributes:
        network: its name.
        weights: name of published weights, such as `torchvision/resnet18.IMAGENET1K_V1`; empty for none.
        normalisation: of the images that it was trained on: `imagenet`, `dataset`, or empty for that of the published
            weights and otherwise of the data set.
        sha256: of the file's bytes; empty for one that is trained, and where weights are known by their name alone.
        path: of the file on this machine. The only field of a protocol that is not part of its hash.
    """

    network: str
    weights: str = ""
    normalisation: Literal["", "dataset", "imagenet"] = ""
    sha256: str = ""
    path: str = Field(default="", exclude=True)

    @property
    def is_given(self) -> bool:
        """Whether its parameters are there already, and not trained here."""
        return bool(self.weights or self.path)


class Teacher(TeacherNetwork):
    """Where soft labels come from: a network, or several, whose logits are averaged.

    What is not given is trained under its protocol as a student of the whole real set would be, with hard labels, on
    `schedule`.

    Attributes:
        schedule: of its training; of no meaning for one from a file.
        seed: of its parameters and training; fixed, so that every method and seed learns from one teacher.
        temperature: both logits are divided by it.
        loss: `kl`, the Kullback-Leibler divergence of the student's from the teacher's distribution, times the
            temperature's square.
        others: further networks.
    """

    schedule: Schedule
    seed: Whole
    temperature: Number = Field(gt=0)
    loss: Literal["kl"]
    others: tuple[TeacherNetwork, ...] = ()

    @property
    def members(self) -> tuple[TeacherNetwork, ...]:
        """Each of its networks, itself the first."""
        return (self, *self.others)
