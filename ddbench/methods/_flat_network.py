"""A network as a function of one flat parameter vector: what trajectories are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from ddbench.engine import Engine
from ddbench.network import Network, named_parts


class FlatNetwork:
    """Loss of a network and its derivatives at (P,) parameter vectors; each is compiled once where that pays.

    Args:
        network: gives the structure; its own parameters are never read again.
        compiles: run the derivatives compiled, for batches of `batch_size`; others run eagerly.
        batch_size: the usual one, B. The odd last batch of an epoch is not worth a compilation of its own.
    """

    def __init__(self, network: Network, *, compiles: bool, batch_size: int) -> None:
        self._network = network
        self._shapes = {name: parameter.shape for name, parameter in network.named_parameters()}
        self._gradient = Engine(self._plain_gradient, compiles=compiles)
        self._backward = Engine(self._plain_backward, compiles=compiles)
        self._images_backward = Engine(self._plain_images_backward, compiles=compiles)
        self._batch_size = batch_size

    @property
    def mode(self) -> str:
        """`compiled` or `eager`: how what was called ran."""
        called = [e.mode for e in (self._gradient, self._backward, self._images_backward) if e.was_called]
        return "compiled" if called and set(called) == {"compiled"} else "eager"

    def loss(self, parameters: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        """Return the mean cross entropy, (), at parameters (P,), of images (B, C, H, W) and labels (B,) int64."""
        named = named_parts(parameters, self._shapes)
        return F.cross_entropy(functional_call(self._network, named, (images,)), labels)

    def gradient(self, parameters: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        """Return the loss's gradient by the parameters, (P,)."""
        if not self._runs_compiled(images):
            return self._plain_gradient(parameters, images, labels)
        return self._gradient(parameters, images, labels)

    def gradients(self, parameters: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        """Return (E, P) gradients of E networks at once: parameters (E, P), images (E, B, C, H, W), labels (E, B)."""
        return vmap(self._plain_gradient)(parameters, images, labels)

    def backward(
        self, parameters: Tensor, images: Tensor, labels: Tensor, direction: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the derivatives of <gradient, direction> by parameters (P,) and images, and the gradient (P,)."""
        run = self._backward if self._runs_compiled(images) else self._plain_backward
        return run(parameters, images, labels, direction)

    def images_backward(
        self, parameters: Tensor, images: Tensor, labels: Tensor, direction: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the derivative of <gradient, direction> by the images alone, and the gradient (P,)."""
        run = self._images_backward if self._runs_compiled(images) else self._plain_images_backward
        return run(parameters, images, labels, direction)

    def _runs_compiled(self, images: Tensor) -> bool:
        return len(images) == self._batch_size

    def _plain_gradient(self, parameters: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        return cast(Tensor, grad(self.loss)(parameters, images, labels))

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
            gradient = grad(self.loss)(parameters, images, labels)
            return gradient.dot(direction), gradient

        return along


def flatten_parameters(network: nn.Module) -> Tensor:
    """Return the network's parameters as one (P,) vector, a copy without gradient."""
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])
