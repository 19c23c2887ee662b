"""A protocol's teachers as its options name them: `soft-label,teacher=torchvision/resnet18`.

`teacher=` is `trained`, the name of published weights, or a file, `file:PATH` or `PATH`; given several times, the
logits of all are averaged. `teacher_network` and `teacher_normalisation` belong to the teacher before them, or to the
first.
"""

from __future__ import annotations

from collections.abc import Sequence

from ddbench.errors import BadInputError
from ddbench.host.files import sha256_of
from ddbench.inputs.paths import as_path, check_regular, explain_os_error
from ddbench.pretrained.model_files import find_weights
from ddbench.pretrained.published import find_published, is_published_name
from ddbench.registry import suggest
from ddbench.training_recipe import Teacher, TeacherNetwork

TRAINED, FILE = "trained", "file:"
NETWORK, NORMALISATION = "teacher_network", "teacher_normalisation"
KEYS = ("teacher", NETWORK, NORMALISATION)
NORMALISATIONS = ("imagenet", "dataset")


def choose_teachers(usual: Teacher, protocol: str, pairs: Sequence[str]) -> tuple[Teacher, list[str]]:
    """Return the teachers that options name, and what they add to the protocol's name.

    Args:
        usual: the protocol's own, which gives all that options do not say.
        protocol: its name, for messages.
        pairs: the options, each `key=value`.

    Raises:
        BadInputError: options that it does not take, or a file that cannot be read.
        UnknownNameError: weights that nobody publishes.
        DataMissingError: published weights that are not on this machine.
    """
    entries = _group(protocol, pairs)
    if entries == [{"teacher": TRAINED}]:
        return usual, []
    chosen = [_choose(usual, entry) for entry in entries]
    first, *others = (network for network, _ in chosen)
    if len({network.model_dump_json() for network, _ in chosen}) < len(chosen):
        raise BadInputError(f"protocol {protocol} has a teacher twice; name each once")
    changes = {**first.model_dump(), "path": first.path}
    teacher = usual.model_copy(update={**changes, "others": tuple(others)})
    return teacher, [] if teacher == usual else [f"teacher={word}" for _, word in chosen]


def _group(protocol: str, pairs: Sequence[str]) -> list[dict[str, str]]:
    """Return the options of each teacher."""
    entries: list[dict[str, str]] = [{}]
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if key not in KEYS:
            raise BadInputError(f"protocol {protocol} has no option {key!r}; {suggest(key, KEYS)}")
        if key == "teacher" and key in entries[-1]:
            entries.append({})
        if not (equals and value) or key in entries[-1] or (key == "teacher" and _is_named(value, entries)):
            raise BadInputError(f"protocol option must be key=value, each key once, got {pair!r}")
        entries[-1][key] = value
    if "teacher" not in entries[0]:
        raise BadInputError(f"protocol {protocol}: {next(iter(entries[0]))} goes with teacher=FILE; give that too")
    return entries


def _is_named(teacher: str, entries: list[dict[str, str]]) -> bool:
    return teacher != TRAINED and any(entry.get("teacher") == teacher for entry in entries)


def _choose(usual: Teacher, entry: dict[str, str]) -> tuple[TeacherNetwork, str]:
    """Return a network as a teacher's options say, and the word for it in the protocol's name."""
    named, network, normalisation = entry["teacher"], entry.get(NETWORK), entry.get(NORMALISATION, "")
    if is_published_name(named) or named == TRAINED:
        given = NORMALISATION if normalisation else NETWORK if network and named != TRAINED else ""
        if given:
            raise BadInputError(f"{given} goes with the file of a teacher, not with teacher={named}; leave it out")
    if named == TRAINED:
        return TeacherNetwork(network=network or usual.network), f"{TRAINED},{NETWORK}={network}" if network else named
    if is_published_name(named):
        published = find_published(named)
        _, digest = find_weights(published)
        return TeacherNetwork(network=published.network, weights=published.name, sha256=digest), published.name
    if normalisation not in ("", *NORMALISATIONS):
        raise BadInputError(f"unknown {NORMALISATION} {normalisation!r}; {suggest(normalisation, NORMALISATIONS)}")
    path = as_path(named.removeprefix(FILE), "teacher file")
    check_regular(path, "teacher file")
    try:
        digest = sha256_of(path)
    except OSError as error:
        raise BadInputError(f"teacher file {path} {explain_os_error(error)}") from error
    content = {"network": network or usual.network, "path": str(path), "sha256": digest}
    return TeacherNetwork.model_validate({**content, "normalisation": normalisation}), digest[:12]
