"""A tiny piece of every kind of cached work, and what is in it: names, shapes and a few numbers.

`python -m tests._cached_works` records it anew, after the version of a kind was raised.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file

from ddbench.datasets import _decoded_cache
from ddbench.distilled.dataset import DistilledDataset
from ddbench.evaluator import DistillRun
from ddbench.evaluators import _random_side, _rate_search
from ddbench.features import feature_space
from ddbench.host.cached_work import MANIFEST, read_manifest
from ddbench.host.files import CACHE_DIR_VARIABLE
from ddbench.image_files.decode import decode_images
from ddbench.images import DatasetInfo, LabeledImages, RealDataset
from ddbench.method import RunContext, make_method
from ddbench.protocol import PROTOCOLS
from ddbench.runs import preparation
from ddbench.seeding import make_generator
from ddbench.students import teacher
from ddbench.training_recipe import Schedule, Teacher

GOLDEN = Path(__file__).parent / "golden" / "cached_works.json"
# Softmax takes away what is added to every key: the gradient is zero but for rounding, and Adam makes steps of it.
WITHOUT_GRADIENT = "to_k.bias"
VERSIONS = {
    "prepared": lambda: preparation.CACHE_VERSION["prepared"],
    "foundations": lambda: preparation.CACHE_VERSION["foundations"],
    "teachers": lambda: teacher.CACHE_VERSION,
    "extractors": lambda: feature_space.CACHE_VERSION,
    "decoded": lambda: _decoded_cache.CACHE_VERSION,
    "random_sides": lambda: _random_side.CACHE_VERSION,
}


def make_real() -> RealDataset:
    """Three classes of smooth colour images of 8 px, which are the same on every machine."""
    draws = torch.Generator().manual_seed(5)
    info = DatasetInfo("toy", ("a", "b", "c"), 3, 8, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), "f1")

    def split(count: int) -> LabeledImages:
        labels = torch.arange(count) % 3
        images = torch.randint(60, 120, (count, 3, 8, 8), generator=draws) + 40 * labels.view(-1, 1, 1, 1)
        return LabeledImages(images.byte(), labels, info)

    return RealDataset(split(24), split(6), info)


def make_all(folder: Path) -> None:
    """Fill the cache folder with one piece of cached work of every kind."""
    real, cpu = make_real(), torch.device("cpu")
    context = RunContext(cpu, make_generator(0, "trial"), folder)
    for name in ("herding", "mtt", "minimax"):
        method = make_method(name, {**make_method(name).smoke_settings, **({"zca": True} if name == "mtt" else {})})
        folders, _ = preparation.make_foundations(method, real.train, context)
        own = RunContext(cpu, context.generator, folder, foundation=next(iter(folders), None))
        preparation.prepare_once(name, method, real.train, 0, own)
    short = Schedule(epochs=2, drop_at=1)
    taught = Teacher(network="convnet-d1-w4-bn", schedule=short, seed=0, temperature=20.0, loss="kl")
    protocol = PROTOCOLS.get("soft-label").model_copy(update={"teacher": taught})
    teacher.find_teacher(protocol, real, cpu)
    feature_space.find_feature_space("convnet-d1-w4", real.train, context)
    source = folder / "pictures" / "one.ppm"
    source.parent.mkdir()
    source.write_bytes(b"P6 8 8 255\n" + bytes(range(192)))

    def decode() -> dict[str, torch.Tensor]:
        return {"images": decode_images([source], [source.name], channels=3, size=4, resize=True)}

    _decoded_cache.cached_tensors([source], "size=4", decode)


def random_side() -> dict[str, torch.Tensor]:
    """Return what numbers of random real images follow from: the draw, labels, steps, and what rates are chosen on.

    The accuracies themselves are few and coarse numbers; the trainings behind them have golden values of their own.
    """
    real = make_real()
    rows = torch.cat([real.train.of_class(label)[:2] for label in range(3)])
    made = DistilledDataset(real.train.pixels(rows), real.train.labels[rows], 3, 2, "pixels", decode_factor=2)
    protocol = PROTOCOLS.get("quick").model_copy(update={"batch_size": 5})
    run = DistillRun(made, protocol, "convnet-d1-w4", students=1, eval_seed=0, distill_seed=3)
    side = _random_side.RandomSide(run, real, RunContext(torch.device("cpu"), torch.Generator(), Path()), 2)
    drawn = side.random_set()
    labels = {f"{regime} labels": side.labelled(drawn, regime).distilled.labels for regime in ("hard", "soft")}
    steps = torch.tensor([side.random_schedule().epochs, side.random_schedule().drop_at])
    held_out = _rate_search.split_off(real.train)[1]
    return {"images": drawn.images, **labels, "epochs and drop": steps, "held out for rates": held_out}


def describe(cache: Path) -> dict[str, dict]:
    """Return for every kind, piece and tensor its shape, dtype, mean, spread and first values, and the versions."""
    found: dict[str, dict] = {kind: {"version": version(), "tensors": {}} for kind, version in VERSIONS.items()}
    for manifest in sorted(cache.glob(f"*/*/{MANIFEST}")):
        kind, content = manifest.parent.parent.name, read_manifest(manifest.parent)
        for name in sorted(content["files"]) if kind in VERSIONS else ():
            if name.endswith(".safetensors"):
                for key, tensor in sorted(load_file(manifest.parent / name).items()):
                    if key.endswith(WITHOUT_GRADIENT):
                        continue
                    spelled = "whitening.safetensors" if name.startswith("whitening-") else name  # named by its content
                    found[kind]["tensors"][f"{content['name']} {spelled} {key}"] = _describe(tensor)
    found["random_sides"]["tensors"] = {name: _describe(tensor) for name, tensor in random_side().items()}
    return found


def _describe(tensor: torch.Tensor) -> dict:
    values = tensor.double().flatten()
    some = [float(f"{value:.6g}") for value in (values.mean(), values.std(correction=0), *values[:3])]
    return {"shape": list(tensor.shape), "dtype": str(tensor.dtype), "values": some}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.environ[CACHE_DIR_VARIABLE] = folder
        make_all(Path(folder))
        GOLDEN.write_text(json.dumps(describe(Path(folder)), indent=1) + "\n")


if __name__ == "__main__":
    main()
