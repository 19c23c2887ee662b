"""State dicts as they are in the field, brought to the names and shapes of a network of ours.

Recognised: our own; torchvision's and timm's of the same model; each behind `module.` or `model.`, or wrapped with an
optimiser's state by the training scripts of torchvision, timm and RDED.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

from torch import Tensor

from ddbench.errors import BadInputError
from ddbench.inputs.pickled import read_pickled
from ddbench.inputs.tensors import read_tensors
from ddbench.network import Network

OF_TORCH = (".pth", ".pt", ".bin", ".tar", ".ckpt")
PREFIXES = ("module.", "_orig_mod.", "model.")
WRAPPINGS = ("state_dict", "model", "model_state_dict", "net")
COUNTER = ".num_batches_tracked"  # of batch norm, which old files lack and nothing in evaluation reads


@runtime_checkable
class HasLibraryKeys(Protocol):
    """A network whose tensors have other names in a library."""

    def own_key(self, key: str) -> str | None:
        """Return our name of what the library calls `key`, None for what we do not have."""


def read_state_dict(path: Path, what: str) -> dict[str, Tensor]:
    """Return the tensors of a file by name: one of torch by its suffix (`.pth`), else safetensors.

    Raises:
        BadInputError: nothing there, damaged, one that holds code, or no state dict.
    """
    if path.suffix.lower() not in OF_TORCH:
        return read_tensors(path, what)[0]
    content = read_pickled(path, what, [argparse.Namespace])  # the settings in a training checkpoint
    if isinstance(content, Mapping):
        content = next((content[key] for key in WRAPPINGS if isinstance(content.get(key), Mapping)), content)
    if not isinstance(content, Mapping) or not content or not all(_is_entry(*entry) for entry in content.items()):
        raise BadInputError(f"{what} {path} holds no state dict of tensors; save model.state_dict()")
    return dict(content)


def _is_entry(name: object, value: object) -> bool:
    return isinstance(name, str) and isinstance(value, Tensor) and not (value.is_sparse or value.is_quantized)


def rename(found: Mapping[str, Tensor], network: Network) -> dict[str, Tensor]:
    """Return tensors under the names that a network has, as far as they can be brought to them.

    Of several readings of the names the one that more of the network's agree with is taken. Batch counters that are
    missing are the network's own, and floats have its dtypes.
    """
    expected = network.state_dict()
    readings = [dict(found)]
    while found and (prefix := next((p for p in PREFIXES if all(name.startswith(p) for name in readings[-1])), "")):
        readings.append({name.removeprefix(prefix): value for name, value in readings[-1].items()})
    if isinstance(network, HasLibraryKeys):
        keys = [(network.own_key(name), value) for name, value in readings[-1].items()]
        readings.append({name: value for name, value in keys if name is not None})
    best = max(readings, key=lambda reading: len(reading.keys() & expected.keys()))
    counters = {name: value for name, value in expected.items() if name.endswith(COUNTER) and name not in best}
    tensors = {**best, **counters}
    for name, value in tensors.items():
        if name in expected and value.is_floating_point() and expected[name].is_floating_point():
            tensors[name] = value.to(expected[name].dtype)
    return tensors


def find_head(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], num_classes: int) -> list[str]:
    """Return the names of a classifier's tensors where its classes are all that differs from what is expected."""
    other = [name for name, value in expected.items() if name in found and found[name].shape != value.shape]
    layers = {name.rpartition(".")[0] for name in other}
    whole = [name for name in expected if name.rpartition(".")[0] in layers]
    sizes = {found[name].shape[:1] for name in other}
    fits = all(
        expected[name].shape[:1] == (num_classes,) and found[name].shape[1:] == expected[name].shape[1:]
        for name in other
    )
    return other if fits and len(layers) == len(sizes) == 1 and len(whole) == len(other) else []


def misfit(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str:
    """Return what is wrong with the first parameter that is, or an empty text."""
    if missing := sorted(expected.keys() - found.keys()):
        return f"it lacks {missing[0]}" + (f" and {len(missing) - 1} more" if len(missing) > 1 else "")
    if unknown := sorted(found.keys() - expected.keys()):
        return f"it has an unknown {unknown[0]}" + (f" and {len(unknown) - 1} more" if len(unknown) > 1 else "")
    for name, wanted in expected.items():
        tensor = found[name]
        if tensor.shape != wanted.shape:
            return f"{name} should be {tuple(wanted.shape)}, found {tuple(tensor.shape)}"
        if tensor.is_floating_point() != wanted.is_floating_point():
            return f"{name} should be {wanted.dtype}, found {tensor.dtype}"
        if not tensor.isfinite().all():
            return f"{name} holds NaN or infinite values"
    return ""
