"""Input of a DD-Ranking run: `images.pt`, `labels.pt` (logits) and `lr.pt`, alone or beside its YAML config.

Format: NUS-HPC-AI-Lab/DD-Ranking 0.2.0, `compute_metrics(image_tensor, soft_labels, syn_lr)`: images sorted by class,
as many of each, normalised, or whitened where the config has `use_zca`. A config names no files of the set: they are
looked for beside it. What the run would be here is printed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ddbench.errors import BadInputError
from ddbench.exporter import read_card
from ddbench.importer import IMPORTERS, ForeignSet, Importer, ImportOptions
from ddbench.importers._carded import labels_by_card, told_by
from ddbench.importers._saved_tensors import as_rate, as_tensor, read_saved
from ddbench.inputs.yaml import read_yaml
from ddbench.peers.dd_ranking import constants_of, dataset_name, differences, equivalent_command
from ddbench.records import Space

CONFIGS = (".yaml", ".yml")


@IMPORTERS.register("dd-ranking")
class DDRankingImporter(Importer):
    """Tensors as DD-Ranking takes them, and its config."""

    takes = ("class_map",)

    def read(self, source: Path, options: ImportOptions) -> list[ForeignSet]:
        """Return the one set beside a config, in a folder, or in a file of images."""
        config = _read_config(source, options) if source.suffix in CONFIGS else {}
        folder = source if source.is_dir() else source.parent
        images_path = source if source.suffix == ".pt" else folder / "images.pt"
        if not images_path.is_file():
            told = f"; the same run here: {equivalent_command(config)}" if config else ""
            raise BadInputError(f"{images_path} is missing: put the run's images.pt, labels.pt and lr.pt there{told}")
        images = as_tensor(read_saved(images_path, "images"), f"images in {images_path}")
        labels_path, rate_path = images_path.with_name("labels.pt"), images_path.with_name("lr.pt")
        soft, notes = labels_path.is_file(), []
        if soft:
            labels = as_tensor(read_saved(labels_path, "labels"), f"labels in {labels_path}")
        else:
            classes, rest = options.info.num_classes, len(images) % options.info.num_classes
            if rest:
                raise BadInputError(f"{images_path}: {len(images)} images are not as many of each of {classes} classes")
            labels = torch.arange(classes).repeat_interleave(len(images) // classes)
            notes.append("no labels.pt: labels are by class in order, as DD-Ranking takes images")
        rate = as_rate(read_saved(rate_path, "learning rate"), f"lr in {rate_path}") if rate_path.is_file() else None
        if config:
            notes.append(f"the same run here: {equivalent_command(config)}")
            notes += differences(config)
        is_soft = soft and labels.ndim == 2
        card = read_card(folder)
        facts: dict[str, Any] = {}
        if card is not None:
            labels, facts, by_card = labels_by_card(card, labels, options)
            notes += by_card
        space = card.space if card else _space_by(config)
        constants = None if space == "zca" else constants_of(options.info)
        found = ForeignSet(images, labels, space, is_soft, rate, constants=constants, notes=tuple(notes), facts=facts)
        return [told_by(card, found)]

    @classmethod
    def recognises(cls, source: Path) -> bool:
        """Return whether it is a folder with such files."""
        return (source / "images.pt").is_file()


def _space_by(config: dict[str, Any]) -> Space | None:
    """Return the space that a config says images are in, None without a config."""
    if not config:
        return None
    return "zca" if config.get("use_zca") else "normalised"


def _read_config(path: Path, options: ImportOptions) -> dict[str, Any]:
    content = read_yaml(path, "config")
    if not isinstance(content, dict) or "dataset" not in content:
        raise BadInputError(
            f"{path} is not a config of DD-Ranking: it has no 'dataset'; name its config, or the folder"
        )
    if not isinstance(content.get("use_zca", False), bool):
        raise BadInputError(f"{path}: use_zca must be true or false, got {content['use_zca']!r}; correct it")
    named, wanted = dataset_name(content), options.info.name.partition(",")[0]
    if named not in (None, wanted):
        raise BadInputError(f"{path} is of a run on {named}, not on {wanted}; import it with --dataset {named}")
    return content
