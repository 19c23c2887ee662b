"""How networks of one structure are passed through: in chunks, in a precision, in the form that this machine runs best.

Chunks and forms change numbers by rounding alone. Both follow from shapes and the machine, never from a timing, so
that a rerun takes the same path. The precision is a protocol's, and does change numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from ddbench.engine.chunks import even_size
from ddbench.engine.compiled import in_precision
from ddbench.network import InputShape, Network, has_batch_norm, make_network
from ddbench.training_recipe import Precision
from ddbench.work import profile_network

# (logits, targets...) of some images -> their mean loss, ().
Loss = Callable[..., Tensor]

# Bytes (outputs of all layers) of a chunk's images, the size at which a training step is fastest on two cores: of 32x32
# images in convnet-d3 25 to 32, in bf16 50 (of 100: 92 ms, in chunks of 25 99 ms, whole 107 ms).
CHUNK_BYTES = 8.0e7
# The same of images that are passed through for two derivatives, whose graph holds about three times as much. Larger
# chunks are no faster (256 images of convnet-d3: 0.91 s in chunks of 64, 128 and 32, 0.86 s whole), and need memory.
DERIVATIVES_BYTES = 3.2e8
VALUE_BYTES: dict[Precision, int] = {"fp32": 4, "tf32": 4, "bf16": 2}


class NetworkEngine:
    """Passes of networks of one structure, whose parameters differ.

    Attributes:
        precision: of the forward pass, `bf16` by autocast; losses are float32.
        training_chunk: images per forward and backward pass, None for whole batches.
        is_native: whether networks pass in their native form.
    """

    def __init__(
        self, precision: Precision = "fp32", *, training_chunk: int | None = None, is_native: bool = False
    ) -> None:
        self.precision, self.training_chunk, self.is_native = precision, training_chunk, is_native

    def form_of(self, network: Network) -> Network:
        """Return what `logits` and `backward` are to be given in a network's place: one with the same parameters."""
        return network.native() if self.is_native else network

    def logits(self, network: Network, images: Tensor) -> Tensor:
        """Return (B, K) float32 logits of (B, C, H, W) images in `network`, in the mode that it is in."""
        with in_precision(self.precision, images.device):
            logits: Tensor = network(images)
        return logits.float() if self.precision == "bf16" else logits

    def backward(
        self, network: Network, images: Tensor, targets: Tensor | tuple[Tensor, ...], loss: Loss = F.cross_entropy
    ) -> None:
        """Add a batch's gradient to `.grad` of the network's parameters.

        Args:
            network: in training mode.
            images: (B, C, H, W).
            targets: (B, ...), one or several, cut like the images.
            loss: as described at `Loss`.
        """
        size = self.training_chunk or len(images)
        several = (targets,) if isinstance(targets, Tensor) else targets
        for part, *part_targets in zip(images.split(size), *(each.split(size) for each in several), strict=True):
            share = len(part) / len(images)
            (loss(self.logits(network, channels_last(part)), *part_targets) * share).backward()

    def record(self) -> dict[str, object]:
        """Return what a Result says of how its students were computed."""
        return {"passes": "native" if self.is_native else "eager", "training_chunk": self.training_chunk}


def channels_last(images: Tensor) -> Tensor:
    """Return (B, C, H, W) images in channels-last memory, which convolutions on a CPU read faster."""
    return images.contiguous(memory_format=torch.channels_last)


def plan_engine(
    name: str,
    network: Network,
    shape: InputShape,
    precision: Precision,
    device: torch.device,
    batch_size: int,
    *,
    part: int | None = None,
) -> NetworkEngine:
    """Return the engine for networks called `name`, of which `network` is one, trained on batches of a size.

    On a CPU batches pass in chunks whose outputs stay in its cache, in the network's native form where it has one. A
    network with batch norm trains on whole batches, or on a `part` of one that a protocol asks for: statistics of
    other parts are others. On a GPU nothing else is cut.
    """
    if device.type != "cpu":
        return NetworkEngine(precision, training_chunk=part)
    limit = _images_in(CHUNK_BYTES, name, shape, precision)
    chunk = part if has_batch_norm(network) else _chunk_of(batch_size, limit)
    return NetworkEngine(precision, training_chunk=chunk, is_native=network.native() is not network)


def derivatives_chunk(name: str, shape: InputShape, batch_size: int) -> int:
    """Return how many float32 images of a batch pass networks called `name` at once for two derivatives on a CPU.

    A part of the batch in native form, else the whole.
    """
    if not _has_native_form(name, shape):
        return batch_size
    return _chunk_of(batch_size, _images_in(DERIVATIVES_BYTES, name, shape, "fp32"))


@lru_cache
def _has_native_form(name: str, shape: InputShape) -> bool:
    network = make_network(name, shape, torch.Generator())
    return network.native() is not network


def _images_in(num_bytes: float, name: str, shape: InputShape, precision: Precision) -> int:
    return int(num_bytes / (profile_network(name, shape).activations * VALUE_BYTES[precision]))


def _chunk_of(batch_size: int, limit: int) -> int:
    """Return a chunk's size, `limit` at most: one that leaves no rest where there is such a one, else an even part."""
    limit = max(1, min(limit, batch_size))
    whole = [size for size in range(limit, limit // 2, -1) if batch_size % size == 0]
    return whole[0] if whole else even_size(batch_size, limit)
