"""One safetensors file, `set.safetensors`: images, labels, learned rate and whitening, all exact."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from ddbench.exporter import EXPORTERS, Exporter, ExportPlan

FILE = "set.safetensors"


@EXPORTERS.register("tensors")
class TensorsExporter(Exporter):
    """Tensors that any program with safetensors reads."""

    def write(self, plan: ExportPlan, folder: Path) -> Mapping[str, Any]:
        """Write the one file."""
        made = plan.distilled
        tensors = {"images": made.images.cpu().contiguous(), "labels": made.labels.cpu().contiguous()}
        if made.student_lr is not None:
            tensors["lr"] = torch.tensor(made.student_lr, dtype=torch.float64)
        if made.whitening is not None:
            tensors |= {"whitening_mean": made.whitening.mean.cpu(), "whitening_matrix": made.whitening.matrix.cpu()}
        save_file(tensors, folder / FILE)
        return {}
