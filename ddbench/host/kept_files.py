"""Files of tensors that are kept before the work they belong to is done: each says what it is of and has a digest.

Finished work has a manifest with the digests of its files (`ddbench.host.cached_work`). Checkpoints, and parts such as
single experts, are read again by a later attempt while there is none: their digest stands in the file itself, so that
no kill can come between the two.
"""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import torch
import xxhash
from safetensors.torch import save_file
from torch import Tensor

from ddbench.errors import BadInputError, DataMismatchError, check_not_told_to_end
from ddbench.host.cached_work import digest_of_file
from ddbench.host.files import digest_of, find_cache_dir, staged_file
from ddbench.inputs.tensors import read_tensors

VERSION = "1"  # of what the digest covers
SEAL = "seal.json"  # of a folder
DIGEST, PLACE, FORMAT = "digest", "of", "kept"  # keys of a file's metadata


def save_kept(tensors: Mapping[str, Tensor], path: Path, about: Mapping[str, str] | None = None) -> None:
    """Write tensors to a safetensors file, whole or not at all, with their place in the cache and a digest of it all.

    Args:
        tensors: by name, of any device.
        path: of the file; its place belongs to what it says of itself, so that one put in another's place is noticed.
        about: what else the file says about itself; `read_kept` returns it.

    Raises:
        BadInputError: the place cannot be written to.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    said = {**(about or {}), PLACE: _place_of(path), FORMAT: VERSION}
    with staged_file(path) as temporary:
        save_file(plain, temporary, metadata={**said, DIGEST: digest_of_tensors(plain, said)})


def read_kept(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors of a kept file and what it says about itself.

    Raises:
        DataMismatchError: it is missing, damaged, of other work or without a digest; the message says which.
    """
    try:
        tensors, said = read_tensors(path, "file")
    except BadInputError as error:
        raise DataMismatchError(str(error).removesuffix("; copy it again")) from error
    digest = said.pop(DIGEST, None)
    if digest is None:
        raise DataMismatchError(f"{path} has no digest of its content: an older version wrote it")
    if digest != digest_of_tensors(tensors, said):
        raise DataMismatchError(f"{path} is damaged: its digest differs")
    place = said.pop(PLACE, "")
    if place != _place_of(path):
        raise DataMismatchError(f"{path} is of other work, of {place}")
    said.pop(FORMAT, None)
    return tensors, said


def is_kept_whole(path: Path, about: Mapping[str, str] | None = None) -> bool:
    """Return whether a kept file is there and can be used; one that is not as it was kept is removed, with a warning.

    Args:
        path: of the file.
        about: what it must say about itself.
    """
    if not path.exists():
        return False
    try:
        _, said = read_kept(path)
        differing = [name for name, wanted in (about or {}).items() if said.get(name) != wanted]
        if not differing:
            return True
        name = differing[0]
        problem = f"{path} is of another {name}: {said.get(name, 'nothing')} instead of {(about or {})[name]}"
    except DataMismatchError as error:
        problem = str(error)
    warnings.warn(f"a part of unfinished work is made again: {problem}", stacklevel=3)
    remove(path)
    return False


def seal(staging: Path, target: Path) -> None:
    """Put digests of the files of a folder, which another library wrote, into it; `target` is its place to be."""
    files = {path.name: digest_of_file(path) for path in sorted(staging.iterdir())}
    content = {PLACE: _place_of(target), "files": files}
    (staging / SEAL).write_text(json.dumps({**content, DIGEST: digest_of(content)}) + "\n", encoding="utf-8")


def is_kept_folder(folder: Path) -> bool:
    """Return whether a folder is there as it was sealed; another one is removed, with a warning where it is damaged.

    One that lacks a file is not damaged: what was found wrong with finished work has been said and removed.
    """
    if not folder.exists():
        return False
    problem = ""
    try:
        content = json.loads((folder / SEAL).read_text(encoding="utf-8"))
        digest, sealed = content.pop(DIGEST), content["files"]
        found = {path.name: digest_of_file(path) for path in folder.iterdir() if path.name != SEAL}
        if digest != digest_of(content) or content[PLACE] != _place_of(folder) or not found.items() <= sealed.items():
            problem = "is damaged or of other work"
        elif found == sealed:
            return True
    except FileNotFoundError:
        pass
    except (OSError, ValueError, TypeError, AttributeError, KeyError):
        problem = "is damaged"
    if problem:
        warnings.warn(f"a part of unfinished work is made again: {folder} {problem}", stacklevel=3)
    remove(folder)
    return False


def remove(path: Path) -> None:
    """Remove a file or a folder of that name, found to be of no use, as far as that is possible."""
    check_not_told_to_end()  # which may be all that was found
    with suppress(OSError):
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def digest_of_tensors(tensors: Mapping[str, Tensor], said: Mapping[str, str]) -> str:
    """Return 32 hexadecimal digits of names, types, shapes and bytes of tensors on the CPU, and of a few words."""
    digest = xxhash.xxh3_128(json.dumps(dict(said), sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _place_of(path: Path) -> str:
    """Return where a file stands in the cache folder, or in its own folder where it stands elsewhere."""
    cache = find_cache_dir()
    return path.relative_to(cache).as_posix() if path.is_relative_to(cache) else f"{path.parent.name}/{path.name}"
