"""Tests of the architecture: layers, import cycles, the one clock, who prints, names and sizes of files."""

import ast
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import ddbench
from ddbench.registry import REGISTRIES

ROOT = Path(ddbench.__file__).parent
# Highest first: a room imports from those below it and from itself. A room is a folder, or a module of the root; `""`
# is the package itself, which reaches everything.
FLOORS = (
    ("__main__", "cli/commands"),
    ("cli", "testing", "pytest_plugin"),
    ("",),
    ("site",),
    ("report",),
    ("claims", "forecast", "submissions", "tables"),
    ("analysis", "runs"),
    ("methods", "evaluators", "importers", "exporters", "runners", "loggers"),
    ("importer", "exporter", "logger", "peers", "runner"),
    ("methods/_gradient_matching", "methods/_trajectories"),
    ("methods/_coresets", "methods/_teacher"),
    ("evaluator", "diffusion"),
    ("features",),
    ("students",),
    ("engine", "datasets", "networks", "protocols"),
    ("engine/native", "method"),
    ("protocol",),
    ("pretrained",),
    ("dataset", "distilled", "work"),
    ("network",),
    ("image_files",),
    ("host", "augment"),
    ("records",),
    ("images", "training_recipe", "methods/_learning"),
    ("inputs",),
    ("registry",),
    ("errors", "seeding", "plugin"),  # plugin names modules of every floor and imports none before it is used
    ("facts", "lazy"),
)
# Found by name, never by an import statement.
PLUGINS = tuple(REGISTRIES)
# Imports that point back, made inside functions: a distilled set has `save`, `load` and `show` of its own.
BACKWARDS = {("distilled/dataset", "distilled/files"), ("distilled/dataset", "distilled/grid")}
FILES = {
    path.relative_to(ROOT).with_suffix("").as_posix().removesuffix("__init__"): path for path in ROOT.rglob("*.py")
}


@cache
def parse(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def is_type_checking(node):
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def statements(node, *, top_level):
    """The import statements below `node`, those that only a type checker sees left out."""
    for child in ast.iter_child_nodes(node):
        if is_type_checking(child) or (top_level and isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)):
            continue
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        yield from statements(child, top_level=top_level)


def imports(path, *, top_level=False):
    """Dotted names a file imports; `from a import b` gives `a.b` where that is a module of ours, else `a`."""
    for node in statements(parse(path), top_level=top_level):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        else:
            assert not node.level, f"{path.name} line {node.lineno}: relative import"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if name_of(inner) in FILES else node.module


def name_of(dotted):
    """Our short name of a module, `methods/dm` for `ddbench.methods.dm`; None for other people's."""
    first, *rest = dotted.split(".")
    short = "/".join(rest)
    return None if first != "ddbench" else f"{short}/" if f"{short}/" in FILES else short


def room_of(name):
    """The room of a module: its folder, or itself where it stands in the root."""
    return name.rpartition("/")[0] or name


def floor_of(name):
    found = [depth for depth, rooms in enumerate(FLOORS) if room_of(name) in rooms]
    assert len(found) == 1, f"{room_of(name)} has no place in FLOORS: give it one"
    return found[0]


def ours(name, **options):
    return {found for found in map(name_of, imports(FILES[name], **options)) if found is not None}


def is_allowed(name, imported):
    if room_of(imported) in PLUGINS:  # from within, and only what is not a plug-in itself
        return room_of(name) == room_of(imported) and imported.rpartition("/")[2].startswith("_")
    same_room = room_of(name) == room_of(imported)
    return same_room or floor_of(imported) > floor_of(name) or (name, imported) in BACKWARDS


@pytest.mark.parametrize("name", sorted(FILES), ids=lambda name: name or "ddbench")
def test_module_imports_only_what_stands_below_or_beside_it(name):
    assert [imported for imported in sorted(ours(name)) if not is_allowed(name, imported)] == []


def test_no_import_cycle_imports_inside_functions_included():
    graph = {name: {to for to in ours(name) if (name, to) not in BACKWARDS} for name in FILES}
    list(TopologicalSorter(graph).static_order())
    for name, imported in BACKWARDS:
        assert imported in ours(name) - ours(name, top_level=True)


def test_the_rules_see_a_forbidden_import(tmp_path):
    (tmp_path / "a.py").write_text("def f():\n    from ddbench import records\n    import ddbench.methods.dm\n")
    found = [name_of(dotted) for dotted in imports(tmp_path / "a.py")]
    assert found == ["records", "methods/dm"]
    assert list(imports(tmp_path / "a.py", top_level=True)) == []
    assert not is_allowed("network", "runs/cell")
    assert not is_allowed("network", "")  # `from ddbench import distill` would reach the runs through the package
    assert not is_allowed("methods/herding", "methods/dm")
    assert not is_allowed("runs/cell", "methods/dm")
    assert not is_allowed("diffusion/method", "methods/_coresets/selection")
    assert is_allowed("methods/herding", "methods/_coresets/selection")
    assert is_allowed("datasets/image_folder", "datasets/_image_files")
    assert not is_allowed("runs/cell", "datasets/_image_files")


def test_every_room_has_a_floor_and_the_root_is_small():
    rooms = {room_of(name) for name in FILES}
    assert {room for floor in FLOORS for room in floor} == rooms
    assert len([name for name in FILES if "/" not in name]) <= 22


def test_native_code_is_reached_by_its_door_alone():
    tests, door = Path(__file__).parent, "engine/native"
    rooms = (ROOT / door, tests / door)
    outside = [path for path in (*FILES.values(), *tests.rglob("*.py")) if path.parent not in rooms]
    reached = {(name, path.name) for path in outside for name in map(name_of, imports(path)) if name is not None}
    inside = {name for name in FILES if room_of(name) == door and name != f"{door}/"}
    assert [found for found in sorted(reached) if found[0] in inside] == []
    assert len(inside) == 3
    assert (f"{door}/", "convnet.py") in reached


@pytest.mark.parametrize("module", ["time", "datetime", "timeit", "calendar"])
def test_only_the_clock_and_the_meter_read_the_time(module):
    reading = {name for name, path in FILES.items() if module in {i.split(".")[0] for i in imports(path)}}
    assert reading <= {"host/clock", "host/meter", "testing/watching"}  # the latter puts another clock in its place


@pytest.mark.parametrize("module", ["pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"])
def test_nothing_unpickles(module):
    assert [name for name, path in FILES.items() if module in {i.split(".")[0] for i in imports(path)}] == []


def test_only_the_command_line_prints():
    printing = set()
    for name, path in FILES.items():
        calls = (node.func for node in ast.walk(parse(path)) if isinstance(node, ast.Call))
        names = {ast.unparse(call) for call in calls}
        if any(name.rsplit(".", 1)[-1] == "print" or name.startswith(("sys.std", "typer.echo")) for name in names):
            printing.add(name)
    assert {room_of(name) for name in printing} <= {"cli", "cli/commands"}


@pytest.mark.parametrize("folder", REGISTRIES)
def test_file_stem_is_the_registered_name(folder):
    stems = [name.split("/")[1] for name in FILES if name.startswith(f"{folder}/") and name.count("/") == 1]
    for stem in (stem for stem in stems if stem and not stem.startswith("_")):
        name = stem.replace("_", "-") if folder in ("protocols", "importers", "exporters") else stem
        assert name in REGISTRIES[folder].names()
        assert f'.register("{name}")' in ast.unparse(parse(FILES[f"{folder}/{stem}"])).replace("'", '"')


@pytest.mark.parametrize("folder", REGISTRIES)
def test_every_kind_has_an_interface_a_contract_and_an_entry_point_group(folder):
    registry = REGISTRIES[folder]
    classes = [n.name for n in parse(FILES[f"testing/{registry.kind}"]).body if isinstance(n, ast.ClassDef)]
    assert classes == [f"{registry.kind.capitalize()}Contract"]
    assert registry.kind in FILES
    assert (registry._package, registry._group) == (f"ddbench.{folder}", f"ddbench.{folder}")


def test_files_are_short_and_have_a_subject():
    assert [name for name, path in FILES.items() if len(path.read_text(encoding="utf-8").splitlines()) > 400] == []
    assert [name for name in FILES if name.rsplit("/", 1)[-1] in ("utils", "util", "helpers", "misc", "common")] == []
