"""Parts of a protocol: schedules, batch sizes, image-side augmentation, mixtures, and the teacher of soft labels.

All are frozen. Fields without a default are always part of a protocol's hash; one added later needs a default.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self, get_args

from pydantic import ConfigDict, Field, model_validator

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
Positive = Annotated[Whole, Field(gt=0)]
Share = Annotated[Number, Field(ge=0, le=1)]


class Part(Checked):
    """Base of what protocols are made of: frozen, and an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def check_ascending(steps: tuple[tuple[int, int], ...]) -> None:
    """Raise ValueError where steps do not ascend by IPC: a later one would never count."""
    largest = [ipc for ipc, _ in steps]
    if largest != sorted(set(largest)):
        raise ValueError(f"steps must ascend by IPC, got {largest}")


class Schedule(Part):
    """Length of a training run: `epochs` passes, and how the learning rate falls over them.

    It is lowered from epoch index `drop_at` on, or follows a curve: in epoch e of E the rate is multiplied by
    (1 + cos(pi e / E)) / 2 (`cosine`, which ends near 0) or (1 + cos(pi e / 2E)) / 2 (`half cosine`, near a half).

    Attributes:
        epochs: passes.
        drop_at: epoch index of the first drop; None for a curve.
        later_drops: epoch indices of further drops.
        curve: `drops`, or the curve in place of drops.
    """

    epochs: Whole = Field(gt=0)
    drop_at: Annotated[Whole, Field(gt=0)] | None = None
    later_drops: tuple[Positive, ...] = ()
    curve: Literal["drops", "cosine", "half cosine"] = "drops"

    @model_validator(mode="after")
    def _drops_or_follows_a_curve(self) -> Self:
        if (self.curve == "drops") != (self.drop_at is not None) or (self.later_drops and self.drop_at is None):
            raise ValueError("give drop_at, or a curve and no drops")
        return self

    @classmethod
    def with_late_drop(cls, epochs: int) -> Schedule:
        """Return a schedule whose rate drops once, after two thirds of its epochs: for networks trained briefly."""
        return cls(epochs=epochs, drop_at=max(1, epochs * 2 // 3))

    @property
    def drops(self) -> tuple[int, ...]:
        """Epoch indices at which the rate drops; none of a curve."""
        return () if self.drop_at is None else (self.drop_at, *self.later_drops)

    def drops_at(self, epoch: int) -> int:
        """Return how often the rate is lowered before an epoch, counted from 0."""
        return self.drops.count(epoch)

    def curve_at(self, epoch: int) -> float:
        """Return the factor on the rate in an epoch, counted from 0, along the curve; 1 where the rate drops."""
        if self.curve == "drops":
            return 1.0
        return (1 + math.cos(math.pi * epoch / self.epochs / (2 if self.curve == "half cosine" else 1))) / 2

    def scaled(self, epochs: int) -> Schedule:
        """Return a schedule of another length whose rate falls at the same fractions of it."""
        drops = tuple(max(1, round(at * epochs / self.epochs)) for at in self.drops)
        return Schedule(epochs=epochs, drop_at=drops[0] if drops else None, later_drops=drops[1:], curve=self.curve)


class ScheduleByIpc(Part):
    """Fewer epochs for more images per class; drops at fractions of the epochs, rounded down.

    Attributes:
        steps: (largest IPC, epochs), ascending.
        beyond: epochs for more images per class than any step.
        drops: (numerator, denominator) of each drop's place.
        factor_at_100_classes: (numerator, denominator) of the epochs at exactly 100 classes, then floored to hundreds.
    """

    steps: tuple[tuple[Positive, Positive], ...]
    beyond: Whole = Field(gt=0)
    drops: tuple[tuple[Positive, Positive], ...] = Field(min_length=1)
    factor_at_100_classes: tuple[Positive, Positive] | None

    @model_validator(mode="after")
    def _ascends(self) -> Self:
        check_ascending(self.steps)
        return self

    def schedule(self, ipc: int, num_classes: int) -> Schedule:
        """Return the schedule of a set with `ipc` images in each of `num_classes` classes."""
        epochs = next((epochs for largest, epochs in self.steps if ipc <= largest), self.beyond)
        if num_classes == 100 and self.factor_at_100_classes is not None:
            above, below = self.factor_at_100_classes
            epochs = epochs * above // below // 100 * 100
        first, *later = (epochs * above // below for above, below in self.drops)
        return Schedule(epochs=epochs, drop_at=first, later_drops=tuple(later))


class BatchByIpc(Part):
    """Larger batches for more images per class.

    Attributes:
        steps: (largest IPC, images), ascending.
        beyond: images for more images per class than any step.
        doubled_at: numbers of classes at which batches have twice as many images.
    """

    steps: tuple[tuple[Positive, Positive], ...]
    beyond: Whole = Field(gt=0)
    doubled_at: tuple[Positive, ...] = ()

    @model_validator(mode="after")
    def _ascends(self) -> Self:
        check_ascending(self.steps)
        return self

    def size(self, ipc: int | None, num_classes: int) -> int:
        """Return the images in a batch of a set with `ipc` images in each of `num_classes`; None for all of them."""
        found = self.beyond if ipc is None else next((size for most, size in self.steps if ipc <= most), self.beyond)
        return found * (2 if num_classes in self.doubled_at else 1)


class ManyClasses(Part):
    """What replaces a protocol's rate, weight decay and batch size above `more_than` classes."""

    more_than: Whole = Field(ge=0)
    lr: Number = Field(ge=0)
    weight_decay: Number = Field(ge=0)
    batch_size: Whole = Field(gt=0)


class ImageAugmentation(Part):
    """Patch shuffle, padded crop, random resized crop, flip, colour jitter and PCA lighting, in this order.

    Attributes:
        crop_area: least and most of the image's area that a resized crop keeps; (1, 1) for no crop.
        flip: probability of a mirror image.
        jitter: largest weight in the jitter's three interpolations.
        lighting: standard deviation of the weights on the principal components of colour.
        grid: columns, and then rows, of a grid of so many by so many patches change places; 1 for none.
        padding: black pixels around the image, of which a crop of its size is taken.
    """

    crop_area: tuple[Share, Share]
    flip: Number = Field(ge=0, le=1)
    jitter: Number = Field(ge=0)
    lighting: Number = Field(ge=0)
    grid: Whole = Field(default=1, ge=1)
    padding: Whole = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _keeps_some_area(self) -> Self:
        least, most = self.crop_area
        if not 0 < least <= most:
            raise ValueError("crop_area must be its least part, above 0, and its most")
        return self


class SmallImages(Part):
    """What replaces a protocol's image-side augmentation for images of at most `up_to` pixels."""

    up_to: Whole = Field(gt=0)
    image_augmentation: ImageAugmentation


class CutMix(Part):
    """CutMix of a batch with probability `probability`, the kept area drawn from Beta(`beta`, `beta`)."""

    probability: Number = Field(ge=0, le=1)
    beta: Number = Field(gt=0)


class Mixup(Part):
    """Mixup of every batch, the weight of the images' own part drawn from Beta(`alpha`, `alpha`)."""

    alpha: Number = Field(gt=0)


class BestOf(Part):
    """The tests of which papers print the best: of epochs `at`, `at + every`, ..., and always of the last one.

    Attributes:
        every: epochs between tests.
        at: index of the first.
        after: tests before, and at, this fraction of the epochs do not count.
    """

    every: Whole = Field(gt=0)
    at: Whole = Field(ge=0)
    after: Number = Field(default=0.0, ge=0, lt=1)

    def includes(self, epoch: int, epochs: int) -> bool:
        """Return whether the network is tested after an epoch, counted from 0."""
        is_due = epoch % self.every == self.at % self.every and epoch >= self.at
        return epoch == epochs - 1 or (is_due and (not self.after or epoch > self.after * epochs))


class TeacherTraining(Part):
    """How a teacher that is trained here is: SGD with momentum 0.9, in place of the protocol's own plan.

    Images of up to 32 px are shifted by up to 4 pixels, larger ones cropped as torchvision's teachers see them, and
    both mirrored where that is allowed.
    """

    lr: Number = Field(gt=0)
    weight_decay: Number = Field(ge=0)
    batch_size: Whole = Field(gt=0)


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

    What is not given is trained with hard labels, on `schedule`.

    Attributes:
        schedule: of its training; of no meaning for one from a file.
        seed: of its parameters and training; fixed, so that every method and seed learns from one teacher.
        temperature: both logits are divided by it.
        loss: `kl`, the Kullback-Leibler divergence of the student's from the teacher's distribution, times the
            temperature's square; `kl-unscaled` without that factor; `mse`, the mean squared difference of logits.
        ce_weight: of the cross-entropy with the set's own labels, which is added to the loss.
        training: of what is trained here; as a student of the whole real set would be, where None.
        others: further networks.
    """

    schedule: Schedule
    seed: Whole
    temperature: Number = Field(gt=0, le=1e6)
    loss: Literal["kl", "kl-unscaled", "mse"]
    ce_weight: Number = Field(default=0.0, ge=0)
    training: TeacherTraining | None = None
    others: tuple[TeacherNetwork, ...] = ()

    @property
    def members(self) -> tuple[TeacherNetwork, ...]:
        """Each of its networks, itself the first."""
        return (self, *self.others)
