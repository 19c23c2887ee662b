"""The feature space that sets of images are measured in: a network trained briefly on the real training split.

It is made once for each data set and extractor and kept in the cache folder with the features of all real images, so
that every method, seed and IPC is measured in the same space. All settings are our choice.
"""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

import torch
from safetensors.torch import save_file
from torch import Tensor

from ddbench.augment.zca import unwhiten
from ddbench.distilled.dataset import DistilledDataset
from ddbench.engine.arithmetic import arithmetic_of
from ddbench.engine.chunks import in_chunks
from ddbench.features.set_measures import NEIGHBOURS, measure_class, neighbour_radii
from ddbench.host.cached_work import WorkKey, cached_work
from ddbench.host.files import load_tensors
from ddbench.images import DatasetInfo, LabeledImages
from ddbench.inputs.network_names import split_spec
from ddbench.method import RunContext
from ddbench.network import InputShape, Network, make_network, plugin_code
from ddbench.protocol import Schedule
from ddbench.seeding import make_generator
from ddbench.students.loop import TrainingPlan, TrainingSet, channels_last, chunk_size
from ddbench.students.trainer import train_network

PIXELS = "pixels"  # the extractor that needs no network: the normalised pixels themselves
UPDATES = 200  # in whole epochs, at least one: 9 epochs on digits, 1 on CIFAR-10
BATCH_SIZE = 64
LEARNING_RATE = 0.01
SEED = 0
NETWORK_FILE = "network.safetensors"
CACHE_VERSION = 1  # of the code that makes one; `tests/test_cache_versions.py` says when it must be raised


def default_extractor(info: DatasetInfo) -> str:
    """Return the convnet whose features are maps of about 4x4: d1 at 8 px, d3 at 28 and 32, d4 at 64, d6 at 224."""
    return f"convnet-d{max(1, round(math.log2(info.image_size)) - 2)}"


def check_extractor(name: str) -> None:
    """Raise UnknownNameError unless `name` is `pixels` or a network of a registered family."""
    if name != PIXELS:
        split_spec(name)


@dataclass(frozen=True, eq=False)
class FeatureSpace:
    """Features of one extractor on one data set.

    Attributes:
        name: of the extractor.
        network: None where the features are pixels.
        folder: where the features of the real images are kept.
        device: where to compute.
        fingerprint: 12 hexadecimal digits of the network's parameters, empty for pixels. Equal settings give different
            ones on different kinds of machines.
    """

    name: str
    network: Network | None
    folder: Path
    device: torch.device
    fingerprint: str

    @torch.no_grad()
    def embed(self, data: TrainingSet, indices: Tensor) -> Tensor:
        """Return (n, D) float32 features of the images at (n,) `indices`; data and features are on `device`."""

        def embed(chunk: Tensor) -> Tensor:
            images, _ = data.batch(chunk)
            return images.flatten(1) if self.network is None else self.network.embed(channels_last(images))

        parts = in_chunks("feature_chunk", embed, indices.to(self.device), chunk_size(self.device))
        return torch.cat(parts) if parts else torch.zeros(0, 1, device=self.device)

    def real_class(self, label: int) -> tuple[Tensor, Tensor]:
        """Return the (n, D) float32 features of a class's real images and their (n,) float64 `neighbour_radii`."""
        tensors = _load(_class_file(self.folder, label))
        return tensors["features"].to(self.device), tensors["radii"].to(self.device)


def find_feature_space(name: str, train: LabeledImages, ctx: RunContext) -> FeatureSpace:
    """Return the feature space of an extractor on a training split, made and kept where it is not there yet.

    The network is trained on a fixed seed, whatever set is to be measured.

    Args:
        name: `pixels` or a network.
        train: the real training images.
        ctx: device and progress; its generator is not used.

    Raises:
        UnknownNameError: no such network.
        BadInputError: no such variant, images too small for it, or a cache that cannot be written.
    """
    check_extractor(name)
    with cached_work(_key_of(name, train.info)) as work:
        folder = work.folder
        if work.account is None:
            with arithmetic_of("fp32", ctx.device):  # whatever the protocol's is
                _fill(folder, name, train, ctx)
            work.keep()
    network, fingerprint = None, ""
    if name != PIXELS:
        parameters = _load(folder / NETWORK_FILE)
        network = _make_network(name, train.info)
        network.load_state_dict(parameters)
        network = network.to(ctx.device).eval()
        fingerprint = _digest_of(parameters)
    return FeatureSpace(name, network, folder, ctx.device, fingerprint)


def as_normalised(distilled: DistilledDataset, info: DatasetInfo, device: torch.device) -> TrainingSet:
    """Return a distilled set of any space for embedding, on `device`: whitening is undone, pixels are not clipped."""
    if distilled.whitening is not None:
        pixels = unwhiten(distilled.images.to(device), distilled.whitening)
        return TrainingSet(info.normalise(pixels), distilled.labels.to(device), info)
    return TrainingSet.of(distilled, info, device)


def measure_set(
    distilled: DistilledDataset, info: DatasetInfo, space: FeatureSpace, ctx: RunContext
) -> dict[str, float]:
    """Return the mean over classes of each measure of `measure_class` that any class defines."""
    # A streamed set is the real training split, whose features are known.
    data = None if distilled.is_streamed else as_normalised(distilled, info, ctx.device)
    labels = distilled.labels if data is None else data.labels
    classes = labels if labels.ndim == 1 else labels.argmax(1)
    by_name: dict[str, list[float]] = defaultdict(list)
    for label in ctx.track(range(info.num_classes), "comparing with real images"):
        features, radii = space.real_class(label)
        if len(features) == 0:  # a class of the test split alone
            continue
        images = features if data is None else space.embed(data, (classes == label).nonzero(as_tuple=True)[0])
        for name, value in measure_class(features, radii, images).items():
            by_name[name].append(value)
    return {name: fmean(values) for name, values in by_name.items()}


def _fill(folder: Path, name: str, train: LabeledImages, ctx: RunContext) -> None:
    """Train the network and keep it, and for each class the features of its images and their radii."""
    data = TrainingSet.of_real(train, ctx.device)
    network = None
    if name != PIXELS:
        network = train_extractor(name, train, ctx).eval()
        save_file(
            {k: v.detach().cpu().clone().contiguous() for k, v in network.state_dict().items()}, folder / NETWORK_FILE
        )
    space = FeatureSpace(name, network, folder, ctx.device, "")
    for label in ctx.track(range(train.num_classes), f"features of real images ({name})"):
        features = space.embed(data, train.of_class(label))
        tensors = {"features": features, "radii": neighbour_radii(features)}
        save_file({k: v.cpu().contiguous() for k, v in tensors.items()}, _class_file(folder, label))


def train_extractor(name: str, train: LabeledImages, ctx: RunContext, seed: int = SEED) -> Network:
    """Return a network trained briefly on a training split, on the device; `seed` is of its weights and batches."""
    network = _make_network(name, train.info, seed).to(ctx.device)
    epochs = max(1, round(UPDATES * BATCH_SIZE / len(train)))
    plan = TrainingPlan(Schedule(epochs=epochs, drop_at=epochs), LEARNING_RATE, BATCH_SIZE, augmentation="")
    generator = make_generator(seed, "extractor", _seed_name(train.info), "training")
    return train_network(network, train, plan, generator, ctx.track)


def _make_network(name: str, info: DatasetInfo, seed: int = SEED) -> Network:
    return make_network(name, InputShape.of(info), make_generator(seed, "extractor", _seed_name(info), "initial", name))


def _seed_name(info: DatasetInfo) -> str:
    """Return what seeds are split by: the layout, as ever, so that extractors of a data set stay the same."""
    return info.layout or info.fingerprint


def _key_of(name: str, info: DatasetInfo) -> WorkKey:
    """Return a key that differs wherever the features may: extractor, data set, settings of training, neighbours."""
    content = {
        "code": "" if name == PIXELS else plugin_code(name),
        "data": asdict(info),
        "training": [UPDATES, BATCH_SIZE, LEARNING_RATE, SEED] if name != PIXELS else [],
        "neighbours": NEIGHBOURS,
    }
    return WorkKey("extractors", name, info.name, CACHE_VERSION, content)


def _class_file(folder: Path, label: int) -> Path:
    return folder / f"class_{label}.safetensors"


def _load(path: Path) -> dict[str, Tensor]:
    return load_tensors(path, "run it again to make it again")


def _digest_of(parameters: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(parameters):
        digest.update(parameters[name].contiguous().numpy().data)
    return digest.hexdigest()[:12]
