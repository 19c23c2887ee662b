"""Networks that were trained elsewhere, loaded for a data set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ddbench.errors import BadInputError, DataMismatchError
from ddbench.host.files import sha256_of
from ddbench.images import DatasetInfo
from ddbench.inputs.paths import check_regular
from ddbench.network import InputShape, Network, make_network
from ddbench.pretrained.imagenet import IMAGENET_CLASSES, imagenet_places
from ddbench.pretrained.model_files import find_weights
from ddbench.pretrained.normalisation import renormalised
from ddbench.pretrained.published import Published, find_published
from ddbench.pretrained.state_dict import find_head, misfit, read_state_dict, rename
from ddbench.training_recipe import TeacherNetwork

TRAIN = "train one for this data set"
OTHERS = f"take another teacher, or {TRAIN}"


@dataclass(frozen=True, eq=False)
class Loaded:
    """A network on the CPU for images normalised as a data set's, its own parameters, and its file's SHA-256."""

    network: Network
    tensors: dict[str, Tensor]
    sha256: str


def load_given(given: TeacherNetwork, info: DatasetInfo) -> Loaded:
    """Load a network from a file or with published weights, its outputs those of a data set's classes.

    Of a classifier of ImageNet's 1,000 classes the rows of the data set's are taken, by WordNet id; one of as many
    classes as the data set has is used as it is.

    Raises:
        DataMissingError: published weights that are not on this machine.
        DataMismatchError: a file that has changed since it was named, or published weights that are damaged.
        BadInputError: a file that cannot be read, or does not fit the network or the data set.
    """
    published = find_published(given.weights) if given.weights else None
    if published is not None:
        check_published(published, info)
    path, digest = _find_file(given.path) if published is None else find_weights(published)
    if given.sha256 not in ("", digest):
        raise DataMismatchError(f"teacher file {path} has changed since the run began; start again")
    network = make_network(given.network, InputShape.of(info), torch.Generator())
    tensors = rename(read_state_dict(path, "teacher file"), network)
    head = find_head(tensors, network.state_dict(), info.num_classes)
    if head:
        rows = _rows_of(info, len(tensors[head[0]]), path)
        tensors.update({name: tensors[name][rows] for name in head})
    if problem := misfit(tensors, network.state_dict()):
        way_out = "name its network with teacher_network=NETWORK" if published is None else "copy the file again"
        raise BadInputError(
            f"teacher file {path} does not fit network {given.network} on {info.name}: {problem}; {way_out}, or {TRAIN}"
        )
    network.load_state_dict(tensors)
    if not given.normalisation and published is None and head:
        _check_usual(info, path)
    return Loaded(normalised_as(given, network, info), tensors, digest)


def load_kept(given: TeacherNetwork, tensors: dict[str, Tensor], info: DatasetInfo) -> Network:
    """Return the network that was loaded, from its `tensors`."""
    network = make_network(given.network, InputShape.of(info), torch.Generator())
    network.load_state_dict(tensors)
    return normalised_as(given, network, info)


def normalised_as(given: TeacherNetwork, network: Network, info: DatasetInfo) -> Network:
    """Return a network for images normalised as the data set's, whatever it was trained on."""
    from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

    if given.weights:
        published = find_published(given.weights)
        return renormalised(network, info, published.mean, published.std)
    if given.normalisation == "imagenet":
        check_channels("normalisation imagenet", len(IMAGENET_DEFAULT_MEAN), info)
        return renormalised(network, info, IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)
    return network


def check_published(published: Published, info: DatasetInfo) -> None:
    """Raise BadInputError where a data set is none that published weights are for, by its classes and channels."""
    check_channels(f"weights {published.name}", len(published.mean), info)
    if published.num_classes != IMAGENET_CLASSES:
        raise BadInputError(
            f"weights {published.name} have {published.num_classes} outputs, not ImageNet's 1,000; {OTHERS}"
        )
    if not info.class_ids:
        raise BadInputError(f"the classes of {info.name} have no WordNet ids, which {published.name} needs; {OTHERS}")
    places = imagenet_places(info, OTHERS)
    if len(places) == IMAGENET_CLASSES and not torch.equal(places, torch.arange(IMAGENET_CLASSES)):
        raise BadInputError(f"the 1,000 classes of {info.name} are not in the order of their WordNet ids; sort them")


def check_channels(what: str, channels: int, info: DatasetInfo) -> None:
    """Raise BadInputError unless a data set's images have so many channels."""
    if info.channels != channels:
        raise BadInputError(f"{what} takes images of {channels} channels, {info.name} has {info.channels}; {OTHERS}")


def _find_file(given: str) -> tuple[Path, str]:
    """Return a user's file and its SHA-256."""
    path = Path(given)
    check_regular(path, "teacher file")
    return path, sha256_of(path)


def _rows_of(info: DatasetInfo, outputs: int, path: Path) -> Tensor:
    """Return the rows of a data set's classes, (K,) int64, among a classifier's outputs."""
    if outputs != IMAGENET_CLASSES or not info.class_ids:
        raise BadInputError(
            f"teacher file {path} knows {outputs} classes and {info.name} has {info.num_classes}, not ImageNet's by "
            f"WordNet id; {OTHERS}"
        )
    return imagenet_places(info, OTHERS)


def _check_usual(info: DatasetInfo, path: Path) -> None:
    """Raise BadInputError where it is not clear how a file's images were normalised."""
    from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

    if (info.mean, info.std) != (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD):
        raise BadInputError(
            f"teacher file {path} is of ImageNet, and {info.name} is not normalised as that; say what its images were "
            "with teacher_normalisation=imagenet or teacher_normalisation=dataset"
        )
