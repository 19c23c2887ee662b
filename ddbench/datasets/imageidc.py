"""ImageNet-10 of IDC: the first 10 classes of ImageNet-100.

Source: Kim et al., Dataset condensation via efficient synthetic-data parameterization, ICML 2022. The authors say that
they take the first ten of their hundred classes (snu-mllab/Efficient-Dataset-Condensation, issue 3); the ten are also
those of zzzlt422/CoDA, misc/class_IDC.txt, which sorts them.
"""

from __future__ import annotations

from pathlib import Path

from ddbench.datasets._imagenet_layout import DEFAULT_SIZE, Classes, load_imagenet_subset
from ddbench.images import RealDataset
from ddbench.registry import DATASETS

CLASSES: Classes = (
    ("n02869837", "bonnet"),
    ("n01749939", "green mamba"),
    ("n02488291", "langur"),
    ("n02107142", "Doberman"),
    ("n13037406", "gyromitra"),
    ("n02091831", "Saluki"),
    ("n04517823", "vacuum"),
    ("n04589890", "window screen"),
    ("n03062245", "cocktail shaker"),
    ("n01773797", "garden spider"),
)


@DATASETS.register("imageidc")
def load_imageidc(
    data_dir: Path, *, download: bool = False, size: int | str = DEFAULT_SIZE, source: str = ""
) -> RealDataset:
    """Return the ten classes, images (N, 3, size, size) uint8; see `load_imagenet_subset`. Nothing is fetched."""
    return load_imagenet_subset("imageidc", CLASSES, data_dir, size=size, source=source)
