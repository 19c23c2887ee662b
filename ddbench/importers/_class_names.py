"""Which class of a data set each name of a source means: by WordNet id, class name, number, or as told."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ddbench.errors import BadInputError
from ddbench.images import DatasetInfo

SHOWN = 4
MOST_DIGITS = 10
SEPARATORS = re.compile(r"[^\w.,()+]|_")  # what a folder's name may have in place of others


@dataclass(frozen=True)
class MatchedClasses:
    """The label of each name, and in a word how it was found: `WordNet id`, `class name`, `number` or `class map`."""

    labels: Mapping[str, int]
    how: str

    def facts(self, info: DatasetInfo) -> dict[str, object]:
        """Return what a set's provenance keeps: how, and the class of each name."""
        return {"classes_by": self.how, "class_map": {name: info.class_names[at] for name, at in self.labels.items()}}


def match_classes(names: Sequence[str], info: DatasetInfo, class_map: Mapping[str, str]) -> MatchedClasses:
    """Return the label that each name of a source stands for.

    All names are found in one way, the first of these in which all are: a class map for those that it holds, WordNet
    ids, class names (upper and lower case count as one, `_`, `-` and the like as a space), `LABEL_NAME` as `export-set`
    writes them, numbers. Numbers from 0 to K-1 are labels; others are taken in numeric order.

    Args:
        names: of the source, distinct.
        info: of the data set.
        class_map: class names or labels by names of the source, as the user says.

    Raises:
        BadInputError: a name that means no class, two that mean one, or a class without a name.
    """
    told = {name: _told_label(name, class_map[name], info) for name in names if name in class_map}
    rest = [name for name in names if name not in told]
    strangers = sorted(set(class_map) - set(names))
    if strangers:
        raise BadInputError(f"the class map names {_few(strangers)}, which the source does not have; remove them")
    ids, known = {name: label for label, name in enumerate(info.class_ids)}, _names_of(info)
    exact = {name: label for label, name in enumerate(info.class_names)}
    ways: dict[str, Callable[[str], int | None]] = {
        "WordNet id": ids.get,
        "exact class name": exact.get,
        "class name": lambda name: known.get(_plain(name)),
        "number and class name": lambda name: _numbered_label(name, known),
    }
    for way, find in ways.items():
        found, how = {name: find(name) for name in rest}, way.removeprefix("exact ")
        if all(label is not None for label in found.values()):
            labels = {**told, **{name: label for name, label in found.items() if label is not None}}
            return _checked(MatchedClasses(labels, how if rest else "class map"), info)
    are_numbers = all(name.isascii() and name.isdigit() and len(name) < MOST_DIGITS for name in rest)
    # 1 to 10 where the classes are called 0 to 9: taken in order they would all be wrong.
    if not told and are_numbers and (all(int(n) < info.num_classes for n in rest) or not known.keys() & set(rest)):
        return _checked(MatchedClasses(_by_number(rest, info), "number"), info)
    unknown = [name for name in rest if known.get(_plain(name)) is None]
    raise BadInputError(
        f"no class of {info.name} by WordNet id, name or number: {_few(unknown)}; say which with --class-map FILE, "
        f"lines of NAME: CLASS (`ddbench list --classes {info.name}` shows the classes)"
    )


def _numbered_label(name: str, known: Mapping[str, int]) -> int | None:
    """Return the label of a name such as `3_cat`, where the class cat has the label 3."""
    number, _, rest = name.partition("_")
    label = known.get(_plain(rest))
    return label if label is not None and number.lstrip("0") == str(label).lstrip("0") and number else None


def _by_number(names: Sequence[str], info: DatasetInfo) -> dict[str, int]:
    numbers = sorted(names, key=int)
    if all(int(name) < info.num_classes for name in names):
        return {name: int(name) for name in numbers}
    return {name: label for label, name in enumerate(numbers)}


def _checked(found: MatchedClasses, info: DatasetInfo) -> MatchedClasses:
    by_label: dict[int, list[str]] = {}
    for name, label in found.labels.items():
        by_label.setdefault(label, []).append(name)
    for label, names in by_label.items():
        if len(names) > 1:
            raise BadInputError(f"{_few(names)} all mean the class {info.class_names[label]!r}; join them, or map them")
        if label >= info.num_classes:
            count = len(found.labels)
            raise BadInputError(
                f"{count} numbered classes, and {info.name} has {info.num_classes}; name another data set"
            )
    missing = [info.class_names[label] for label in range(info.num_classes) if label not in by_label]
    if missing:
        raise BadInputError(
            f"the source has nothing for {len(missing)} of {info.num_classes} classes of {info.name}: {_few(missing)}; "
            "name the data set it was made from"
        )
    return found


def _told_label(name: str, told: str, info: DatasetInfo) -> int:
    label = _names_of(info).get(_plain(told))
    if label is None and told.isascii() and told.isdigit() and len(told) < MOST_DIGITS and int(told) < info.num_classes:
        label = int(told)
    if label is None:
        raise BadInputError(
            f"the class map says {told!r} for {name!r}, which is not a class of {info.name}; correct it"
        )
    return label


def _names_of(info: DatasetInfo) -> dict[str, int]:
    """Return the label of every class name in plain spelling, of several synonyms (`a, b`) of the first too."""
    found: dict[str, int] = {}
    for label, name in enumerate(info.class_names):
        for spelling in (name.partition(",")[0], name):
            found.setdefault(_plain(spelling), label)
    return found


def _plain(name: str) -> str:
    return " ".join(SEPARATORS.sub(" ", name.casefold()).split())


def _few(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:SHOWN])
    return shown + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
