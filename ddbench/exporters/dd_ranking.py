"""Input of DD-Ranking's metric classes: `images.pt`, `labels.pt` (logits) and `lr.pt`, each a plain tensor."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ddbench.exporter import EXPORTERS, Exporter, ExportPlan
from ddbench.peers.dd_ranking import constants_of, to_dd_ranking


@EXPORTERS.register("dd-ranking")
class DDRankingExporter(Exporter):
    """The files that its examples load."""

    def describe(self, plan: ExportPlan) -> Mapping[str, Any]:
        """Return the space of the tensors, and the constants that it normalises by."""
        if plan.distilled.space == "zca":
            return {}
        mean, std = constants_of(plan.info)
        return {"space": "normalised", "mean": mean, "std": std}

    def write(self, plan: ExportPlan, folder: Path) -> Mapping[str, Any]:
        """Write the files; what is hard-labelled has no labels.pt, and what learned no rate no lr.pt."""
        distilled, made = plan.distilled, to_dd_ranking(plan.distilled, plan.info)
        _save(made.image_tensor, folder / "images.pt")
        if made.soft_labels is not None:
            _save(made.soft_labels, folder / "labels.pt")
        if made.syn_lr is not None:
            _save(torch.tensor(made.syn_lr), folder / "lr.pt")
        lost: dict[str, Any] = {}
        if not torch.equal(distilled.classes.cpu(), distilled.classes.cpu().sort().values):
            lost["order"] = "images are sorted by class"
        if distilled.space == "pixels" or (distilled.space == "normalised" and self._converts(plan)):
            lost["space"] = "images are normalised by its constants"
        if distilled.images.dtype == torch.float16:
            lost["images"] = "float32 instead of float16"
        if made.soft_labels is not None:
            lost["labels"] = "logits in float32, of probabilities of at least 1e-30"
        if distilled.whitening is not None:
            lost["whitening"] = "is fitted anew on the data set"
        return lost

    def _converts(self, plan: ExportPlan) -> bool:
        return constants_of(plan.info) != (plan.info.mean, plan.info.std)


def _save(tensor: torch.Tensor, path: Path) -> None:
    """Write a tensor with torch, which has no error of its own for a full disk."""
    buffer = io.BytesIO()
    torch.save(tensor, buffer)
    path.write_bytes(buffer.getvalue())
