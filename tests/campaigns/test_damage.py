"""Damage to every kind of kept file: noticed in one line, or without effect; never another number in silence.

Each case is a fresh copy of a kind's folder with one file damaged, read as a new process would read it.
"""

from __future__ import annotations

import os
import random
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from ddbench.datasets import _row_cache
from ddbench.errors import DDBenchError
from ddbench.host import cached_work
from tests.campaigns._kept_works import KINDS, Kind
from tests.campaigns.conftest import Campaign

pytestmark = pytest.mark.campaign


def flip_a_bit(content: bytes, draws: random.Random, others: list[bytes]) -> bytes:
    place = draws.randrange(len(content))
    return content[:place] + bytes([content[place] ^ (1 << draws.randrange(8))]) + content[place + 1 :]


def change_a_byte(content: bytes, draws: random.Random, others: list[bytes]) -> bytes:
    place = draws.randrange(len(content))
    return content[:place] + bytes([(content[place] + draws.randrange(1, 256)) % 256]) + content[place + 1 :]


def change_a_digit(content: bytes, draws: random.Random, others: list[bytes]) -> bytes:
    """What an editor's slip does to text; in a binary file any byte that is a digit."""
    places = [place for place, byte in enumerate(content) if chr(byte) in "0123456789"]
    if not places:
        return change_a_byte(content, draws, others)
    place = draws.choice(places)
    other = draws.choice([digit for digit in b"0123456789" if digit != content[place]])
    return content[:place] + bytes([other]) + content[place + 1 :]


def truncate(content: bytes, draws: random.Random, others: list[bytes]) -> bytes:
    return content[: draws.choice([0, draws.randrange(len(content)), len(content) - 1])]


def replace_by_a_sibling(content: bytes, draws: random.Random, others: list[bytes]) -> bytes:
    return draws.choice(others) if others else truncate(content, draws, others)


DAMAGES: tuple[Callable[[bytes, random.Random, list[bytes]], bytes], ...] = (
    flip_a_bit,
    change_a_byte,
    change_a_digit,
    truncate,
    replace_by_a_sibling,
)


# Of kinds whose files stand in a folder each; a folder of libraries, or of sets, may be replaced by whoever owns it.
FOLDERS = ("cache/prepared", "cache/foundations", "cache/teachers", "cache/extractors", "cache/decoded", "cache/unf")
FOLDERS = (*FOLDERS, "results/")
GOOD = ("noticed", "same")


class Pristine:
    """The folders of all kinds as they were made, and what is read from each where nothing is damaged."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.made: dict[object, Path] = {}  # by what makes them: several kinds lie in one folder
        self.read_ones: dict[object, set[Path]] = {}  # the files of seed 0
        self.values: dict[str, object] = {}

    def folder(self, kind: Kind) -> Path:
        if kind.make not in self.made:
            folder = self.root / f"made{len(self.made)}"
            folder.mkdir()
            enter(folder)
            kind.make(folder, 0)
            self.read_ones[kind.make] = {path.relative_to(folder) for path in folder.rglob("*")}
            kind.make(folder, 1)
            self.made[kind.make] = folder
        return self.made[kind.make]

    def value(self, kind: Kind) -> object:
        if kind.name not in self.values:
            assert kind.targets(self.folder(kind)), f"{kind.name}: no file was kept"
            value, said = read(kind, self.copy(kind))
            assert said == [], f"{kind.name}: whole, and yet {said}"
            self.values[kind.name] = value
        return self.values[kind.name]

    def copy(self, kind: Kind) -> Path:
        target = self.root / "case" / "work"
        shutil.rmtree(target.parent, ignore_errors=True)
        shutil.copytree(self.folder(kind), target)
        return target


def enter(folder: Path) -> None:
    """Be a process that has verified nothing yet and has this cache."""
    os.environ["DDBENCH_CACHE_DIR"] = str(folder / "cache")
    cached_work._verified.clear()
    _row_cache._warned.clear()


def read(kind: Kind, folder: Path) -> tuple[object, list[str]]:
    """Return what a kind's folder gives and the warnings on the way."""
    enter(folder)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.filterwarnings("ignore", "poor backbone")  # as it is, whatever is damaged
        value = kind.read(folder)
    return value, [str(warning.message) for warning in caught]


@pytest.fixture
def pristine(tmp_path, monkeypatch):
    monkeypatch.setenv("DDBENCH_CACHE_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return Pristine(tmp_path)


def test_damage_to_a_kept_file_is_noticed_or_changes_nothing(campaign: Campaign, pristine):
    draws, weights = campaign.random, [kind.weight for kind in KINDS]
    drawn = [*KINDS, *draws.choices(KINDS, weights, k=campaign.number(110, 530) - len(KINDS))]
    for kind in drawn:
        expected = pristine.value(kind)
        folder = pristine.copy(kind)
        own = [path for path in kind.targets(folder) if path.relative_to(folder) in pristine.read_ones[kind.make]]
        target = draws.choice([path for path in own if path.stat().st_size])
        damage = draws.choice(DAMAGES)
        content = target.read_bytes()
        siblings = [path.read_bytes() for path in kind.targets(folder) if path.suffix == target.suffix]
        changed = damage(content, draws, [other for other in siblings if other != content])
        target.unlink()  # a new file: the old one may be linked, or in this process's memory
        target.write_bytes(changed)
        case = f"{kind.name}: {damage.__name__} in {target.relative_to(folder)}"
        outcome, detail = judge(kind, folder, expected)
        campaign.count(outcome) if outcome in GOOD else campaign.count_bad(outcome, f"{case}: {detail}")


def test_a_folder_replaced_by_its_siblings_is_noticed(campaign: Campaign, pristine):
    """Such as the cache of the training split by that of the test split, each whole in itself."""
    draws = campaign.random
    for kind in (kind for kind in KINDS for _ in range(campaign.number(1, 4)) if kind.files[0].startswith(FOLDERS)):
        expected = pristine.value(kind)
        folder = pristine.copy(kind)
        depth = 3 if kind.files[0].startswith("cache") else 2
        kept = {folder.joinpath(*path.relative_to(folder).parts[:depth]) for path in kind.targets(folder)}
        places = sorted(place for place in kept if place.is_dir())
        owned = [place for place in places if place.relative_to(folder) in pristine.read_ones[kind.make]]
        target = draws.choice(owned)
        sibling = draws.choice([place for place in places if place != target and place.parent == target.parent])
        shutil.rmtree(target)
        shutil.copytree(sibling, target)
        outcome, detail = judge(kind, folder, expected)
        case = f"{kind.name}: {sibling.name} in the place of {target.name}: {detail}"
        # Of several damaged files each may have a line; and not every kind reads every folder.
        campaign.count(outcome) if outcome in (*GOOD, "several lines") else campaign.count_bad(outcome, case)


def judge(kind: Kind, folder: Path, expected: object) -> tuple[str, str]:
    """Return how a case ended: `noticed`, `same`, or what is bad about it, and the words."""
    try:
        value, said = read(kind, folder)
    except DDBenchError as error:
        return "noticed", str(error)
    except BaseException as error:
        return "traceback", f"{type(error).__name__}: {str(error)[:300]}"
    if value == expected:
        several = len(said) > 1 or any("\n" in line for line in said)
        return ("several lines" if several else "noticed" if said else "same"), "; ".join(said)
    if said and kind.name == "results that are done" and len(value) < len(expected):
        return "noticed", said[0]  # that cell would run again
    if is_refused(value):
        return "noticed", ""
    return ("other number" if said else "silent"), f"{value} instead of {expected}; {said}"[:400]


def is_refused(value: object) -> bool:
    """Whether a command said so by its exit code; it has printed a line, or `_kept_works.command` would have failed."""
    return isinstance(value, tuple) and isinstance(value[0], int) and value[0] in (1, 2)
