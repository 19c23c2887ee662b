"""How fast this machine is, measured briefly before long work: seconds of a training step and of a forward pass.

A network is run at two small batch sizes with the same code that the work runs, and seconds are taken as so much for a
step and so much for an image. Only its speed is looked at: the images are noise and the rate of learning is zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from ddbench.engine.arithmetic import arithmetic_of
from ddbench.engine.passes import NetworkEngine, channels_last, plan_engine
from ddbench.errors import DDBenchError
from ddbench.host.meter import Meter
from ddbench.images import DatasetInfo, LabeledImages
from ddbench.network import InputShape, Network, make_network
from ddbench.protocol import Schedule
from ddbench.students.loop import TrainingPlan, TrainingSet, chunk_size, train_student
from ddbench.training_recipe import Precision
from ddbench.work import FORWARD, TRAINING, Passes, profile_network

# A measurement passes images worth so many FLOPs: a tenth of a second on two cores for common networks, and few images
# of large ones. Two batch sizes, each in rounds of which the fastest counts: others were disturbed. A round of a small
# network has more steps, so that what begins a training does not count with each of them. On a GPU a few images take as
# long as one.
MEASURED_FLOPS = {"cpu": 10e9, "cuda": 2e12}
MOST_TRAINED = {"cpu": 128, "cuda": 512}
FEWEST_IMAGES = 4
ROUNDS, FEWEST_STEPS, MOST_STEPS = 5, 2, 20
PLAIN = TrainingPlan(Schedule(epochs=1, drop_at=1), lr=0.0, batch_size=128, augmentation="")

# Passes a number of images so many times.
Run = Callable[[int, int], None]


@dataclass(frozen=True)
class Speed:
    """Seconds that a step takes, whatever its size, and seconds for each of its images."""

    per_step: float
    per_image: float


class Calibration:
    """Measures networks for one data set on one device, each once for a number of threads, when it is first asked for.

    Args:
        device: where the work is to run.
        info: channels, size and classes of the images.
    """

    def __init__(self, device: torch.device, info: DatasetInfo) -> None:
        self._device, self._info = device, info
        self._speeds: dict[object, Speed] = {}
        self._made: dict[int, LabeledImages] = {}

    def seconds(self, passes: Iterable[Passes], plan: TrainingPlan = PLAIN) -> float:
        """Return the seconds that some passes would take; `plan` gives their augmentation and precision."""
        return sum(self._seconds_of(part, plan) for part in passes)

    def measure_all(self, network: str, precisions: Sequence[Precision]) -> list[dict[str, Any]]:
        """Return the speeds of a network in every precision, without augmentation, as rows of a `KeptCalibration`."""
        shape = {"channels": self._info.channels, "image_size": self._info.image_size}
        rows = []
        for precision in precisions:
            for trains in (False, True):
                plan = replace(PLAIN, precision=precision)
                speed = self._measure(network, plan, trains=trains, is_native=True)
                rows.append({"network": network, **shape, "trains": trains, "precision": precision, **asdict(speed)})
        return rows

    def _seconds_of(self, part: Passes, plan: TrainingPlan) -> float:
        if part.images == 0:
            return 0.0
        trains = part.cost > FORWARD
        chosen = plan if trains else replace(PLAIN, precision=plan.precision)
        chosen = replace(chosen, schedule=PLAIN.schedule, lr=0.0, batch_size=PLAIN.batch_size)
        key = (part.network, trains, part.is_native, chosen, torch.get_num_threads())
        if key not in self._speeds:
            self._speeds[key] = self._measure(part.network, chosen, trains=trains, is_native=part.is_native)
        speed = self._speeds[key]
        weight = part.cost / (TRAINING if trains else FORWARD)
        steps = part.images / max(1, part.batch_size)
        return weight * (steps * speed.per_step + part.images * speed.per_image)

    def _measure(self, network: str, plan: TrainingPlan, *, trains: bool, is_native: bool) -> Speed:
        shape = InputShape.of(self._info)
        cost = TRAINING if trains else FORWARD
        kind = self._device.type
        affordable = int(MEASURED_FLOPS[kind] / (cost * max(1, profile_network(network, shape).flops)))
        many = min(max(FEWEST_IMAGES, affordable), MOST_TRAINED[kind] if trains else chunk_size(self._device))
        few, steps = many // 4, min(max(FEWEST_STEPS, affordable // many), MOST_STEPS)
        built = make_network(network, shape, torch.Generator().manual_seed(0)).to(self._device)
        engine = plan_engine(network, built, shape, plan.precision, self._device, many) if is_native else None
        run = self._trainer(built, plan, engine) if trains else self._passer(built, engine)
        with arithmetic_of(plan.precision, self._device):
            slow, fast = self._time(run, many, steps), self._time(run, few, steps)
        per_image = (slow - fast) / (many - few)
        per_image = min(max(per_image, 0.0), slow / many)  # noise can make either part negative
        return Speed(per_step=slow - many * per_image, per_image=per_image)

    def _time(self, run: Run, count: int, steps: int) -> float:
        """Return the seconds of a step with `count` images."""
        run(count, steps)
        seconds = []
        for _ in range(ROUNDS):
            with Meter(self._device) as meter:
                run(count, steps)
            seconds.append(meter.reading.seconds / steps)
        return min(seconds)

    def _trainer(self, built: Network, plan: TrainingPlan, engine: NetworkEngine | None) -> Run:
        generator = torch.Generator().manual_seed(0)

        def run(count: int, steps: int) -> None:
            data = self._data(count)
            schedule = Schedule(epochs=steps, drop_at=steps)
            train_student(built, data, replace(plan, schedule=schedule, batch_size=count), generator, engine=engine)

        return run

    def _passer(self, built: Network, engine: NetworkEngine | None) -> Run:
        engine = engine or NetworkEngine()
        passed = engine.form_of(built.eval())

        @torch.no_grad()
        def run(count: int, steps: int) -> None:
            images, places = self._noise(count), torch.arange(count)
            for _ in range(steps):
                engine.logits(passed, channels_last(images.normalised(places, self._device)))

        return run

    def _data(self, count: int) -> TrainingSet:
        return TrainingSet.of_real(self._noise(count), self._device)

    def _noise(self, count: int) -> LabeledImages:
        """Return images of noise on the device, made once: making them is no part of what is timed."""
        if count not in self._made:
            self._made[count] = self._make_noise(count)
        return self._made[count]

    def _make_noise(self, count: int) -> LabeledImages:
        info, generator = self._info, torch.Generator().manual_seed(0)
        size = (count, info.channels, info.image_size, info.image_size)
        pixels = torch.randint(0, 256, size, dtype=torch.uint8, generator=generator)
        return LabeledImages(pixels, torch.arange(count) % info.num_classes, info).on(self._device)


class NotMeasuredError(DDBenchError):
    """A speed that a kept calibration does not hold."""


class KeptCalibration(Calibration):
    """Speeds that another machine has measured, as `measure_all` gives them.

    Args:
        info: channels, size and classes of the images.
        rows: of any networks and shapes of images.
    """

    def __init__(self, info: DatasetInfo, rows: Iterable[Mapping[str, Any]]) -> None:
        super().__init__(torch.device("cpu"), info)
        names = ("network", "channels", "image_size", "trains", "precision")
        self._rows = {tuple(row[name] for name in names): Speed(row["per_step"], row["per_image"]) for row in rows}

    def _measure(self, network: str, plan: TrainingPlan, *, trains: bool, is_native: bool) -> Speed:
        key = (network, self._info.channels, self._info.image_size, trains, plan.precision)
        if key not in self._rows:
            raise NotMeasuredError(f"that machine has measured no {network} on {key[1]}x{key[2]}x{key[2]} images")
        return self._rows[key]
