"""What is computed on the CPU and on the GPU from the same draws: networks, augmentation, methods and a training."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from ddbench.augment.dsa import apply_dsa, draw_dsa
from ddbench.augment.strategies import DSA_STRATEGY
from ddbench.augment.zca import EPS, fit_zca
from ddbench.diffusion.criteria import ClassMemory, diversity, representativeness
from ddbench.images import DatasetInfo, LabeledImages
from ddbench.methods._gradient_matching.gradients import NetworkGradients
from ddbench.methods._trajectories.flat_network import FlatNetwork, flatten_parameters
from ddbench.methods._trajectories.meta_gradient import META_GRADIENTS, Segment, StudentBatch
from ddbench.methods.dm import gap_and_gradient, mean_real_embeddings
from ddbench.network import InputShape, Network, make_network
from ddbench.protocol import Schedule
from ddbench.students.batched import train_students
from ddbench.students.loop import TrainingPlan, TrainingSet, train_student
from tests.gpu._same import Computation, Give

NETWORKS = (
    "convnet-d3",
    "convnet-d3-bn",
    "mlp",
    "lenet",
    "alexnet",
    "vgg11",
    "resnet18",
    "resnet18-bn",
    "resnet_ap10",
    "timm/test_resnet",
    "timm/test_vit",
)
SMALL_NETWORKS = ("convnet-d3-w8", "mlp-w4", "timm/test_vit")
CLASSES, IPC = 4, 2
INFO = DatasetInfo("toy", tuple("abcd"), 3, 32, (0.4, 0.5, 0.6), (0.2, 0.3, 0.25), "toy")
SHAPE = InputShape.of(INFO)


def computations(width: str, networks: tuple[str, ...]) -> Iterator[tuple[str, Computation]]:
    """Yield all by name; `width` ends the name of the ConvNet of methods, such as `-w8`."""
    for name in networks:
        yield f"network {name}", network_gradients(name)
    for strategy in DSA_STRATEGY.split("_"):
        yield f"dsa {strategy}", augmented(strategy)
    yield "zca", whitening
    spec = f"convnet-d3{width}"
    yield "dc match", gradient_match(spec, "")
    yield "dsa match", gradient_match(spec, "color_crop_scale_rotate")
    yield "dm step", distribution_match(spec)
    yield "mtt step", trajectory_match(spec)
    yield "minimax criteria", criteria
    yield "training", training(spec, together=False)
    yield "training, students at once", training(spec, together=True)


def seeded(seed: int) -> torch.Generator:
    """Return a generator of the host."""
    return torch.Generator().manual_seed(seed)


def images_of(count: int, seed: int, side: int = 32) -> Tensor:
    """Return (count, 3, side, side) float64 images."""
    return torch.randn(count, 3, side, side, generator=seeded(seed), dtype=torch.float64)


def given_network(spec: str, give: Give, seed: int = 0) -> Network:
    """Return a network whose parameters were drawn in float32 and given."""
    network = make_network(spec, SHAPE, seeded(seed)).double()
    like = give(torch.zeros(1, dtype=torch.float64))
    values = [give(parameter.detach()) for parameter in network.parameters()]
    network.to(like.device, like.dtype)
    for parameter, value in zip(network.parameters(), values, strict=True):
        parameter.data.copy_(value)
    return network


def network_gradients(spec: str) -> Computation:
    """Logits of 8 images and the gradient of their loss by parameters and images, in training mode."""

    def compute(give: Give) -> dict[str, Tensor]:
        network = given_network(spec, give).train()
        images = give(images_of(8, 1)).requires_grad_()
        logits = network(images)
        loss = F.cross_entropy(logits, give(torch.arange(8) % CLASSES))
        by_images, *by_parameters = torch.autograd.grad(loss, [images, *network.parameters()])
        return {"logits": logits, "by images": by_images, "by parameters": _joined(by_parameters)}

    return compute


def augmented(strategy: str) -> Computation:
    """DSA of 8 images, and its gradient by them."""

    def compute(give: Give) -> dict[str, Tensor]:
        images = give(images_of(8, 2)).requires_grad_()
        made = apply_dsa(images, draw_dsa(seeded(3), strategy, 8))
        weights = give(images_of(8, 4))
        return {"images": made, "gradient": torch.autograd.grad((made * weights).sum(), images)[0]}

    return compute


def whitening(give: Give) -> dict[str, Tensor]:
    """ZCA of 300 images of 3x8x8: our fit in float32, in float64 the formula itself."""
    pixels = torch.randint(256, (300, 3, 8, 8), generator=seeded(5)).double()
    pixels = (pixels.cumsum(3) / 8).round()  # neighbours that resemble each other, as in pictures
    given = give(pixels / 255)
    if given.dtype == torch.float64:
        centred = given.flatten(1) - given.flatten(1).mean(0)
        values, vectors = torch.linalg.eigh(centred.T @ centred / (len(given) - 1))
        return {"matrix": vectors @ torch.diag((values + EPS).rsqrt()) @ vectors.T}
    info = DatasetInfo("toy", ("a",), 3, 8, (0.5,) * 3, (0.25,) * 3, "toy")
    split = LabeledImages(pixels.to(torch.uint8), torch.zeros(len(given), dtype=torch.int64), info)
    return {"matrix": fit_zca(split, device=given.device).matrix}


def gradient_match(spec: str, strategy: str) -> Computation:
    """DC's distance for one class, augmented where there is a strategy, and its gradient by the images."""

    def compute(give: Give) -> dict[str, Tensor]:
        network = given_network(spec, give)
        parameters = {name: parameter.detach() for name, parameter in network.named_parameters()}
        real, synthetic = images_of(16, 6), images_of(IPC, 7)
        if (
            strategy
        ):  # in float64: sampling rounds by more than inputs do, and would tip other units of a ReLU over zero
            draw = draw_dsa(seeded(58), strategy, 1, siamese=True)
            real, synthetic = apply_dsa(real, draw), apply_dsa(synthetic, draw)
        real, synthetic = give(real), give(synthetic)
        gradients = NetworkGradients(network, compiles=False)
        labels = give(torch.zeros(16, dtype=torch.int64))
        target = gradients.of_mean_loss(parameters, real, labels, 16)
        distance, gradient = gradients.match(parameters, target, synthetic, labels[:IPC])
        return {"distance": distance, "gradient": gradient}

    return compute


def distribution_match(spec: str) -> Computation:
    """DM's loss and its gradient by the images."""

    def compute(give: Give) -> dict[str, Tensor]:
        network = given_network(spec, give).requires_grad_(False)
        draws = [draw_dsa(seeded(10 + label), DSA_STRATEGY, 1, siamese=True) for label in range(CLASSES)]
        batches = [give(images_of(16, 20 + label)) for label in range(CLASSES)]
        passed = network.native()
        means = mean_real_embeddings(passed, batches, draws)
        loss, gradient = gap_and_gradient(passed, give(images_of(CLASSES * IPC, 9)), draws, means)
        return {"loss": loss, "gradient": gradient}

    return compute


def trajectory_match(spec: str) -> Computation:
    """MTT's loss and its gradients by images and rate, over three student steps."""

    def compute(give: Give) -> dict[str, Tensor]:
        flat = flatten_parameters(given_network(spec, lambda tensor: tensor))
        start = give(flat)
        target = give(flat + 0.01 * torch.randn(len(flat), generator=seeded(11), dtype=torch.float64))
        labels = torch.arange(CLASSES).repeat_interleave(IPC)
        draws = [draw_dsa(seeded(12 + step), DSA_STRATEGY, len(labels)) for step in range(3)]
        places = give(torch.arange(len(labels)))
        batches = [StudentBatch(places, give(labels), draw) for draw in draws]
        network = FlatNetwork(given_network(spec, give).requires_grad_(False), compiles=False, batch_size=len(labels))
        lr = give(torch.tensor(0.02, dtype=torch.float64))
        found = META_GRADIENTS["adjoint"](
            network, give(images_of(len(labels), 13)), lr, Segment(start, target), batches
        )
        return {"loss": found.loss, "by images": found.images, "by rate": found.lr}

    return compute


def criteria(give: Give) -> dict[str, Tensor]:
    """Both minimax criteria and their gradients by the predicted samples."""
    samples, labels = give(images_of(8, 14, 8).flatten(1)).requires_grad_(), give(torch.arange(8) % CLASSES)
    outputs = {}
    functions: dict[str, Callable[[Tensor, Tensor, ClassMemory], Tensor]] = {
        "representativeness": representativeness,
        "diversity": diversity,
    }
    for index, (name, criterion) in enumerate(functions.items()):
        memory = ClassMemory(CLASSES, 4, samples.shape[1], samples.device)
        memory.entries = memory.entries.to(samples.dtype)
        memory.add(give(images_of(12, 15 + index, 8).flatten(1)), give(torch.arange(12) % CLASSES))
        value = criterion(samples, labels, memory)
        outputs[name], outputs[f"{name}, gradient"] = value, torch.autograd.grad(value, samples)[0]
    return outputs


def training(spec: str, *, together: bool) -> Computation:
    """The parameters after 12 steps of a student with DSA and one drop of the rate."""
    plan = TrainingPlan(Schedule(epochs=6, drop_at=4), 0.01, 5, DSA_STRATEGY)

    def compute(give: Give) -> dict[str, Tensor]:
        images = give(images_of(10, 16))
        data = TrainingSet(images, give(torch.arange(10) % CLASSES), INFO)
        networks = [given_network(spec, give, seed) for seed in (0, 1)]
        generators = [seeded(30 + seed) for seed in (0, 1)]
        # float64 has no students at once on a GPU; there and on the CPU they are what they are one by one.
        if together and images.dtype == torch.float32:
            train_students(networks, data, plan, generators)
        else:
            for network, generator in zip(networks, generators, strict=True):
                train_student(network, data, plan, generator)
        return {"parameters": _joined([p for network in networks for p in network.parameters()])}

    return compute


def _joined(tensors: list[Tensor]) -> Tensor:
    return torch.cat([tensor.detach().flatten() for tensor in tensors])
