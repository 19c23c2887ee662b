"""Many students of one network trained at once: one student's batches of 10 to 500 images leave a GPU idle.

Every student keeps its own order of images, its own augmentation draws, loss and momentum, so that its numbers are
those of `train_student` to float tolerance. The parameters of S students are one (S, P) tensor. Batches are made for
many steps ahead, one call per augmentation strategy for all students and steps that drew it; a step reads them from
buffers that stay in place, so that on a GPU it is captured once as a CUDA graph and replayed.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, islice, pairwise
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call, grad, vmap
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from ddbench.augment.dsa import Draw, apply_dsa, draw_dsa
from ddbench.engine.chunks import is_out_of_memory
from ddbench.engine.compiled import in_precision
from ddbench.host.meter import Meter
from ddbench.method import Tracker, untracked
from ddbench.network import Network, has_batch_norm, named_parts
from ddbench.records import Reading
from ddbench.students.loop import TrainingPlan, TrainingSet, channels_last

Form = Literal["stacked", "side by side"]

# How many students are trained at once on a GPU: as many as published rows have, at most, and as half of the memory
# that is free there holds. Our choice.
MOST_AT_ONCE = 20
MEMORY_SHARE = 0.5
# Images are made ahead for as many steps as fit into this many float values, 128 MiB in float32; for one step at least.
AHEAD_VALUES = 2**25
SIDE_STREAMS = 4  # on which students' work overlaps, of our choice; kernels of one batch fill a part of a large GPU
WARM_UPS = 3  # steps before a capture, as torch's notes on CUDA graphs advise


@dataclass(frozen=True)
class Together:
    """How students were trained at once: in words for the engine's record, and what capturing their steps took."""

    mode: str
    captures: tuple[Reading, ...] = ()


def students_at_once(network: Network, data: TrainingSet, plan: TrainingPlan) -> int:
    """Return how many students one call trains on a GPU where the suite does not say, 1 to `MOST_AT_ONCE`.

    One step of one student is taken, and the memory that it needed is compared with what is free. No number depends on
    how many students are trained at once.

    Args:
        network: a fresh one, on the device of `data`; its parameters are used up.
        data: what students are to train on.
        plan: schedule, SGD constants, augmentation.
    """
    device = data.device
    images, labels = next(batches_ahead(data, plan, [torch.Generator().manual_seed(0)]))
    before = torch.cuda.memory_allocated(device)
    with Meter(device) as meter:
        Students([network], plan, "side by side").step(images, labels)
    needed = (meter.reading.peak_allocated_bytes or 0) - before
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return fitting_students(torch.cuda.mem_get_info(device)[0] + unused, needed)


def fitting_students(free_bytes: int, bytes_each: int) -> int:
    """Return how many students of `bytes_each` are trained at once where so much is free, 1 to `MOST_AT_ONCE`."""
    return max(1, min(MOST_AT_ONCE, int(free_bytes * MEMORY_SHARE) // max(1, bytes_each)))


def together_unsupported(network: Network, data: TrainingSet, plan: TrainingPlan, *, has_teacher: bool) -> str | None:
    """Return why such students must be trained one by one, or None where they can be trained at once."""
    if has_teacher:
        return "a teacher labels every batch"
    if plan.image_augmentation is not None or plan.cutmix is not None or plan.mixup is not None:
        return "the protocol's augmentation is not DSA"
    if plan.optimiser != "sgd" or plan.decays != "all" or plan.average:
        return "the optimiser is not plain SGD"
    if plan.best_of is not None:
        return "students are tested on the way"
    if data.source is not None:
        return "images are read batch by batch"
    if has_batch_norm(network) or next(network.buffers(), None) is not None:
        return "the network keeps running statistics"
    try:
        _try_stacked(network, data)
    except RuntimeError as error:  # what torch raises for a draw, or a branch on values, inside `vmap`
        return f"the network cannot be vectorised: {str(error).splitlines()[0]}"
    return None


def train_students(
    networks: Sequence[Network],
    data: TrainingSet,
    plan: TrainingPlan,
    generators: Sequence[torch.Generator],
    track: Tracker = untracked,
    *,
    form: Form = "side by side",
    static: bool | None = None,
) -> Together:
    """Train S networks of one structure in place, each as `train_student` would with its generator.

    Args:
        networks: on the device of `data`; `together_unsupported` says None of them.
        data: what to train on.
        plan: schedule, SGD constants, augmentation.
        generators: one CPU generator per network, for its order of images and its augmentation.
        track: shows progress over the epochs.
        form: `stacked`, one vectorised call for all students whose convolutions are grouped, or `side by side`, each
            student's own call, which a CUDA graph overlaps.
        static: steps read their batch from buffers that stay in place, on a GPU captured as CUDA graphs; default there.

    Returns:
        How it was done.

    Raises:
        StudentDivergedError: parameters are not finite at the end.
    """
    students = Students(networks, plan, form)
    steps = StaticSteps(students) if (data.device.type == "cuda" if static is None else static) else None
    run = students.step if steps is None else steps
    per_epoch = math.ceil(len(data) / plan.batch_size)
    batches = batches_ahead(data, plan, generators)
    for _, dropped_to in plan.epochs(track, f"training {len(networks)} students"):
        if dropped_to is not None:
            students.drop_lr(dropped_to)
        for images, labels in islice(batches, per_epoch):
            run(images, labels)
    students.write_back(networks)
    return Together(form) if steps is None else Together(f"{form}, {steps.mode}", tuple(steps.captures))


class Students:
    """S networks of one structure as (S, P) parameters, and SGD with momentum on all of them.

    Attributes:
        parameters: (S, P), changed in place by every step.
        momenta: (S, P), changed in place by every step.
    """

    def __init__(self, networks: Sequence[Network], plan: TrainingPlan, form: Form) -> None:
        self._plan, self._form = plan, form
        self._structure = networks[0].train()
        self._shapes = {name: parameter.shape for name, parameter in networks[0].named_parameters()}
        self.parameters = torch.stack([parameters_to_vector(network.parameters()).detach() for network in networks])
        self.momenta = torch.zeros_like(self.parameters)
        self._lr = self.parameters.new_full((), plan.lr)
        device = self.parameters.device
        self._streams = _streams_of(device)[:SIDE_STREAMS] if device.type == "cuda" else ()

    def step(self, images: Tensor, labels: Tensor) -> None:
        """Take one step of every student: images (S, B, C, H, W), labels (S, B) int64 or (S, B, K)."""
        if self._form == "stacked":
            gradients = vmap(grad(self._loss))(self.parameters, images, labels)
        else:
            gradients = torch.stack(self._side_by_side(images, labels))
        gradients = gradients.add(self.parameters, alpha=self._plan.weight_decay)
        self.momenta.mul_(self._plan.momentum).add_(gradients)
        self.parameters.sub_(self.momenta * self._lr)

    def drop_lr(self, lr: float) -> None:
        """Go on at another rate, with momenta of zero where the plan says so."""
        self._lr.fill_(lr)
        if self._plan.resets_momentum:
            self.momenta.zero_()

    def write_back(self, networks: Sequence[Network]) -> None:
        """Give every network its parameters; raises StudentDivergedError where any are not finite."""
        diverged = int((~self.parameters.isfinite().all(1)).sum())
        if diverged:
            raise self._plan.diverged(f"the parameters of {diverged} of {len(networks)} students")
        for network, parameters in zip(networks, self.parameters, strict=True):
            vector_to_parameters(parameters, network.parameters())

    def _loss(self, parameters: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        """Return the mean cross entropy, (), of one student's batch at parameters (P,)."""
        named = named_parts(parameters, self._shapes)
        precision = self._plan.precision
        # No cache of cast weights: they are used once, and a graph would be captured with those of an earlier step.
        with in_precision(precision, images.device, keeps_casts=False):
            logits: Tensor = functional_call(self._structure, named, (images,))
        return F.cross_entropy(logits.float() if precision == "bf16" else logits, labels)

    def _side_by_side(self, images: Tensor, labels: Tensor) -> list[Tensor]:
        """Return every student's gradient (P,), made on streams that wait for the current one and it for them."""
        gradients = []
        for stream in self._streams:
            stream.wait_stream(torch.cuda.current_stream())
        for index, student in enumerate(zip(self.parameters, images, labels, strict=True)):
            with torch.cuda.stream(self._streams[index % SIDE_STREAMS]) if self._streams else nullcontext():
                gradients.append(grad(self._loss)(*student))
        for stream in self._streams:
            torch.cuda.current_stream().wait_stream(stream)
        return gradients


class StaticSteps:
    """Steps that read their batch from buffers that stay in place, one set for each size of batch.

    On a GPU each is captured as a CUDA graph when first needed and replayed from then on; where capturing fails it runs
    as it is, with a warning.

    Attributes:
        mode: `CUDA graph`, or why there is none.
        captures: what capturing each size took, its warm-up steps included.
    """

    def __init__(self, students: Students) -> None:
        self._students = students
        self._buffers: dict[int, tuple[Tensor, Tensor]] = {}
        self._graphs: dict[int, torch.cuda.CUDAGraph] = {}
        # Graphs share their memory: they run one at a time, and nothing in it outlives a step.
        self._pool: Any = None
        self._captures = students.parameters.device.type == "cuda"
        self.mode = "CUDA graph" if self._captures else "static buffers"
        self.captures: list[Reading] = []

    def __call__(self, images: Tensor, labels: Tensor) -> None:
        """Take one step, as `Students.step` does."""
        size = images.shape[1]
        if size not in self._buffers:
            self._buffers[size] = (images.clone(), labels.clone())
            if self._captures:
                with Meter(images.device) as meter:
                    self._capture(size)
                self.captures.append(meter.reading)
        for buffer, values in zip(self._buffers[size], (images, labels), strict=True):
            buffer.copy_(values)
        if size in self._graphs:
            self._graphs[size].replay()
        else:
            self._students.step(*self._buffers[size])

    def _capture(self, size: int) -> None:
        """Keep the step of a size as a CUDA graph; parameters and momenta stay as they are."""
        state = (self._students.parameters, self._students.momenta)
        kept = [tensor.clone() for tensor in state]
        before, device = torch.cuda.current_stream(), self._students.parameters.device
        self._pool = self._pool or torch.cuda.graph_pool_handle()
        try:
            graph, aside = torch.cuda.CUDAGraph(), _streams_of(device)[-1]
            aside.wait_stream(before)
            with torch.cuda.stream(aside):
                for _ in range(WARM_UPS):
                    self._students.step(*self._buffers[size])
            before.wait_stream(aside)
            with torch.cuda.graph(graph, pool=self._pool, stream=aside):
                self._students.step(*self._buffers[size])
            self._graphs[size] = graph
        except RuntimeError as error:
            _leave_capture(before, self._pool)
            if is_out_of_memory(error):
                raise
            reason = str(error).splitlines()[0]
            warnings.warn(f"capturing a CUDA graph failed, running without (slower): {reason}", stacklevel=2)
            self._captures, self.mode = False, f"no CUDA graph: {reason}"
        for tensor, values in zip(state, kept, strict=True):
            tensor.copy_(values)


@cache
def _streams_of(device: torch.device) -> tuple[torch.cuda.Stream, ...]:
    """Return a device's side streams, and one more to capture on.

    Always the same ones: torch keeps memory for products on every stream that was ever used, which would otherwise grow
    with the number of cells and stand in their peaks.
    """
    return tuple(torch.cuda.Stream(device) for _ in range(SIDE_STREAMS + 1))


def _leave_capture(before: torch.cuda.Stream, pool: Any) -> None:  # noqa: ANN401 - torch's own handle, without a type
    """Undo what a failed capture leaves: another current stream, and an allocator that still fills the graph's pool."""
    torch.cuda.set_stream(before)
    with suppress(RuntimeError, AttributeError):
        torch._C._cuda_endAllocateToPool(before.device_index, pool)


def batches_ahead(
    data: TrainingSet, plan: TrainingPlan, generators: Sequence[torch.Generator]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield, for every step of every epoch, S augmented batches (S, B, C, H, W) and their labels (S, B) or (S, B, K).

    Draws are those of `train_student`, generator by generator; images are made for many steps at once.
    """
    values_per_step = len(generators) * min(plan.batch_size, len(data)) * data.images[0].numel()
    steps = _draws(len(data), plan, generators)
    while chunk := list(islice(steps, max(1, AHEAD_VALUES // values_per_step))):
        indices = torch.cat([chosen.flatten() for chosen, _ in chunk])
        images, labels = data.batch(indices.to(data.device, non_blocking=True))
        if plan.augmentation:
            images = augment_together(images, [draw for _, draws in chunk for draw in draws])
        sizes = [chosen.numel() for chosen, _ in chunk]
        for (chosen, _), *batch in zip(chunk, channels_last(images).split(sizes), labels.split(sizes), strict=True):
            yield batch[0].unflatten(0, chosen.shape), batch[1].unflatten(0, chosen.shape)


def augment_together(images: Tensor, draws: Iterable[Draw]) -> Tensor:
    """Return images (N, C, H, W) augmented by draws, each for as many of them as it has parameters, in their order.

    One call for all draws of a strategy; every image as a call for its own draw alone would return it.
    """
    draws = list(draws)
    by_strategy: dict[str, list[tuple[Tensor, Tensor]]] = {}
    ends = accumulate((len(draw.params) for draw in draws), initial=0)
    for (start, end), draw in zip(pairwise(ends), draws, strict=True):
        by_strategy.setdefault(draw.strategy, []).append((torch.arange(start, end), draw.params))
    augmented = torch.empty_like(images)
    for strategy, members in by_strategy.items():
        places, params = (torch.cat(parts) for parts in zip(*members, strict=True))
        places = places.to(images.device, non_blocking=True)
        augmented[places] = apply_dsa(images[places], Draw(strategy, params))
    return augmented


def _draws(
    count: int, plan: TrainingPlan, generators: Sequence[torch.Generator]
) -> Iterator[tuple[Tensor, list[Draw]]]:
    """Yield, step by step, the students' host indices (S, B) and their draws, in the order of each generator's use."""
    for _ in range(plan.schedule.epochs):
        orders = torch.stack([torch.randperm(count, generator=generator) for generator in generators])
        for indices in orders.split(plan.batch_size, 1):
            size = indices.shape[1]
            yield indices, [draw_dsa(g, plan.augmentation, size) for g in generators] if plan.augmentation else []


def _try_stacked(network: Network, data: TrainingSet) -> None:
    """Take a vectorised gradient without any values, on the device `meta`; raises RuntimeError where it cannot be."""
    structure = copy.deepcopy(network).to("meta")
    parameters = {name: parameter.detach() for name, parameter in structure.named_parameters()}
    images = data.images[:2].to("meta").float()[None]

    def total(named: dict[str, Tensor], images: Tensor) -> Tensor:
        logits: Tensor = functional_call(structure, named, (images,))
        return logits.sum()

    vmap(grad(total))({name: parameter[None] for name, parameter in parameters.items()}, images)
