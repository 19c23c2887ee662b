"""WebDataset shard, `train-000000.tar`: for each image a PNG, its label (`.cls`) and what neither can hold.

That is the exact values in the set's space (`.npy`) where they are no bytes, and a soft label (`.soft_label.npy`).
Whitened sets have their whitening in `whitening.safetensors`.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from ddbench.exporter import EXPORTERS, Exporter, ExportPlan
from ddbench.exporters._png import as_png

FILE, WHITENING = "train-000000.tar", "whitening.safetensors"


@EXPORTERS.register("webdataset")
class WebDatasetExporter(Exporter):
    """One shard: a distilled set is small."""

    def write(self, plan: ExportPlan, folder: Path) -> Mapping[str, Any]:
        """Write the shard; the same set gives the same bytes."""
        made = plan.distilled
        is_exact = made.images.dtype != torch.uint8
        with tarfile.open(folder / FILE, "w") as shard:
            for index, label in enumerate(made.classes.tolist()):
                parts = {"png": as_png(plan.pixels[index]), "cls": str(label).encode()}
                if is_exact:
                    parts["npy"] = _npy(made.images[index])
                if made.label_mode == "soft":
                    parts["soft_label.npy"] = _npy(made.labels[index])
                for suffix, content in parts.items():
                    entry = tarfile.TarInfo(f"{index:06d}.{suffix}")
                    entry.size = len(content)
                    shard.addfile(entry, io.BytesIO(content))
        if made.whitening is not None:
            save_file({"mean": made.whitening.mean.cpu(), "matrix": made.whitening.matrix.cpu()}, folder / WHITENING)
        return {}


def _npy(values: Tensor) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values.cpu().numpy(), allow_pickle=False)
    return buffer.getvalue()
