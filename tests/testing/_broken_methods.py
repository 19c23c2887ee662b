"""Methods that break one rule of the contract each, on purpose, and two that keep to all."""

from __future__ import annotations

import random
import tempfile
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from ddbench.dataset import load_dataset
from ddbench.distilled.dataset import DistilledDataset
from ddbench.images import LabeledImages
from ddbench.method import Foundation, Method, RunContext

SHARED = Path(tempfile.gettempdir())


class Sound(Method):
    """Draws real images of each class, as a method should; the broken ones change one thing."""

    def order(self, count: int, ctx: RunContext) -> Tensor:
        return torch.randperm(count, generator=ctx.generator)

    def chosen(self, train: LabeledImages, ipc: int, ctx: RunContext) -> Tensor:
        classes = [train.of_class(label) for label in range(train.num_classes)]
        return torch.cat([indices[self.order(len(indices), ctx)[:ipc]] for indices in classes])

    def distill(self, train: LabeledImages, ipc: int, ctx: RunContext) -> DistilledDataset:
        chosen = self.chosen(train, ipc, ctx)
        return DistilledDataset(train.normalised(chosen), train.labels[chosen], train.num_classes, ipc)


class GlobalTorch(Sound):
    """Draws from torch's global generator."""

    def order(self, count: int, ctx: RunContext) -> Tensor:
        return torch.randperm(count)


class SeededGlobalTorch(Sound):
    """Seeds torch's global generator from its own and draws from it."""

    def order(self, count: int, ctx: RunContext) -> Tensor:
        torch.manual_seed(int(torch.randint(2**31, (), generator=ctx.generator)))
        return torch.randperm(count)


class SeededGlobalNumpy(Sound):
    """The same with NumPy's."""

    def order(self, count: int, ctx: RunContext) -> Tensor:
        np.random.seed(int(torch.randint(2**31, (), generator=ctx.generator)))
        return torch.from_numpy(np.random.permutation(count))


class SeededGlobalPython(Sound):
    """The same with Python's."""

    def order(self, count: int, ctx: RunContext) -> Tensor:
        random.seed(int(torch.randint(2**31, (), generator=ctx.generator)))
        return torch.tensor(random.sample(range(count), count))


class IgnoresSeed(Sound):
    """Takes the first images."""

    def order(self, count: int, ctx: RunContext) -> Tensor:
        return torch.arange(count)


class DrawsNothing(IgnoresSeed):
    """Takes the first images and says that it draws nothing."""

    is_deterministic = True


class SaysItDrawsNothing(Sound):
    """Draws, and says that it does not."""

    is_deterministic = True


class PreparesWhatItHidesFromItsSet(Sound):
    """Says that what it prepares does not depend on a setting, which shows in the prepared folder and in few sets."""

    @dataclass(frozen=True)
    class Config:
        """`power` is of the preparation."""

        power: float = 1.0

    prepare_ignores = ("power",)

    def prepare(self, train: LabeledImages, ctx: RunContext) -> Path:
        (ctx.cache_dir / "power.txt").write_text(str(self.config.power), encoding="utf-8")
        return ctx.cache_dir


class WritesToImages(Sound):
    """Makes the same change in every run, so that no run after the first changes anything."""

    def distill(self, train: LabeledImages, ipc: int, ctx: RunContext) -> DistilledDataset:
        train.images[0].fill_(7)
        return super().distill(train, ipc, ctx)


class WritesToLabels(Sound):
    """Changes labels of the training data, the same way in every run."""

    def distill(self, train: LabeledImages, ipc: int, ctx: RunContext) -> DistilledDataset:
        made = super().distill(train, ipc, ctx)
        train.labels.clamp_(max=8)
        return made


class UnevenClasses(Sound):
    """Gives some classes more images than others."""

    def distill(self, train: LabeledImages, ipc: int, ctx: RunContext) -> DistilledDataset:
        made = super().distill(train, ipc, ctx)
        return replace(made, labels=made.labels.roll(1).where(made.labels == 0, made.labels))


class OtherIpc(Sound):
    """Makes more images than asked for, and says so."""

    def distill(self, train: LabeledImages, ipc: int, ctx: RunContext) -> DistilledDataset:
        return super().distill(train, ipc + 1, ctx)


class PromisesTooMuch(Sound):
    """Accepts any IPC and fails where images run out."""

    def unsupported(self, train: LabeledImages, ipc: int) -> None:
        return None


class RefusesWithoutReason(Sound):
    """Refuses without a reason that helps."""

    def unsupported(self, train: LabeledImages, ipc: int) -> str | None:
        return "no" if ipc > 100 else None


class UnstorableSettings(Sound):
    """Has a setting that JSON turns into something else."""

    @dataclass(frozen=True)
    class Config:
        """A setting that JSON turns into something else."""

        sides: dict[int, int] = field(default_factory=lambda: {1: 2})


class ThawedSettings(Sound):
    """Has settings that can be changed afterwards."""

    @dataclass
    class Config:
        """Settings that can be changed afterwards."""

        steps: int = 3


class PreparesByUnknownFields(Sound):
    """Names a setting that it does not have."""

    prepare_ignores = ("depth",)


class Preparing(Sound):
    """Prepares the number of the first image to choose, as a method should; the broken ones change one thing."""

    @dataclass(frozen=True)
    class Config:
        """`epochs` are of the preparation, `offset` is not."""

        epochs: int = 1
        offset: int = 0

    prepare_ignores = ("offset",)

    def prepare(self, train: LabeledImages, ctx: RunContext) -> Path:
        (ctx.cache_dir / "first.txt").write_text(str(self.config.epochs), encoding="utf-8")
        return ctx.cache_dir

    def distill(self, train: LabeledImages, ipc: int, ctx: RunContext) -> DistilledDataset:
        first = int((ctx.prepared / "first.txt").read_text(encoding="utf-8")) + self.config.offset
        classes = [train.of_class(label) for label in range(train.num_classes)]
        orders = [self.order(len(indices), ctx) for indices in classes]
        chosen = torch.cat([indices[order.roll(-first)[:ipc]] for indices, order in zip(classes, orders, strict=True)])
        return DistilledDataset(train.normalised(chosen), train.labels[chosen], train.num_classes, ipc)


class ForgetsASetting(Preparing):
    """Says that what it prepares does not depend on a setting on which it does."""

    prepare_ignores = ("epochs", "offset")


class ForgetsASettingOfItsFoundation(Preparing):
    """Lays a foundation whose settings lack one."""

    def foundation(self) -> Foundation:
        return Foundation("first", {}, super().prepare)

    def prepare(self, train: LabeledImages, ctx: RunContext) -> Path:
        (ctx.cache_dir / "first.txt").write_bytes((ctx.foundation / "first.txt").read_bytes())
        return ctx.cache_dir


class ReadsTestSplit(Sound):
    """Loads the data set that it was given a part of."""

    def distill(self, train: LabeledImages, ipc: int, ctx: RunContext) -> DistilledDataset:
        assert len(load_dataset(train.info.name).test)
        return super().distill(train, ipc, ctx)


class ForksGlobalTorch(Sound):
    """Draws from the global generator and leaves it as it was."""

    def order(self, count: int, ctx: RunContext) -> Tensor:
        with torch.random.fork_rng(devices=[]):
            return torch.randperm(count).roll(int(torch.randint(count, (), generator=ctx.generator)))


class ReadsTheClock(Sound):
    """Takes other images every day."""

    def order(self, count: int, ctx: RunContext) -> Tensor:
        return super().order(count, ctx).roll(int(time.time() // 86_400) % count)


class ReadsTheCalendar(Sound):
    """Takes other images every year."""

    def order(self, count: int, ctx: RunContext) -> Tensor:
        return super().order(count, ctx).roll(datetime.now(UTC).year % count)


class WritesIntoTheWorkingFolder(Sound):
    """Leaves a file where the user happens to be."""

    def distill(self, train: LabeledImages, ipc: int, ctx: RunContext) -> DistilledDataset:
        Path("notes.txt").write_text("1", encoding="utf-8")
        return super().distill(train, ipc, ctx)


class WritesIntoTheHomeFolder(Sound):
    """Keeps a cache of its own, written by a library that does not tell Python."""

    def distill(self, train: LabeledImages, ipc: int, ctx: RunContext) -> DistilledDataset:
        folder = Path.home() / ".mine"
        folder.mkdir(exist_ok=True)
        save_file({"images": torch.zeros(1)}, folder / "kept.safetensors")
        return super().distill(train, ipc, ctx)


class WritesBesideItsFile(Sound):
    """Removes its traces, which do harm where a package cannot be written to."""

    def distill(self, train: LabeledImages, ipc: int, ctx: RunContext) -> DistilledDataset:
        path = Path(__file__).with_name(".kept-by-a-method")
        path.write_text("1", encoding="utf-8")
        path.unlink()
        return super().distill(train, ipc, ctx)


class WritesIntoASharedTemporaryFolder(Sound):
    """Keeps a file under a name of its own where every program of the machine finds it."""

    def distill(self, train: LabeledImages, ipc: int, ctx: RunContext) -> DistilledDataset:
        (SHARED / "ddbench-kept-by-a-method").write_text("1", encoding="utf-8")
        return super().distill(train, ipc, ctx)


class UsesATemporaryFolder(Sound):
    """Asks Python for a temporary folder, which is as good as the one of its context."""

    def distill(self, train: LabeledImages, ipc: int, ctx: RunContext) -> DistilledDataset:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "notes.txt").write_text("1", encoding="utf-8")
        return super().distill(train, ipc, ctx)


class UnstorableProvenance(Sound):
    """Adds to the provenance what JSON cannot hold."""

    def distill(self, train: LabeledImages, ipc: int, ctx: RunContext) -> DistilledDataset:
        return super().distill(train, ipc, ctx).with_provenance(network=torch.nn.Identity())


class Crashes(Sound):
    """Makes nothing."""

    def distill(self, train: LabeledImages, ipc: int, ctx: RunContext) -> DistilledDataset:
        raise RuntimeError("broken")
