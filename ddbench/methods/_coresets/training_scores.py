"""Scores of real images by how a network learns them: one training for every method that selects by such a score.

Papers: Toneva et al., "An Empirical Study of Example Forgetting during Deep Neural Network Learning", ICLR 2019
(arXiv 1812.05159); Paul et al., "Deep Learning on a Data Diet", NeurIPS 2021 (arXiv 2107.07075): EL2N; Pleiss et al.,
"Identifying Mislabeled Data using the Area Under the Margin Ranking", NeurIPS 2020 (arXiv 2001.10528): AUM.
Checked against: haizhongzheng/Coverage-centric-coreset-selection, `generate_importance_score.py`.
Differs from them: all images are scored as they are after every epoch, where they use the augmented batches as these
are trained on; EL2N is of one network, not a mean over ten; the margin is one of probabilities, as in that program.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

import torch
import torch.nn.functional as F
from pydantic import Field
from safetensors.torch import load_file, save_file
from torch import Tensor

from ddbench.engine.chunks import in_chunks
from ddbench.images import LabeledImages
from ddbench.method import Method, Resumable, RunContext, Tracker
from ddbench.network import InputShape, make_network
from ddbench.protocol import Schedule
from ddbench.students.loop import TrainingPlan, channels_last, chunk_size
from ddbench.students.trainer import train_network
from ddbench.work import TRAINING, VALUE_BYTES, MethodWork, Passes, PhaseWork

SCORES_FILE = "scores.safetensors"
NUM_SCORES = 3
T = TypeVar("T")


@dataclass(frozen=True)
class ScoreConfig:
    """Which network is watched as it learns, and for how long.

    The papers watch ResNet-18 for 200 epochs; ours is sized for a processor. `el2n_epochs` are the first ones, which
    EL2N is a mean over: 10 in that program.
    """

    score_network: str = "convnet-d3"
    score_epochs: Annotated[int, Field(gt=0)] = 20
    score_lr: Annotated[float, Field(gt=0)] = 0.01
    score_batch_size: Annotated[int, Field(gt=0)] = 128
    el2n_epochs: Annotated[int, Field(gt=0)] = 10


def judge(logits: Tensor, labels: Tensor) -> Tensor:
    """Return of (n, K) logits whether each is right, its margin, and the norm of its error, (n, 3) float32."""
    probabilities, own = logits.float().softmax(1), labels[:, None]
    right = probabilities.argmax(1) == labels
    margin = probabilities.gather(1, own)[:, 0] - probabilities.scatter(1, own, -1.0).amax(1)
    error = probabilities - F.one_hot(labels, probabilities.shape[1])
    return torch.stack([right.float(), margin, torch.linalg.vector_norm(error, dim=1)], 1)


class TrainingScores:
    """Scores of N images, brought up to date after every epoch.

    Attributes:
        times: (N,) float32, how often an image was right after one epoch and wrong after the next.
        el2n_sum: (N,) float32, the distance of the predicted distribution from the label's, over the first epochs.
        margin: (N,) float32, the label's probability less the largest other one, a sum over epochs; low for images that
            are hard or wrongly labelled.
    """

    def __init__(self, count: int, el2n_epochs: int) -> None:
        self.el2n_epochs, self.epochs = el2n_epochs, 0
        self.times, self.el2n_sum, self.margin = (torch.zeros(count) for _ in range(NUM_SCORES))
        self.is_right, self.was_ever_right = (torch.zeros(count, dtype=torch.bool) for _ in range(2))

    def update(self, judged: Tensor) -> None:
        """Take (N, 3) float32, `judge` of all images after one more epoch."""
        is_right, margin, error = judged.unbind(1)
        right = is_right > 0
        self.times += self.is_right & ~right
        self.is_right, self.was_ever_right = right, self.was_ever_right | right
        self.margin += margin
        if self.epochs < self.el2n_epochs:
            self.el2n_sum += error
        self.epochs += 1

    def save_state(self) -> dict[str, Tensor]:
        """Return all of it, for a training that is resumed."""
        names = ("times", "el2n_sum", "margin", "is_right", "was_ever_right")
        return {**{name: getattr(self, name).clone() for name in names}, "epochs": torch.tensor(self.epochs)}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go back to a saved state."""
        self.epochs = int(state.pop("epochs"))
        for name, value in state.items():
            setattr(self, name, value)

    def tensors(self) -> dict[str, Tensor]:
        """Return the scores: `forgotten`, infinite where an image was never right (Toneva et al.), `el2n`, `margin`."""
        return {
            "forgotten": self.times.masked_fill(~self.was_ever_right, float("inf")),
            "el2n": self.el2n_sum / min(self.epochs, self.el2n_epochs),
            "margin": self.margin,
        }


class ScoreMethod(Method):
    """A method that selects by a score; scores are made once for every IPC and every method of this kind."""

    Config = ScoreConfig
    prepare_name: ClassVar[str] = "training_scores"
    smoke_settings: ClassVar[dict[str, Any]] = {"score_network": "convnet-d1-w8", "score_epochs": 2}

    def prepare(self, train: LabeledImages, ctx: RunContext) -> Path:
        """Train the network and keep the scores of all training images."""
        config = self.config
        network = make_network(config.score_network, InputShape.of(train.info), ctx.generator).to(ctx.device)
        scores = TrainingScores(len(train), config.el2n_epochs)
        plan = TrainingPlan(
            schedule=Schedule.with_late_drop(config.score_epochs),
            lr=config.score_lr,
            batch_size=config.score_batch_size,
            augmentation="",
        )

        @torch.no_grad()
        def judged(rows: Tensor) -> Tensor:
            logits = network(channels_last(train.normalised(rows, ctx.device)))
            return judge(logits, train.labels[rows].to(ctx.device)).cpu()

        def score() -> None:
            network.eval()
            rows = torch.arange(len(train))
            scores.update(torch.cat(in_chunks("test_chunk", judged, rows, chunk_size(ctx.device))))
            network.train()

        train_network(network, train, plan, ctx.generator, _after_each(ctx.track, score), scores)
        save_file(scores.tensors(), ctx.cache_dir / SCORES_FILE)
        return ctx.cache_dir

    def work(self, train: LabeledImages, ipc: int) -> MethodWork:
        """Return the training and one pass over all images after every epoch; choosing is not counted."""
        config = self.config
        images = config.score_epochs * len(train)
        training = Passes(config.score_network, images, min(config.score_batch_size, len(train)), TRAINING)
        scoring = Passes(config.score_network, images, chunk_size(torch.device("cpu")))
        return MethodWork(PhaseWork(), PhaseWork((training, scoring), held_bytes=NUM_SCORES * len(train) * VALUE_BYTES))

    def scores_by_class(self, train: LabeledImages, ctx: RunContext, name: str) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield, for each class in order, the (n,) indices of its images in drawn order and their (n,) scores.

        In drawn order, so that of images with the same score a stable sort prefers none by its place in the files.
        """
        if ctx.prepared is None:
            raise RuntimeError("scores are made by prepare(); run the method through distill() or the runner")
        scores = load_file(ctx.prepared / SCORES_FILE)[name]
        for label in range(train.num_classes):
            indices = train.of_class(label)
            indices = indices[torch.randperm(len(indices), generator=ctx.generator)]
            yield indices, scores[indices]


def _after_each(track: Tracker, act: Callable[[], None]) -> Tracker:
    """Return a tracker that also acts after every round of the loop that it tracks."""

    def tracked(iterable: Iterable[T], description: str, state: Resumable | None = None) -> Iterator[T]:
        for item in track(iterable, description, state):
            yield item
            act()

    return tracked


def highest(scores: Tensor, count: int) -> Tensor:
    """Return (count,) int64 positions of the highest of (n,) scores, of equal ones the first."""
    return scores.argsort(descending=True, stable=True)[:count]
