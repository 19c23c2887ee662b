"""Data set in the Hugging Face layout: one parquet file and a card, for `datasets.load_dataset`.

Columns: `image` (PNG), `label` with class names, `soft_label` where labels are soft, and `tensor`, the exact values in
the set's space, where they are no bytes. Whitened sets have their whitening in `whitening.safetensors`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors.torch import save_file

from ddbench.exporter import EXPORTERS, Exporter, ExportPlan
from ddbench.exporters._hub_card import hub_card
from ddbench.exporters._png import as_png
from ddbench.host.files import write_text

FILE = "data/train-00000-of-00001.parquet"
WHITENING = "whitening.safetensors"


@EXPORTERS.register("huggingface")
class HuggingFaceExporter(Exporter):
    """Parquet with images embedded, and README.md."""

    def write(self, plan: ExportPlan, folder: Path) -> Mapping[str, Any]:
        """Write data, card and whitening."""
        made = plan.distilled
        pictures = [{"bytes": as_png(image), "path": f"{index:06d}.png"} for index, image in enumerate(plan.pixels)]
        kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        labels = pa.array(made.classes.tolist(), pa.int64())
        columns: dict[str, Any] = {"image": pa.array(pictures, kind), "label": labels}
        features: dict[str, Any] = {
            "image": {"_type": "Image"},
            "label": {"names": list(plan.info.class_names), "_type": "ClassLabel"},
        }
        if made.label_mode == "soft":
            columns["soft_label"] = pa.array(made.labels.float().tolist(), pa.list_(pa.float32()))
        if made.images.dtype != torch.uint8:
            nested = pa.list_(pa.list_(pa.list_(pa.float32())))
            columns["tensor"] = pa.array(made.images.cpu().float().tolist(), nested)
        table = pa.table(columns).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
        (folder / FILE).parent.mkdir()
        pq.write_table(table, folder / FILE, compression="zstd")
        if made.whitening is not None:
            save_file({"mean": made.whitening.mean.cpu(), "matrix": made.whitening.matrix.cpu()}, folder / WHITENING)
        write_text(folder / "README.md", hub_card(plan))
        halves = {"images": made.images, "soft_labels": made.labels}
        return {name: "float32 instead of float16" for name, kept in halves.items() if kept.dtype == torch.float16}
