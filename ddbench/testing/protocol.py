"""What every protocol must keep to."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from ddbench.augment.dsa import draw_dsa
from ddbench.dataset import make_real_dataset
from ddbench.distilled.dataset import DistilledDataset
from ddbench.errors import BadInputError, DDBenchError
from ddbench.images import RealDataset
from ddbench.network import InputShape, make_network
from ddbench.protocol import Protocol, Schedule
from ddbench.registry import PROTOCOLS
from ddbench.runs.cell import evaluate
from ddbench.seeding import make_generator

SHORT = Schedule(epochs=2, drop_at=1)
SIZES = (8, 16, 32, 64, 128, 224)
_READ_HASH = "import sys; from ddbench.protocol import Protocol; print(Protocol.model_validate_json(sys.argv[1]).hash)"


@pytest.mark.usefixtures("own_cache")
class ProtocolContract:
    """What results and tables rely on in a protocol. Set `name`."""

    name: ClassVar[str]

    def test_name_is_the_registered_one(self) -> None:
        """Results name it, and are rerun by that name."""
        found = PROTOCOLS.get(self.name).name
        assert found == self.name, f"the protocol calls itself {found!r}"

    def test_fields_are_frozen_and_valid(self) -> None:
        """No field can be changed, each has a legal value, and the last epoch is what counts."""
        protocol = PROTOCOLS.get(self.name)
        with pytest.raises(ValidationError, match="frozen"):
            protocol.lr = 1.0
        try:  # a copy with changes is not checked when it is made
            again = Protocol.model_validate(protocol.model_dump(warnings=False))
        except ValidationError as error:
            first = error.errors()[0]
            pytest.fail(f"field {'.'.join(map(str, first['loc']))}: {first['msg']}")
        assert again.hash == protocol.hash, "a field has a value of another type than declared"

    def test_hash_survives_a_round_trip_and_another_process(self) -> None:
        """Written as JSON and read in a process with other hash seeds, it has the same hash."""
        protocol = PROTOCOLS.get(self.name)
        command = [sys.executable, "-P", "-c", _READ_HASH, protocol.model_dump_json()]
        environment = {**os.environ, "PYTHONHASHSEED": "7"}
        found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()
        assert found == protocol.hash, f"read elsewhere its hash is {found}, here {protocol.hash}"

    @pytest.mark.parametrize("num_classes", [10, 100])
    def test_schedule_makes_sense_at_every_size(self, num_classes: int) -> None:
        """The rate drops in order, before the end; more images per class never take more epochs."""
        protocol = PROTOCOLS.get(self.name)
        epochs = []
        for ipc in (1, 10, 50, None):
            schedule = protocol.schedule_of("any", ipc, num_classes)
            drops = schedule.drops
            where = f"for {'the whole set' if ipc is None else f'ipc {ipc}'} of {num_classes} classes"
            assert list(drops) == sorted(set(drops)), f"{where} the learning rate drops at epochs {drops}; order them"
            assert max(drops, default=0) < schedule.epochs, (
                f"{where} the learning rate drops at epoch {drops[-1]}, after the last of {schedule.epochs}; lower it"
            )
            epochs.append(schedule.epochs)
        assert epochs == sorted(epochs, reverse=True), (
            f"with {num_classes} classes, ipc 1, 10, 50 and the whole set are trained for {epochs} epochs; more images "
            "must not take more of them"
        )

    def test_augmentations_are_known(self) -> None:
        """Every strategy that a data set may get is one that DSA has."""
        protocol = PROTOCOLS.get(self.name)
        for strategy in {protocol.augmentation, *protocol.augmentation_for.values()} - {""}:
            draw_dsa(make_generator(0, "strategy"), strategy, 1)

    def test_training_under_it_gives_an_accuracy_that_repeats(self, own_cache: Path) -> None:
        """Cut to two epochs, on a small data set that its network takes, twice with one seed."""
        protocol = shortened(PROTOCOLS.get(self.name))
        real = noise_for(protocol)
        images, labels = real.train.normalised(), real.train.labels
        distilled = DistilledDataset(images, labels, real.info.num_classes, len(labels) // real.info.num_classes)
        if protocol.precision == "tf32":  # no CPU computes in it: refused in words, and tried without
            with pytest.raises(DDBenchError):
                evaluate(distilled, real, protocol, students=1, device="cpu")
            protocol = protocol.model_copy(update={"precision": "fp32"})
        results = [evaluate(distilled, real, protocol, students=2, seed=3, device="cpu") for _ in range(2)]
        first, again = (result.metric("test_accuracy") for result in results)
        assert first is not None, "no test_accuracy came out"
        assert len(first.values) == 2, f"two students gave {len(first.values)} accuracies"
        assert all(0 <= value <= 1 for value in first.values), f"accuracies must lie in 0..1, are {first.values}"
        assert again == first, "the same seed gave other accuracies"


def shortened(protocol: Protocol) -> Protocol:
    """Return a protocol with every schedule cut to two epochs, and teachers with published weights trained instead."""
    changes = {"schedule": SHORT, "schedule_for": {}, "real_schedule": SHORT}
    teacher = protocol.teacher
    if teacher is not None:
        fresh = {"weights": "", "sha256": "", "path": ""}
        others = tuple(other.model_copy(update=fresh) for other in teacher.others)
        # Gently, for four images of noise.
        gentle = teacher.training and teacher.training.model_copy(update={"lr": 0.001})
        teacher = teacher.model_copy(update={**fresh, "schedule": SHORT, "others": others, "training": gentle})
    return protocol.model_copy(update={**changes, "teacher": teacher})


def noise_for(protocol: Protocol) -> RealDataset:
    """Return two classes of colour noise of the smallest size that the networks of a protocol take."""
    members = protocol.teacher.members if protocol.teacher else ()
    networks = [protocol.network, *(member.network for member in members)]
    for size in SIZES:
        try:
            for network in networks:
                make_network(network, InputShape(3, size, 2), make_generator(0, "network"))
        except BadInputError as error:
            refused = error
        else:
            return _noise(size)
    raise refused


def _noise(size: int) -> RealDataset:
    def split(name: str) -> tuple[Tensor, Tensor]:
        images = torch.randint(256, (4, 3, size, size), dtype=torch.uint8, generator=make_generator(0, name))
        return images, torch.tensor([0, 0, 1, 1])

    mean, std = (0.5,) * 3, (0.29,) * 3
    return make_real_dataset("noise", split("train"), split("test"), class_names=("a", "b"), mean=mean, std=std)
