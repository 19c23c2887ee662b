"""The code that cached work was made by, as a digest: work of a method that has been edited since is not used again.

Of a plug-in it is its module and all that the module imports from its own package; of ddbench's methods the same within
`ddbench.methods`. The rest of ddbench stands for itself by the `CACHE_VERSION` of each kind of cached work: a
changed comment in a network's file should not cost hours of training.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from threading import Lock
from types import CodeType

CORE = "ddbench"
METHODS_PACKAGE = "ddbench.methods"
BINARIES = (".so", ".pyd")

_PARSING = Lock()

# Name of a module -> content of its file, as it was when the code was read.
Code = Mapping[str, bytes]


def read_code(module: str) -> Code:
    """Return the files of a loaded module and of those it imports from its own package; nothing for ddbench's core.

    Call it when the module is imported: a file that is edited while a run goes on is not the code that runs.
    """
    path = getattr(sys.modules.get(module), "__file__", None)
    package = _package_of(module)
    if package is None or path is None:
        return {}
    root = _root_of(module, Path(path))
    found: dict[str, bytes] = {}
    waiting = {module: Path(path)}
    while waiting:
        name, file = waiting.popitem()
        try:
            found[name] = file.read_bytes()
        except OSError:  # in an archive, or gone: its name still counts
            found[name] = b""
        if root is None or file.suffix in BINARIES:
            continue
        is_package = file.name == "__init__.py"
        for imported in _imports(found[name], name if is_package else name.rpartition(".")[0]):
            if imported not in found and (imported == package or imported.startswith(f"{package}.")):
                located = _locate(imported, root)
                if located is not None:
                    waiting[imported] = located
    return found


def digest_of_owner(owner: object) -> str:
    """Return the digest of the code that a function or class belongs to, as it was when first asked for.

    A module that is loaded anew has new functions, and is read again.
    """
    while isinstance(owner, partial):
        owner = owner.func
    module = str(getattr(owner, "__module__", "") or type(owner).__module__)
    return _digest_once(module, getattr(owner, "__code__", owner if isinstance(owner, type) else None))


@cache
def _digest_once(module: str, owner: CodeType | type | None) -> str:
    if has_file(module) or _package_of(module) is None:
        return digest_of_code(read_code(module))
    if isinstance(owner, type):
        return digest_of_code(code_of_class(owner))
    return digest_of_code({module: (_describe(owner) if owner is not None else "").encode()})


def code_of_class(owner: type) -> Code:
    """Return the code of a class that no file holds, as in a notebook: what its functions compile to."""
    functions = sorted(name for name, value in vars(owner).items() if hasattr(value, "__code__"))
    text = "\n".join(f"{name} {_describe(vars(owner)[name].__code__)}" for name in functions)
    return {f"{owner.__module__}.{owner.__qualname__}": text.encode()}


def has_file(module: str) -> bool:
    """Return whether a loaded module has a file to read."""
    path = getattr(sys.modules.get(module), "__file__", None)
    return path is not None and Path(path).is_file()


def digest_of_code(code: Code) -> str:
    """Return 16 hexadecimal digits of code, empty for none; comments, docstrings and layout do not count."""
    if not code:
        return ""
    digest = hashlib.sha256()
    for name in sorted(code):
        digest.update(f"{name}\0".encode() + _normalised(code[name]) + b"\0")
    return digest.hexdigest()[:16]


def _package_of(module: str) -> str | None:
    """Return the package whose modules count beside `module`; None where the module is ddbench's core."""
    if module == METHODS_PACKAGE or module.startswith(f"{METHODS_PACKAGE}."):
        return METHODS_PACKAGE
    top = module.partition(".")[0]
    return None if top == CORE else top


def _root_of(module: str, path: Path) -> Path | None:
    """Return the folder from which dotted names lead to files, None for a module that lies elsewhere than its name."""
    parts = module.split(".")
    place = path.with_suffix("") if path.name != "__init__.py" else path.parent
    return place.parents[len(parts) - 1] if place.parts[-len(parts) :] == tuple(parts) else None


def _locate(module: str, root: Path) -> Path | None:
    place = root.joinpath(*module.split("."))
    for path in (place.with_name(f"{place.name}.py"), place / "__init__.py"):
        if path.is_file():
            return path
    binaries = [path for path in place.parent.glob(f"{place.name}.*") if path.suffix in BINARIES]
    return binaries[0] if binaries else None


def _parse(source: bytes) -> ast.Module:
    """Return the syntax tree; one thread at a time, because CPython 3.11 counts the depth of all of them together."""
    with _PARSING:
        return ast.parse(source)


def _imports(source: bytes, package: str) -> Iterator[str]:
    """Yield every dotted name that may be a module which `source` imports, with the packages above it."""
    try:
        tree = _parse(source)
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names = [f"{base}.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            yield from (".".join(parts[:end]) for end in range(1, len(parts) + 1))


def _normalised(source: bytes) -> bytes:
    """Return the syntax tree of Python code without docstrings, or the bytes as they are where it is none."""
    try:
        tree = _parse(source)
    except (SyntaxError, ValueError):
        return source
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body[:] = node.body[1:] or [ast.Pass()]
    return ast.dump(tree).encode()


def _describe(code: CodeType) -> str:
    """Return what a function compiles to, without places in files."""
    return f"{code.co_code.hex()} {code.co_names} {[_describe_constant(value) for value in code.co_consts]}"


def _describe_constant(value: object) -> str:
    if isinstance(value, CodeType):
        return _describe(value)
    return repr(sorted(value, key=repr)) if isinstance(value, frozenset) else repr(value)  # sets have no order
