"""A network as a function of one flat parameter vector: what trajectories are made of."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, reduce
from typing import TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from ddbench.engine.chunks import in_chunks
from ddbench.engine.compiled import Engine
from ddbench.network import Network, named_parts

T = TypeVar("T")


class FlatNetwork:
    """Loss of a network and its derivatives at (P,) parameter vectors.

    In the network's native form where it has one, in chunks; else compiled where that pays.

    Args:
        network: gives the structure, and must not look across images; its own parameters are never read again.
        compiles: run the derivatives compiled, for batches of `batch_size`; others run eagerly. Not in native form.
        batch_size: the usual one, B. The odd last batch of an epoch is not worth a compilation of its own.
        chunk: images per pass in native form, None for whole batches.
    """

    def __init__(self, network: Network, *, compiles: bool, batch_size: int, chunk: int | None = None) -> None:
        self._network, self._passed = network, network.native()
        self._shapes = {name: parameter.shape for name, parameter in network.named_parameters()}
        # The same parameters in the same order, under other names.
        self._passed_shapes = {name: parameter.shape for name, parameter in self._passed.named_parameters()}
        compiles = compiles and not self.is_native
        self._gradient = Engine(self._plain_gradient, compiles=compiles)
        self._backward = Engine(self._plain_backward, compiles=compiles)
        self._images_backward = Engine(self._plain_images_backward, compiles=compiles)
        self._batch_size, self._chunk = batch_size, chunk

    @property
    def is_native(self) -> bool:
        """Whether the network passes in its native form."""
        return self._passed is not self._network

    @property
    def mode(self) -> str:
        """`native`, `compiled` or `eager`: how what was called ran, but for `gradients`."""
        if self.is_native:
            return "native"
        called = [e.mode for e in (self._gradient, self._backward, self._images_backward) if e.was_called]
        return "compiled" if called and set(called) == {"compiled"} else "eager"

    def loss(self, parameters: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        """Return the mean cross entropy, (), at parameters (P,), of images (B, C, H, W) and labels (B,) int64."""
        return _loss(self._passed, named_parts(parameters, self._passed_shapes), images, labels)

    def gradient(self, parameters: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        """Return the loss's gradient by the parameters, (P,)."""
        if self.is_native:
            return reduce(torch.add, self._in_chunks(_graph_gradient, parameters, images, labels, by_images=False))
        run = self._gradient if self._runs_compiled(images) else self._plain_gradient
        return run(parameters, images, labels)

    def gradients(self, parameters: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        """Return (E, P) gradients of E networks at once: parameters (E, P), images (E, B, C, H, W), labels (E, B)."""
        return vmap(self._plain_gradient)(parameters, images, labels)

    def backward(
        self, parameters: Tensor, images: Tensor, labels: Tensor, direction: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the derivatives of <gradient, direction> by parameters (P,) and images, and the gradient (P,)."""
        if self.is_native:
            function = partial(_graph_backward, direction)
            parts = self._in_chunks(function, parameters, images, labels, by_images=True)
            by_parameters, by_images, gradients = zip(*parts, strict=True)
            return reduce(torch.add, by_parameters), torch.cat(by_images), reduce(torch.add, gradients)
        run = self._backward if self._runs_compiled(images) else self._plain_backward
        return run(parameters, images, labels, direction)

    def images_backward(
        self, parameters: Tensor, images: Tensor, labels: Tensor, direction: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the derivative of <gradient, direction> by the images alone, and the gradient (P,)."""
        if self.is_native:
            return self.backward(parameters, images, labels, direction)[1:]
        run = self._images_backward if self._runs_compiled(images) else self._plain_images_backward
        return run(parameters, images, labels, direction)

    def _runs_compiled(self, images: Tensor) -> bool:
        return len(images) == self._batch_size

    def _in_chunks(
        self, function: Callable[..., T], parameters: Tensor, images: Tensor, labels: Tensor, *, by_images: bool
    ) -> list[T]:
        """Return `function(loss, parameters, images)` for each chunk's share of the loss, which hangs on both."""

        def of_chunk(places: Tensor) -> T:
            chosen = slice(int(places[0]), int(places[-1]) + 1)
            point, part = parameters.detach().requires_grad_(), images[chosen].detach().requires_grad_(by_images)
            with torch.enable_grad():
                loss = self.loss(point, part, labels[chosen]) * (len(part) / len(images))
                return function(loss, point, part)

        return in_chunks("flat_network_chunk", of_chunk, torch.arange(len(images)), self._chunk or len(images))

    def _plain_loss(self, parameters: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        return _loss(self._network, named_parts(parameters, self._shapes), images, labels)

    def _plain_gradient(self, parameters: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        return cast(Tensor, grad(self._plain_loss)(parameters, images, labels))

    def _plain_backward(
        self, parameters: Tensor, images: Tensor, labels: Tensor, direction: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        (by_parameters, by_images), gradient = grad(self._along(labels, direction), argnums=(0, 1), has_aux=True)(
            parameters, images
        )
        return by_parameters, by_images, gradient

    def _plain_images_backward(
        self, parameters: Tensor, images: Tensor, labels: Tensor, direction: Tensor
    ) -> tuple[Tensor, Tensor]:
        by_images, gradient = grad(self._along(labels, direction), argnums=1, has_aux=True)(parameters, images)
        return by_images, gradient

    def _along(self, labels: Tensor, direction: Tensor) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
        def along(parameters: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
            gradient = grad(self._plain_loss)(parameters, images, labels)
            return gradient.dot(direction), gradient

        return along


def _loss(network: Network, named: dict[str, Tensor], images: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(functional_call(network, named, (images,)), labels)


def _graph_gradient(loss: Tensor, parameters: Tensor, images: Tensor) -> Tensor:
    return torch.autograd.grad(loss, parameters)[0]


def _graph_backward(
    direction: Tensor, loss: Tensor, parameters: Tensor, images: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    (gradient,) = torch.autograd.grad(loss, parameters, create_graph=True)
    by_parameters, by_images = torch.autograd.grad(gradient.dot(direction), (parameters, images))
    return by_parameters, by_images, gradient.detach()


def flatten_parameters(network: nn.Module) -> Tensor:
    """Return the network's parameters as one (P,) vector, a copy without gradient."""
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])
