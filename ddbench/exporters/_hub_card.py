"""The card of a data set on the Hugging Face hub: front matter that the hub reads, and what a person wants to know."""

from __future__ import annotations

import json

import yaml

from ddbench.exporter import ExportPlan

SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def hub_card(plan: ExportPlan) -> str:
    """Return the text of README.md."""
    made, info, origin = plan.distilled, plan.info, plan.distilled.provenance
    method = _plain(origin.get("method", "unknown method"))
    title = f"{info.name} distilled by {method}, {made.ipc} images per class"
    front = {
        "pretty_name": title,
        "license": plan.licence,
        "task_categories": ["image-classification"],
        "size_categories": [next((name for most, name in SIZES if len(made.images) < most), "n>1M")],
        "tags": ["dataset-distillation", "ddbench"],
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": "data/train-*.parquet"}]}],
    }
    facts = {
        "data set": info.name,
        "method": method,
        "images": f"{len(made.images)} of {'x'.join(map(str, made.images.shape[1:]))}, {made.ipc} per class"
        + (f" on average, {made.class_sizes[0]} to {made.class_sizes[1]}" if made.class_sizes else ""),
        "space of the values": made.space,
        "labels": made.label_mode,
        "mean and std of pixels in 0..1": f"{list(info.mean)}, {list(info.std)}",
        "learning rate of students": "the protocol's" if made.student_lr is None else f"{made.student_lr:.6g}",
        "distillation seed": origin.get("distill_seed", "unknown"),
        "settings": f"`{json.dumps(origin['config'], sort_keys=True)}`" if origin.get("config") else "unknown",
    }
    if made.decode_factor > 1:
        facts["smaller images in each"] = f"{made.decode_factor**2}, which students see enlarged"
    lines = [f"| {name} | {value} |" for name, value in facts.items()]
    return (
        f"---\n{yaml.safe_dump(front, sort_keys=False, allow_unicode=True)}---\n\n# {title}\n\n"
        "A distilled data set: students are trained on it instead of the whole training split, and tested on the real "
        "test split. It holds no test images.\n\n| | |\n| --- | --- |\n" + "\n".join(lines) + "\n\n"
        f"{_accuracy(plan)}\n## Use\n\n```python\nfrom datasets import load_dataset\n\n"
        'images = load_dataset("FOLDER", split="train")  # this folder, or its name on the hub\n```\n\n'
        f"{_columns(plan)} `ddbench import FOLDER --as huggingface --dataset {info.name} --out SET` gives the set back "
        "for `ddbench evaluate`; `ddbench.json` has its whole provenance.\n"
    )


def _plain(text: object) -> str:
    """Return text that Markdown and HTML show as it is, in one line."""
    return "".join(c for c in " ".join(str(text).split()) if c.isprintable() and c not in "|<>`*[]#\\")[:100]


def _accuracy(plan: ExportPlan) -> str:
    if not plan.results:
        return "Its accuracy was not stated with the export.\n"
    lines = [f"| `{r['protocol']}` | {r['network']} | {r['accuracy']} | {r['counts']} |" for r in plan.results]
    return (
        "## Test accuracy (%)\n\n| protocol | network | mean and std | of |\n| --- | --- | ---: | --- |\n"
        + "\n".join(lines)
        + "\n"
    )


def _columns(plan: ExportPlan) -> str:
    made = plan.distilled
    columns = ["`image` is a picture in 8 bits", "`label` a class"]
    if made.label_mode == "soft":
        columns.append("`soft_label` the probabilities that the set was made with")
    if plan.exact.dtype != plan.pixels.dtype:
        columns.append(f"`tensor` the exact values in space {made.space}")
    return f"{', '.join(columns)}."
