"""The works that `speed` measures, as the loop everybody writes and as ours, on random images of CIFAR-10's shape."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from ddbench.augment.dsa import apply_dsa, draw_dsa
from ddbench.augment.strategies import DSA_STRATEGY
from ddbench.diffusion.denoiser import DIT_XL_2 as DIT_XL_2
from ddbench.diffusion.denoiser import DenoiserShape, make_denoiser
from ddbench.diffusion.fine_tuning import FineTuning, TuningPlan
from ddbench.diffusion.sampling import SamplingPlan, draw_images
from ddbench.engine.passes import NetworkEngine
from ddbench.host.meter import Meter
from ddbench.images import DatasetInfo, LabeledImages
from ddbench.methods._gradient_matching.gradients import NetworkGradients
from ddbench.methods._trajectories.meta_gradient import META_GRADIENTS
from ddbench.methods.dm import gap_and_gradient, mean_real_embeddings
from ddbench.network import InputShape, Network, make_network
from ddbench.protocol import Schedule
from ddbench.students.batched import train_students
from ddbench.students.loop import TrainingPlan, TrainingSet, measure_accuracy, train_student
from ddbench.training_recipe import Precision
from ddbench.work import BY_IMAGES, FORWARD, META, TRAINING, profile_network
from tests.benchmarks._mtt_problem import make_problem
from tests.benchmarks._plain import dc_loss, dm_loss, measure_plainly, mtt_gradients, train_plainly

CLASSES = 10
INFO = DatasetInfo("noise", tuple("0123456789"), 3, 32, (0.5,) * 3, (0.25,) * 3, "noise")
SHAPE = InputShape.of(INFO)
DIGITS = DatasetInfo("noise", tuple("0123456789"), 1, 8, (0.5,), (0.25,), "noise")
CALIBRATED = (("convnet-d3", INFO), ("convnet-d2-w32", DIGITS))
TINY = DenoiserShape(8, 4, 10, patch_size=2, width=32, depth=2, heads=2, learns_variance=True)


Variants = dict[str, tuple[Callable[[int], object], Precision]]


@dataclass
class Work:
    """Variants of one work by name, the first being the loop that everybody writes.

    Attributes:
        variants: what is called with 1 or 2, for so many times the steps, and the arithmetic that it runs in.
        steps: that one call takes.
        operations: of one step, products and convolutions alone; 0 where they are not counted.
        students: that a variant trains at once, where it is not one.
        uncounted: variants that do another number of operations.
    """

    variants: Variants
    steps: int
    operations: float = 0.0
    students: dict[str, int] = field(default_factory=dict)
    uncounted: tuple[str, ...] = ()


def students(ipc: int, epochs: int, spec: str, device: torch.device, at_once: tuple[int, ...]) -> Work:
    """Epochs of student training with DSA, one batch each up to 256 images."""
    images, labels = _pixels(CLASSES * ipc).to(device), (torch.arange(CLASSES * ipc) % CLASSES).to(device)
    data = TrainingSet(images, labels, INFO)
    normalised = INFO.normalise(images)

    def plan(precision: Precision, times: int) -> TrainingPlan:
        schedule = Schedule(epochs=times * epochs, drop_at=times * epochs)
        return TrainingPlan(schedule, 0.01, 256, DSA_STRATEGY, precision=precision)

    def eager(times: int) -> None:
        train_plainly(_network(spec, device), normalised, labels, plan("fp32", times), _seeded(0))

    def alone(precision: Precision, times: int) -> None:
        engine = NetworkEngine(precision)
        train_student(_network(spec, device), data, plan(precision, times), _seeded(0), engine=engine)

    def together(count: int, precision: Precision, times: int) -> None:
        networks = [_network(spec, device, seed) for seed in range(count)]
        train_students(networks, data, plan(precision, times), [_seeded(seed) for seed in range(count)])

    work = Work({"eager loop": (eager, "fp32"), "one at a time": (partial(alone, "fp32"), "fp32")}, epochs)
    for count in at_once:
        name = f"{count} at once, captured"
        work.variants[name], work.students[name] = (partial(together, count, "fp32"), "fp32"), count
    for precision in ("tf32", "bf16"):
        name = f"{at_once[-1]} at once, captured, {precision}"
        work.variants[name] = (partial(together, at_once[-1], precision), precision)
        work.students[name] = at_once[-1]
    work.operations = TRAINING * CLASSES * ipc * profile_network(spec, SHAPE).flops
    return work


def dm(spec: str, device: torch.device, real_batch: int, ipc: int = 10) -> Work:
    """One iteration of DM, its network given."""
    batches = [_images(real_batch, label).to(device) for label in range(CLASSES)]
    synthetic = _images(CLASSES * ipc, 99).to(device)
    draws = [draw_dsa(_seeded(label), DSA_STRATEGY, 1, siamese=True) for label in range(CLASSES)]
    plain = _network(spec, device).requires_grad_(False)
    network = _network(spec, device).requires_grad_(False).to(memory_format=torch.channels_last)

    def eager() -> Tensor:
        learned = synthetic.detach().requires_grad_()
        return torch.autograd.grad(dm_loss(plain, batches, learned, draws), learned)[0]

    def ours(precision: Precision = "fp32") -> Tensor:
        passed = network.native()
        half: Precision = "bf16" if precision == "bf16" else "fp32"
        means = mean_real_embeddings(passed, batches, draws, half)
        return gap_and_gradient(passed, synthetic, draws, means)[1]

    variants: Variants = {"eager loop": (_repeated(eager), "fp32")}
    for precision in ("fp32", "tf32", "bf16"):
        variants[f"ours, {precision}"] = (_repeated(partial(ours, precision)), precision)
    flops = profile_network(spec, SHAPE).flops
    return Work(variants, 1, CLASSES * flops * (FORWARD * real_batch + BY_IMAGES * ipc))


def gradient_matching(method: str, spec: str, device: torch.device, real_batch: int, ipc: int = 1) -> Work:
    """One match of DC or DSA, all classes, its network given."""
    batches = [_images(real_batch, label).to(device) for label in range(CLASSES)]
    synthetic = _images(CLASSES * ipc, 99).to(device)
    draws = None
    if method == "dsa":
        draws = [draw_dsa(_seeded(label), DSA_STRATEGY, 1, siamese=True) for label in range(CLASSES)]
    plain = _network(spec, device)
    gradients = NetworkGradients(_network(spec, device), compiles=False)
    channels_last = _network(spec, device).to(memory_format=torch.channels_last)
    parameters = {name: parameter.detach() for name, parameter in channels_last.named_parameters()}
    labels = [torch.full((real_batch,), label, device=device) for label in range(CLASSES)]

    def eager() -> Tensor:
        learned = synthetic.detach().requires_grad_()
        return torch.autograd.grad(dc_loss(plain, batches, learned, draws), learned)[0]

    def ours() -> list[Tensor]:
        found = []
        for label, made in enumerate(synthetic.chunk(CLASSES)):
            leaf, real = made.detach().requires_grad_(), batches[label]
            augmented = leaf
            if draws is not None:
                real, augmented = apply_dsa(real, draws[label]), apply_dsa(leaf, draws[label])
            target = gradients.of_mean_loss(parameters, real, labels[label], real_batch)
            _, gradient = gradients.match(parameters, target, augmented, labels[label][: len(made)])
            found.append(torch.autograd.grad(augmented, leaf, gradient)[0] if draws is not None else gradient)
        return found

    variants: Variants = {"eager loop": (_repeated(eager), "fp32"), "ours": (_repeated(ours), "fp32")}
    flops = profile_network(spec, SHAPE).flops
    return Work(variants, 1, CLASSES * flops * (TRAINING * real_batch + META * ipc))


def formats(count: int, spec: str, device: torch.device) -> Work:
    """A forward and backward pass of so many images, in both memory formats and every precision."""
    images = _images(count, 3).to(device)

    def run(precision: Precision, memory_format: torch.memory_format, times: int) -> None:
        network = _network(spec, device).to(memory_format=memory_format)
        given = images.contiguous(memory_format=memory_format)
        for _ in range(5 * times):
            NetworkEngine(precision).logits(network, given).sum().backward()
            network.zero_grad(set_to_none=True)

    variants: Variants = {}
    for precision in ("fp32", "tf32", "bf16"):
        for name, memory_format in (("first", torch.contiguous_format), ("last", torch.channels_last)):
            variants[f"channels {name}, {precision}"] = (partial(run, precision, memory_format), precision)
    return Work(variants, 5, TRAINING * count * profile_network(spec, SHAPE).flops)


def mtt(steps: int, spec: str, device: torch.device) -> Work:
    """One meta-step of MTT at IPC 10: the graph of all steps, and the exact gradient a step at a time."""
    network, images, lr, segment, batches = make_problem(steps, device, spec)
    student = _network(spec, device)
    variants: Variants = {
        "eager loop": (_repeated(partial(mtt_gradients, student, images, lr, segment, batches)), "fp32"),
        "adjoint": (_repeated(partial(META_GRADIENTS["adjoint"], network, images, lr, segment, batches)), "fp32"),
        "adjoint, tf32": (_repeated(partial(META_GRADIENTS["adjoint"], network, images, lr, segment, batches)), "tf32"),
    }
    flops = profile_network(spec, SHAPE).flops
    # The graph of all steps at once saves a pass of each; its operations are not these.
    return Work(variants, 1, steps * len(images) * flops * (TRAINING + META), uncounted=("eager loop",))


def test_pass(count: int, spec: str, device: torch.device) -> Work:
    """The accuracy of a network on a test split."""
    test = LabeledImages(_pixels(count), torch.arange(count) % CLASSES, INFO)
    there, network = test.on(device), _network(spec, device)

    def ours(precision: Precision) -> float:
        return measure_accuracy(network, there, device, engine=NetworkEngine(precision))

    variants: Variants = {"eager loop": (_repeated(partial(measure_plainly, network, test, device)), "fp32")}
    for precision in ("fp32", "tf32", "bf16"):
        variants[f"ours, {precision}"] = (_repeated(partial(ours, precision)), precision)
    return Work(variants, 1, count * FORWARD * profile_network(spec, SHAPE).flops)


class RandomLatents:
    """Latents of 1,300 images of each of ten classes, of the size that 256 px have."""

    def __init__(self, shape: DenoiserShape) -> None:
        self.labels = torch.arange(10).repeat_interleave(1300)
        self._latents = torch.randn(64, shape.channels, shape.image_size, shape.image_size)

    def take(self, indices: Tensor, flips: Tensor, noise: Tensor | None) -> Tensor:
        """Return latents at `indices`."""
        return self._latents[indices % len(self._latents)]


def diffusion(shape: DenoiserShape, device: torch.device, steps: int) -> dict[str, float]:
    """Return steps and images per second of a transformer with random weights, GiB at most, hours of the paper's run.

    The paper's run of ten classes at IPC 100 is 12,000 steps and 1,000 images, without decoding.
    """
    with torch.device(device):
        denoiser = make_denoiser(shape)
    plan = TuningPlan(
        steps=12_000,
        batch_size=8,
        lr=1e-3,
        ema_decay=0.9999,
        trainable="difffit",
        flips=True,
        precision="bf16",
        representativeness_weight=0.002,
        diversity_weight=0.008,
    )
    training = FineTuning(denoiser, RandomLatents(shape), torch.arange(10), plan, seed=0)
    for step in range(3):
        training.run(step)
    with Meter(device) as tuning:
        for step in range(3, 3 + steps):
            training.run(step)
    denoiser.eval().requires_grad_(False)
    labels, sampled = list(range(10)), SamplingPlan(steps=50)
    with Meter(device) as sampling:
        draw_images(denoiser, labels, 0, torch.arange(10), sampled, seed=0)
    steps_rate, image_rate = steps / tuning.reading.seconds, len(labels) / sampling.reading.seconds
    return {
        "steps_per_second": steps_rate,
        "images_per_second": image_rate,
        "peak_gib": (tuning.reading.peak_allocated_bytes or 0) / 2**30,
        "hours": (12_000 / steps_rate + 1_000 / image_rate) / 3600,
    }


def _repeated(function: Callable[[], object]) -> Callable[[int], None]:
    """Return a function that calls another so many times."""

    def run(times: int) -> None:
        for _ in range(times):
            function()

    return run


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _network(spec: str, device: torch.device, seed: int = 0) -> Network:
    return make_network(spec, SHAPE, _seeded(seed)).to(device)


def _pixels(count: int) -> Tensor:
    return torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=_seeded(1))


def _images(count: int, seed: int) -> Tensor:
    return torch.randn(count, 3, 32, 32, generator=_seeded(seed))
