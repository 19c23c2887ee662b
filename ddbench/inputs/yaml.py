"""YAML of a user's: numbers, texts, lists and tables, and nothing that YAML can do beyond."""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from ddbench.errors import BadInputError
from ddbench.inputs.documents import DEEPEST, LARGEST, check_content, read_text

CORE = tuple(f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float", "str", "seq", "map"))
MERGE = "tag:yaml.org,2002:merge"
_ODD_NUMBER = re.compile(r"[-+]?0[0-9_]|.*:")  # 010, which YAML 1.1 takes for eight, and 1:30, for ninety
MOST_PARTS = 100_000  # what stands in a file once every alias is written out


def read_yaml(path: Path, what: str) -> Any:  # noqa: ANN401 - whatever the file holds
    """Return the content of a YAML file; raises BadInputError where it is none or cannot be read."""
    return parse_yaml(read_text(path, what, LARGEST["YAML"]), f"{what} {path}")


def parse_yaml(text: str, where: str) -> Any:  # noqa: ANN401
    """Return what YAML text holds; a date is text, as it is in TOML's and JSON's readers of settings.

    Raises:
        BadInputError: no YAML, a key given twice, another tag than those of plain values, an alias that holds itself or
            grows beyond 100,000 parts, or too deep; `where` begins the message.
    """
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is not None:
                _count(node, {}, where)
            content = None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    except (RecursionError, _TooDeepError) as error:
        raise BadInputError(f"{where} is nested more than {DEEPEST} deep; write it flatter") from error
    except yaml.YAMLError as error:
        raise BadInputError(f"{where} is not YAML: {_explain(error)}; fix it") from error
    check_content(content, where)
    return content


class _TooDeepError(Exception):
    """Lists or tables inside each other, more of them than anybody means."""


class _Loader(yaml.SafeLoader):
    """A SafeLoader that refuses what is no plain value, and a key given twice, where YAML would keep the last."""

    def fetch_flow_collection_start(self, token_class: type[yaml.Token]) -> None:
        # Here, and not when all is read: what PyYAML does at each further bracket takes longer the more are open.
        if self.flow_level >= DEEPEST:
            raise _TooDeepError
        super().fetch_flow_collection_start(token_class)

    def add_indent(self, column: int) -> bool:
        if len(self.indents) > DEEPEST:
            raise _TooDeepError
        return bool(super().add_indent(column))

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: ANN401
        kind = node.tag.rpartition(":")[2]
        if node.tag not in CORE:
            problem = f"a value of type {kind!r} is not allowed here"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        if kind in ("int", "float") and _ODD_NUMBER.match(node.value):
            problem = (
                f"{node.value!r} is not a plain number: YAML reads it by eights or sixties; write it out, or quote it"
            )
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        try:
            return super().construct_object(node, deep)
        except (ValueError, TypeError, LookupError, OverflowError) as error:  # PyYAML's own, of odd values
            problem = f"a value cannot be read as {kind}"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from error

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[object] = set()
        for key_node, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if key_node.tag == MERGE or not isinstance(key_node, yaml.ScalarNode):
                continue  # `<<` brings in another mapping's keys; what cannot be a key is refused below
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is given twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


# A date is text here: nothing in a suite or a setting is one, and an impossible one would be an error of Python's.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag in CORE or tag == MERGE]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _count(node: yaml.Node, counted: dict[int, int], where: str, depth: int = 0) -> int:
    """Return how many parts a node has with every alias written out, without writing any out."""
    if depth > DEEPEST:
        raise BadInputError(f"{where} is nested more than {DEEPEST} deep; write it flatter")
    if id(node) in counted:
        if counted[id(node)] == 0:
            raise BadInputError(f"{where} holds an alias to what it stands in; write it out")
        return counted[id(node)]
    counted[id(node)] = 0  # while it is being counted
    parts = 1
    if isinstance(node, yaml.CollectionNode):
        for child in node.value:
            for inner in child if isinstance(child, tuple) else (child,):
                parts += _count(inner, counted, where, depth + 1)
    if parts > MOST_PARTS:
        raise BadInputError(f"{where} grows to more than {MOST_PARTS:,} parts by its aliases; write it out")
    counted[id(node)] = parts
    return parts


def _explain(error: yaml.YAMLError) -> str:
    """Return what is wrong and in which line."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem:
        mark = error.problem_mark
        return error.problem + (f" in line {mark.line + 1}, column {mark.column + 1}" if mark else "")
    return str(error)
