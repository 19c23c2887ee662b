"""What DD-Ranking's metric classes take: `images.pt`, `labels.pt` (logits) and `lr.pt`, each a plain tensor."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ddbench.exporter import EXPORTERS, Exporter, ExportPlan
from ddbench.peers.dd_ranking import to_dd_ranking


@EXPORTERS.register("dd-ranking")
class DDRankingExporter(Exporter):
    """The files that its examples load."""

    def write(self, plan: ExportPlan, folder: Path) -> Mapping[str, Any]:
        """Write the files; what is hard-labelled has no labels.pt, and what learned no rate no lr.pt."""
        made = to_dd_ranking(plan.distilled, plan.info)
        torch.save(made.image_tensor, folder / "images.pt")
        if made.soft_labels is not None:
            torch.save(made.soft_labels, folder / "labels.pt")
        if made.syn_lr is not None:
            torch.save(torch.tensor(made.syn_lr), folder / "lr.pt")
        lost: dict[str, Any] = {}
        if not torch.equal(plan.distilled.classes.cpu(), plan.distilled.classes.cpu().sort().values):
            lost["order"] = "images are sorted by class"
        if plan.distilled.space == "pixels":
            lost["space"] = "pixels are normalised"
        return lost
