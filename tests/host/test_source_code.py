"""Tests of the code that cached work was made by: what changes its digest and what does not."""

from __future__ import annotations

import importlib
import sys
from itertools import count

import pytest

from ddbench.host.source_code import code_of_class, digest_of_code, digest_of_owner, read_code

numbers = count()


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A function that writes a package from a dictionary of files, imports a module of it and returns its digest."""
    monkeypatch.syspath_prepend(tmp_path)
    name = f"plugged_{next(numbers)}"

    def write(files: dict[str, str], module: str = "method") -> str:
        for loaded in [loaded for loaded in sys.modules if loaded.partition(".")[0] == name]:
            del sys.modules[loaded]
        for path, text in {"__init__.py": "", **files}.items():
            file = tmp_path / name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text.replace("PACKAGE", name))
        importlib.invalidate_caches()
        sys.dont_write_bytecode = True
        importlib.import_module(f"{name}.{module}")
        return digest_of_code(read_code(f"{name}.{module}"))

    kept = sys.dont_write_bytecode
    write.name = name
    yield write
    sys.dont_write_bytecode = kept


METHOD = '"""A method."""\n\n\ndef prepare():\n    """Prepare."""\n    return 1  # one\n'


def test_comments_docstrings_and_layout_do_not_count(package):
    first = package({"method.py": METHOD})
    assert len(first) == 16
    assert package({"method.py": 'def prepare():\n    "In other words."\n    return (\n        1\n    )\n'}) == package(
        {"method.py": METHOD}
    )


def test_an_edit_counts(package):
    assert package({"method.py": METHOD}) != package({"method.py": METHOD.replace("return 1", "return 2")})


@pytest.mark.parametrize(
    "statement",
    [
        "from PACKAGE._steps import step",
        "from PACKAGE import _steps",
        "import PACKAGE._steps",
        "from ._steps import step",
        "from . import _steps",
        "def late():\n    from PACKAGE._steps import step",
        "from PACKAGE.between import step",
    ],
)
def test_what_it_imports_from_its_own_package_counts_however_it_is_imported(package, statement):
    between = {"between.py": "from PACKAGE._steps import step\n"}
    one, other = (
        package({**between, "_steps.py": f"step = {value}\n", "method.py": f"{statement}\n"}) for value in (1, 2)
    )
    assert one != other


def test_the_packages_above_count_and_modules_that_are_not_imported_do_not(package):
    files = {"sub/__init__.py": "", "sub/method.py": METHOD, "other.py": "x = 1\n"}
    first = package(files, "sub.method")
    assert package({**files, "other.py": "x = 2\n"}, "sub.method") == first
    files = {**files, "sub/method.py": "from PACKAGE import sub\n"}
    assert package(files, "sub.method") != package({**files, "sub/__init__.py": "RATE = 1\n"}, "sub.method")


def test_imports_in_a_circle_end(package):
    assert package({"method.py": "import PACKAGE.other\n", "other.py": "import PACKAGE.method\n"})


def test_the_core_of_ddbench_stands_for_itself():
    assert read_code("ddbench.students.loop") == {}
    assert digest_of_code({}) == ""


def test_methods_of_ddbench_count_with_the_private_modules_they_import():
    importlib.import_module("ddbench.methods.mtt")
    found = read_code("ddbench.methods._trajectories.experts")
    assert {"ddbench.methods._trajectories.experts", "ddbench.methods._trajectories.flat_network"} <= set(found)
    assert all(name.startswith("ddbench.methods") for name in found)


def test_functions_and_classes_lead_to_their_module(package):
    digest = package({"method.py": METHOD + "\n\nclass Mine:\n    pass\n"})
    module = sys.modules[f"{package.name}.method"]
    assert digest_of_owner(module.prepare) == digest_of_owner(module.Mine) == digest


def make_class(source: str) -> type:
    """A class that no file holds, as one typed into a notebook."""
    space: dict = {"__name__": "typed_in"}
    exec(source, space)  # the point of the test
    return space["Typed"]


def test_a_class_without_a_file_is_told_by_what_its_functions_do():
    texts = ["return {1, 2}", '"Doc."\n        return {1, 2}  # note', "return {1, 3}"]
    one, same, other = (make_class(f"class Typed:\n    def prepare(self):\n        {text}\n") for text in texts)
    digests = [digest_of_code(code_of_class(found)) for found in (one, other)]
    assert digests[0] != digests[1]
    assert digest_of_owner(one) == digests[0]
    assert digest_of_code(code_of_class(same))
