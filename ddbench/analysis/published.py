"""Numbers that papers print, from `baselines/published.toml`, looked up under ddbench's own names."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, ValidationError

from ddbench.errors import BadInputError, DataMissingError
from ddbench.host.files import baselines_dir
from ddbench.inputs.documents import read_toml
from ddbench.inputs.problems import explain
from ddbench.records import Record

# The only place where the file's slugs become ddbench's names; a slug that is not listed keeps its own name.
METHOD_NAMES = {
    "random": "random_real",
    "whole-dataset": "full_real",
    "k-center": "k_center",
    "kcenter": "k_center",
    "g-vbsm": "g_vbsm",
}
DATASET_NAMES = {"fashionmnist": "fashion_mnist", "tinyimagenet": "tiny_imagenet"}
NETWORK_NAMES = {
    "ConvNet-D3": "convnet-d3",
    "ConvNet-D3-BN": "convnet-d3-bn",
    "ConvNet-D4": "convnet-d4",
    "ConvNet-D4-BN": "convnet-d4-bn",
    "ConvNet-D5": "convnet-d5",
    "ConvNet-D6": "convnet-d6",
    "ConvNet-6": "convnet-d6",
    "ResNet-18": "resnet18",
    "ResNet-18-BN": "resnet18-bn",
    "ResNetAP-10": "resnet_ap10",
    "VGG-11": "vgg11",
    "AlexNet": "alexnet",
    "LeNet": "lenet",
    "MLP": "mlp",
}
# Soft-label recipes train ResNets with batch norm, RDED's ConvNets too, the other families with instance norm.
BATCH_NORM_PROTOCOLS = frozenset({"sre2l-soft", "rded-soft", "edc-soft"})
PROTOCOL_NAMES = {
    "dc-hard": "dsa",
    "dsa-aug-random": "dsa",
    "minimax-hard": "imagenet-hard",
    "rded-soft": "rded",
    "edc-soft": "edc",
    "datm": "datm",
}
# Papers of the SRe2L family have a recipe for each data set; of the others we have none, nor G-VBSM's for CIFAR.
SRE2L_NAMES = {"imagenet1k": "sre2l", "cifar100": "sre2l-cifar"}
# Their numbers are the best of several tests during training, which `test_accuracy_best` is too.
BEST_OF_TESTS = frozenset({"rded-soft", "sre2l-soft", "edc-soft"})
# These rows of `dc-hard` train students without DSA, although they stand in the same tables as rows that use it.
ROWS_WITHOUT_DSA = frozenset({"random", "herding", "k-center", "kcenter", "forgetting", "dc", "dcc", "cafe"})

# What a reader must know before comparing with ddbench's numbers, by protocol or protocol/method of the file.
CAVEATS = {
    "dc-hard": "papers of the DC family pool all students of all sets: their spread is not over distillation seeds",
    "dc-hard/whole-dataset": "the recipe behind the DC family's whole-data-set rows is in no repository",
    "minimax-hard": "papers of the Minimax family print the best test accuracy during training, ddbench the last",
    "rded-soft": "papers of the RDED family print the best of several tests: compare test_accuracy_best",
    "sre2l-soft": "papers of the SRe2L family print the best of several tests: compare test_accuracy_best",
    "datm": "DATM and its successors print the best of several evaluations, on whitened images",
    "mtt": "papers of the MTT family print the best of several evaluations, often on whitened images",
}

# Side length of ImageNet and its subsets where the data set's name carries no `size` option; others have only one.
IMAGENET_SIDE = 224

_KIND_ORDER = ("own", "quoted", "rerun", "community")
# Minimax-style images are made at 256 px and trained on at 224, so the file's 256 names what ddbench runs at 224.
_RESIZING_PROTOCOLS = frozenset({"minimax-hard"})
SIZE_NOT_SAID = "a source does not say at which image size its number was measured"


class PublishedNumber(Record):
    """One number of the file: one value that one source prints for one entry.

    Attributes:
        method: slug of the file, as are `dataset`, `model` and `protocol`; `registry_method` and so on translate.
        ipc: images per class; `full` for the whole training set; 0 where the source does not say.
        value: percent, hours or GiB, depending on `metric`.
        std: spread as printed, over whatever the source repeated; None where none is printed.
        source: the work the number belongs to.
        via: the places where it was read, separated by `;`.
        confidence: `read`, or `recalled` from memory and never checked.
        kind: `own` (by the method's authors), `quoted` by others, `rerun` by another paper, or `community`.
        resolution: side length in pixels.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    method: str = Field(min_length=1)
    dataset: str = Field(min_length=1)
    ipc: Annotated[int, Field(ge=0)] | Literal["full"]
    model: str = Field(min_length=1)
    metric: Literal["test_accuracy", "distill_wall_clock_hours", "peak_gpu_memory_gib"]
    value: float = Field(ge=0, allow_inf_nan=False)
    std: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    source: str = Field(min_length=1)
    via: str = Field(min_length=1)
    confidence: Literal["read", "recalled"]
    kind: Literal["own", "quoted", "rerun", "community"]
    protocol: str = Field(min_length=1)
    resolution: int | None = Field(default=None, gt=0)
    note: str = ""

    @property
    def registry_method(self) -> str:
        """Name of the method in ddbench."""
        return METHOD_NAMES.get(self.method, self.method)

    @property
    def registry_dataset(self) -> str:
        """Name of the data set in ddbench, without options."""
        return DATASET_NAMES.get(self.dataset, self.dataset)

    @property
    def registry_network(self) -> str:
        """Name of the network in ddbench; the paper's own name where ddbench has none."""
        name = NETWORK_NAMES.get(self.model, self.model)
        is_normed_otherwise = name == "resnet18" or (self.protocol == "rded-soft" and name.startswith("convnet"))
        return f"{name}-bn" if is_normed_otherwise and self.protocol in BATCH_NORM_PROTOCOLS else name

    @property
    def registry_protocol(self) -> str:
        """Name of the protocol in ddbench; the file's own name where ddbench has none."""
        if self.protocol == "dc-hard" and self.method in ROWS_WITHOUT_DSA:
            return "dc"
        if self.protocol == "sre2l-soft" and self.registry_method == "g_vbsm":
            return "gvbsm" if self.dataset == "imagenet1k" else self.protocol
        if self.protocol == "sre2l-soft":
            return SRE2L_NAMES.get(self.dataset, self.protocol)
        return PROTOCOL_NAMES.get(self.protocol, self.protocol)

    @property
    def registry_metric(self) -> str:
        """Name of the metric that a number measured here must be of: an accuracy of the last epoch, or the best."""
        return "test_accuracy_best" if self.protocol in BEST_OF_TESTS else "test_accuracy"

    @property
    def images_per_class(self) -> int | None:
        """`ipc` as a Result has it: None for the whole training set."""
        return None if self.ipc == "full" else self.ipc

    @property
    def caveats(self) -> tuple[str, ...]:
        """What to know before comparing it with a number measured here."""
        keys = (self.protocol, f"{self.protocol}/{self.method}")
        is_unsaid = self.resolution is None and _has_sizes(self.dataset)
        return (*(CAVEATS[key] for key in keys if key in CAVEATS), *((SIZE_NOT_SAID,) if is_unsaid else ()))

    def is_of_size(self, side: int) -> bool:
        """Return whether it is of images of this side; one whose source does not say so is taken for the usual one."""
        if self.resolution is None:
            return side == IMAGENET_SIDE or not _has_sizes(self.dataset)
        is_resized = self.resolution > IMAGENET_SIDE and self.protocol in _RESIZING_PROTOCOLS
        return side == (IMAGENET_SIDE if is_resized else self.resolution)

    @property
    def rank(self) -> tuple[bool, bool, int, int]:
        """Sorts the number to prefer first: no known copy error, read, by kind, found in more places."""
        return (
            "copy error" in self.note,
            self.confidence != "read",
            _KIND_ORDER.index(self.kind),
            -len(self.via.split(";")),
        )


@dataclass(frozen=True)
class PublishedEntry:
    """All that is published for one entry under one protocol: the number to show first, then the others."""

    numbers: tuple[PublishedNumber, ...]

    @property
    def shown(self) -> PublishedNumber:
        """The preferred number; never a mean of several."""
        return self.numbers[0]

    @property
    def protocol(self) -> str:
        """Name of the protocol in ddbench, or the file's own."""
        return self.shown.registry_protocol

    @property
    def is_verified(self) -> bool:
        """False where the shown number was recalled from memory."""
        return self.shown.confidence == "read"

    @cached_property
    def disagreeing(self) -> tuple[PublishedNumber, ...]:
        """Numbers of other sources that differ from the shown one."""
        return tuple(number for number in self.numbers[1:] if number.value != self.shown.value)


@lru_cache(maxsize=4)
def load_published(path: Path | None = None) -> tuple[PublishedNumber, ...]:
    """Return every published number, in the file's order.

    Args:
        path: another file of the same form; by default `published.toml` of `baselines_dir()`.

    Raises:
        DataMissingError: there is no such file.
        BadInputError: the file is no TOML, or a number has an unknown key, a missing key or an impossible value.
    """
    path = path or baselines_dir() / "published.toml"
    if not path.exists():
        raise DataMissingError(f"there are no published numbers at {path}; install ddbench again")
    content = read_toml(path, "published numbers")
    tables = content.pop("claim", None)
    if content or not isinstance(tables, list):
        found = ", ".join(content) or "no [[claim]]"
        raise BadInputError(f"{path} must hold [[claim]] tables and nothing else, found {found}; fix the file")
    return tuple(_parse_number(path, index, table) for index, table in enumerate(tables, start=1))


def find_published(
    method: str, dataset: str, ipc: int | None, network: str, protocol: str, *, path: Path | None = None
) -> PublishedEntry | None:
    """Return the published accuracy of exactly one entry, or None; names are those a Result carries.

    Args:
        method: registered name.
        dataset: name with its options; numbers at another `size` are left out, and any other option, such as a
            `source` that is not the official one, makes it another data set, about which nothing is published.
        ipc: images per class; None for `full_real`.
        network: name of the student network.
        protocol: ddbench's name; the file's own for a protocol that ddbench does not have.
        path: see `load_published`.
    """
    entries = list_published(method, dataset, ipc, network, path=path)
    return next((entry for entry in entries if entry.protocol == protocol), None)


def list_published(
    method: str, dataset: str, ipc: int | None, network: str, *, path: Path | None = None
) -> tuple[PublishedEntry, ...]:
    """Return the published accuracies of an entry under every protocol, one `PublishedEntry` per protocol.

    Protocols that ddbench has come first. Numbers of different protocols are not comparable: show `protocol` with them.
    """
    name, *options = dataset.split(",")
    sides = [option.removeprefix("size=") for option in options if option.startswith("size=")]
    if len(sides) < len(options):
        return ()
    side = next(iter(sides), str(IMAGENET_SIDE) if _has_sizes(name) else None)
    by_protocol: dict[str, list[PublishedNumber]] = defaultdict(list)
    for number in _accuracies(path).get((method, name, ipc, network), ()):
        if side is None or (side.isdecimal() and number.is_of_size(int(side))):
            by_protocol[number.registry_protocol].append(number)
    entries = (PublishedEntry(tuple(sorted(numbers, key=lambda n: n.rank))) for numbers in by_protocol.values())
    known = {"dc", "gvbsm", *SRE2L_NAMES.values(), *PROTOCOL_NAMES.values()}
    return tuple(sorted(entries, key=lambda entry: (entry.protocol not in known, entry.shown.rank)))


def _has_sizes(dataset: str) -> bool:
    """Return whether a data set, by the file's name or ddbench's, is one of ImageNet's, which come in any size."""
    return dataset.startswith("image")


@lru_cache(maxsize=4)
def _accuracies(path: Path | None) -> dict[tuple[str, str, int | None, str], list[PublishedNumber]]:
    index = defaultdict(list)
    for number in load_published(path):
        if number.metric == "test_accuracy":
            entry = (number.registry_method, number.registry_dataset, number.images_per_class, number.registry_network)
            index[entry].append(number)
    return dict(index)


def _parse_number(path: Path, index: int, table: object) -> PublishedNumber:
    try:
        return PublishedNumber.model_validate(table)
    except ValidationError as error:
        named = table if isinstance(table, dict) else {}
        place = ", ".join(str(named.get(key, "?")) for key in ("method", "dataset", "ipc"))
        reason = explain(error, tuple(PublishedNumber.model_fields))
        raise BadInputError(f"{path}, claim {index} ({place}): {reason}; fix this claim") from error
