"""Class folders of PNG files (8 bits), `LABEL_NAME/00000.png`, for torchvision's ImageFolder.

Folders sort by label, so that ImageFolder numbers the classes as the data set does. PNG holds 8 bits: what clipping and
rounding change is measured, and soft labels become folders of the most probable class.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ddbench.exporter import EXPORTERS, Exporter, ExportPlan
from ddbench.exporters._lost import lost_to_bytes
from ddbench.exporters._png import as_png

UNSAFE = re.compile(r"[^\w .,()+-]")  # what some file system refuses in a name


@EXPORTERS.register("image-folder")
class ImageFolderExporter(Exporter):
    """A folder of class folders."""

    def write(self, plan: ExportPlan, folder: Path) -> Mapping[str, Any]:
        """Write a PNG for every image."""
        made = plan.distilled
        count: dict[int, int] = defaultdict(int)
        digits = len(str(made.num_classes - 1))
        for image, label in zip(plan.pixels, made.classes.tolist(), strict=True):
            place = folder / f"{label:0{digits}d}_{UNSAFE.sub('_', plan.info.class_names[label])[:100]}"
            place.mkdir(exist_ok=True)
            (place / f"{count[label]:05d}.png").write_bytes(as_png(image))
            count[label] += 1
        lost = lost_to_bytes(plan)
        if made.label_mode == "soft":
            lost["soft_labels"] = "folders name the most probable class"
        if made.whitening is not None:
            lost["space"] = "images are pixels, not whitened"
        if not torch.equal(made.classes.cpu(), made.classes.cpu().sort().values):
            lost["order"] = "images are sorted by class"
        return lost
