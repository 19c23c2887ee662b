"""How networks of one structure are passed through: in chunks, in a precision, compiled where the work pays for it.

Chunks and compilation change numbers by rounding alone. Both follow from the declared work and from shapes, never from
a timing, so that a rerun takes the same path. The precision is a protocol's, and does change numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call, grad

from ddbench.chunking import even_size
from ddbench.engine import Engine, in_precision
from ddbench.network import InputShape, Network, has_batch_norm
from ddbench.recipe import Precision
from ddbench.work import profile_network

# (logits, targets) of some images -> their mean loss, (). One that is made anew with other constants is compiled anew.
Loss = Callable[[Tensor, Tensor], Tensor]

# Bytes (outputs of all layers) of a chunk's images, the size at which a training step is fastest on two cores: of 32x32
# images in convnet-d3 25 to 32, in bf16 50 (of 100: 92 ms, in chunks of 25 99 ms, whole 107 ms).
CHUNK_BYTES = 8.0e7
VALUE_BYTES: dict[Precision, int] = {"fp32": 4, "bf16": 2}
# Compiling one size costs some seconds; it is paid back after about so many values passed, in training and in testing.
TRAINING_VALUES, TEST_VALUES = 4.0e9, 2.0e10

Parameters = dict[str, Tensor]
State = tuple[Parameters, Parameters]  # parameters and buffers, by name


@dataclass(frozen=True)
class Sizes:
    """Numbers of images that pass at once, and of each how many images pass in all, {size: images}."""

    training: Mapping[int, int]
    test: Mapping[int, int]


class NetworkEngine:
    """Passes of networks of one structure, whose parameters differ.

    Attributes:
        precision: of the forward pass, `bf16` by autocast; losses are float32.
        training_chunk: images per forward and backward pass, None for whole batches.

    Args:
        network: gives the structure; its parameters are never used.
        precision: as above.
        training_chunk: as above.
        training_sizes: sizes of chunks whose training pass is compiled.
        test_sizes: sizes of chunks whose pass without gradient is compiled.
    """

    def __init__(
        self,
        network: Network,
        precision: Precision = "fp32",
        *,
        training_chunk: int | None = None,
        training_sizes: Iterable[int] = (),
        test_sizes: Iterable[int] = (),
    ) -> None:
        self.training_chunk = training_chunk
        self.precision = precision
        self._training_sizes, self._test_sizes = frozenset(training_sizes), frozenset(test_sizes)
        self._structure = network.fused() if self._training_sizes or self._test_sizes else network
        self._training = Engine(self._gradients, compiles=bool(self._training_sizes))
        self._testing = Engine(self._call, compiles=bool(self._test_sizes))

    def logits(self, network: Network, images: Tensor) -> Tensor:
        """Return (B, K) float32 logits of (B, C, H, W) images in `network`, in the mode that it is in."""
        if torch.is_grad_enabled() or len(images) not in self._test_sizes:
            with in_precision(self.precision, images.device):
                return self._float(network(images))
        return self._testing(self._state_of(network), images)

    def backward(self, network: Network, images: Tensor, targets: Tensor, loss: Loss = F.cross_entropy) -> None:
        """Add a batch's gradient to `.grad` of the network's parameters.

        Args:
            network: in training mode.
            images: (B, C, H, W).
            targets: (B, ...), cut like the images.
            loss: as described at `Loss`.
        """
        size = self.training_chunk or len(images)
        for part, part_targets in zip(images.split(size), targets.split(size), strict=True):
            part, share = channels_last(part), len(part) / len(images)
            if len(part) in self._training_sizes:
                state = self._state_of(network)
                with torch.no_grad():  # the gradient is part of what is compiled
                    portion = torch.tensor(share, dtype=torch.float64)
                    found = self._training(state, part, part_targets, portion, loss)
                    _add_gradients(state[0], found)
            else:
                (loss(self.logits(network, part), part_targets) * share).backward()

    def record(self) -> dict[str, object]:
        """Return what a Result says of how its students were computed."""
        return {
            "students": self._training.mode,
            "test": self._testing.mode,
            "training_chunk": self.training_chunk,
        }

    def _state_of(self, network: Network) -> State:
        """Return a network's parameters and buffers, and bring the structure into its mode."""
        if self._structure.training != network.training:
            self._structure.train(network.training)
        return dict(network.named_parameters()), dict(network.named_buffers())

    def _gradients(self, state: State, images: Tensor, targets: Tensor, share: Tensor, loss: Loss) -> Parameters:
        """Return the gradients of a `share` of some images' loss, by parameter."""
        parameters, buffers = state

        def shared_loss(parameters: Parameters) -> Tensor:
            return loss(self._call((parameters, buffers), images), targets) * share

        found: Parameters = grad(shared_loss)(parameters)
        return found

    def _call(self, state: State, images: Tensor) -> Tensor:
        with in_precision(self.precision, images.device):
            return self._float(functional_call(self._structure, state, (images,)))

    def _float(self, logits: Tensor) -> Tensor:
        return logits.float() if self.precision == "bf16" else logits


def _add_gradients(parameters: Parameters, gradients: Parameters) -> None:
    known: list[Tensor] = []
    added: list[Tensor] = []
    for name, parameter in parameters.items():
        if parameter.grad is None:
            parameter.grad = gradients[name]
        else:
            known.append(parameter.grad)
            added.append(gradients[name])
    if known:
        torch._foreach_add_(known, added)


def channels_last(images: Tensor) -> Tensor:
    """Return (B, C, H, W) images in channels-last memory, which convolutions on a CPU read faster."""
    return images.contiguous(memory_format=torch.channels_last)


def plan_engine(
    name: str, network: Network, shape: InputShape, precision: Precision, device: torch.device, sizes: Sizes
) -> NetworkEngine:
    """Return the engine for networks called `name`, of which `network` is one, and the passes that `sizes` declares.

    On a CPU batches pass in chunks whose outputs stay in its cache, and the sizes that pass often enough are compiled,
    where the network has a faster form for that. A network with batch norm trains on whole batches, eagerly: its
    statistics are changed by a pass, which a compiled gradient cannot do. On a GPU nothing is cut, and nothing
    compiled: not measured yet.
    """
    if device.type != "cpu":
        return NetworkEngine(network, precision)
    values = profile_network(name, shape).activations
    limit = int(CHUNK_BYTES / (values * VALUE_BYTES[precision]))
    keeps_statistics = has_batch_norm(network)
    chunk = None if keeps_statistics else _chunk_of(max(sizes.training), limit)
    training = {} if keeps_statistics else _chunked(sizes.training, chunk)
    compiles = network.fused() is not network
    return NetworkEngine(
        network,
        precision,
        training_chunk=chunk,
        training_sizes=[size for size, images in training.items() if compiles and images * values >= TRAINING_VALUES],
        test_sizes=[size for size, images in sizes.test.items() if compiles and images * values >= TEST_VALUES],
    )


def batch_sizes(count: int, batch_size: int, times: int) -> dict[int, int]:
    """Return the sizes of the batches that `count` images make and the images that pass in each size, `times` over."""
    whole, rest = divmod(count, batch_size)
    sizes = {batch_size: whole * batch_size * times, rest: rest * times}
    return {size: images for size, images in sizes.items() if images}


def _chunk_of(batch_size: int, limit: int) -> int:
    """Return a chunk's size, `limit` at most: one that leaves no rest where there is such a one, else an even part."""
    limit = max(1, min(limit, batch_size))
    whole = [size for size in range(limit, limit // 2, -1) if batch_size % size == 0]
    return whole[0] if whole else even_size(batch_size, limit)


def _chunked(sizes: Mapping[int, int], chunk: int | None) -> dict[int, int]:
    """Return the sizes of the chunks that batches are cut into, and the images that pass in each."""
    if chunk is None:
        return dict(sizes)
    found: Counter[int] = Counter()
    for size, images in sizes.items():
        for part, count in batch_sizes(size, chunk, images // size).items():
            found[part] += count
    return dict(found)
