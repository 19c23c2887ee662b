"""Tests of the registries: names from files and plug-ins, lazy loading, and errors that help."""

import importlib
import subprocess
import sys
from textwrap import dedent

import pytest

from ddbench.errors import BadInputError, UnknownNameError
from ddbench.registry import METHODS, PROTOCOLS, Registry, suggest

GROUP = "ddbench.test_things"
NORMAL = '''"""The NAME thing.

More about it.
"""
from PACKAGE import THINGS

THINGS.register("NAME")("NAME".upper())
'''


@pytest.fixture
def make_registry(tmp_path, monkeypatch):
    """A function that writes files into a package of this test's own and returns the registry over them."""
    package = f"things_of_{tmp_path.name}"

    def make(group=None, **files):
        folder = tmp_path / package
        folder.mkdir()
        header = f"from ddbench.registry import Registry\nTHINGS = Registry('thing', __name__, {group!r})\n"
        (folder / "__init__.py").write_text(header)
        for name, text in files.items():
            text = dedent(text).replace("PACKAGE", package).replace("NAME", name)
            (folder / f"{name}.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        return importlib.import_module(package).THINGS

    return make


@pytest.fixture
def install(tmp_path, monkeypatch):
    """A function that installs a plug-in: a module and the metadata an installer would write beside it."""

    def make(distribution, module, text, *names, group=GROUP, target="THING"):
        site = tmp_path / f"site_{distribution}"
        metadata = site / f"{distribution}-1.0.dist-info"
        metadata.mkdir(parents=True)
        (site / f"{module}.py").write_text(dedent(text))
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        points = "".join(f"{name} = {module}:{target}\n" for name in names)
        (metadata / "entry_points.txt").write_text(f"[{group}]\n{points}")
        monkeypatch.syspath_prepend(site)
        return site

    return make


def run_python(code, *paths):
    """What a fresh process prints, with `paths` importable."""
    code = f"import sys\nsys.path[:0] = {[str(path) for path in paths]}\n{dedent(code)}"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_names_are_the_stems_of_files_without_helpers_and_folders(make_registry, tmp_path):
    things = make_registry(alpha=NORMAL, beta=NORMAL, _helper="")
    folder = next(tmp_path.iterdir()) / "folder"
    folder.mkdir()
    (folder / "__init__.py").touch()
    assert things.names() == ("alpha", "beta")


def test_listing_imports_no_torch_and_no_implementation():
    printed = run_python(
        """
        import ddbench
        for registry in (
            ddbench.METHODS, ddbench.DATASETS, ddbench.NETWORKS, ddbench.EVALUATORS, ddbench.PROTOCOLS
        ):
            assert registry.names()
            assert all(registry.summary(name) for name in registry.names())
        heavy = {"torch", "torchvision", "timm", "sklearn", "pandas", "numpy"} & set(sys.modules)
        parts = [name for name in sys.modules if name.startswith("ddbench.") and name.count(".") > 1]
        print(sorted(heavy), parts)
        """
    )
    assert printed.strip() == "[] []"


def test_getting_one_imports_no_other(make_registry):
    things = make_registry(alpha=NORMAL, broken="raise RuntimeError('never imported')")
    assert things.get("alpha") == "ALPHA"
    assert things.get("alpha") is things.get("alpha")
    assert things.names() == ("alpha", "broken")


def test_summary_is_the_first_line_of_the_file(make_registry):
    things = make_registry(alpha=NORMAL, bare="", broken="def (")
    assert things.summary("alpha") == "The alpha thing."
    assert things.summary("bare") == ""
    assert things.summary("broken").startswith("cannot be read: SyntaxError")


def test_taken_name_raises_and_the_first_entry_stays():
    registry = Registry("thing")
    first = registry.register("alpha")(object())
    with pytest.raises(ValueError, match=r"thing name 'alpha' is taken .*; choose another name"):
        registry.register("alpha")(object())
    assert registry.register("alpha")(first) is first
    assert registry.get("alpha") is first


def test_unknown_name_lists_near_misses(make_registry):
    things = make_registry(alpha=NORMAL, beta=NORMAL)
    with pytest.raises(UnknownNameError, match=r"^unknown thing 'alhpa'; did you mean alpha\?$"):
        things.get("alhpa")
    with pytest.raises(UnknownNameError, match=r"^unknown thing 'zzz'; known: alpha, beta$"):
        things.get("zzz")
    with pytest.raises(UnknownNameError, match="unknown thing '_helper'"):
        things.get("_helper")
    assert suggest("x", []) == "none are registered"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("DM", "did you mean dm?"),
        ("ResNet-18", "did you mean resnet-18?"),
        ("d\u043c", "did you mean dm?"),  # a Cyrillic letter in it
        ("x" * 100_000, "known: cifar10, dm, resnet-18"),
        ("", "known: cifar10, dm, resnet-18"),
    ],
)
def test_near_misses_whatever_their_case_and_length(name, hint):
    assert suggest(name, ["dm", "cifar10", "resnet-18"]) == hint


def test_of_a_long_list_the_first_names_are_given():
    hint = suggest("x", [f"name_{number:03}" for number in range(100)])
    assert hint.startswith("known: name_000, name_001, ")
    assert hint.endswith(", name_015 and 84 more")


@pytest.mark.parametrize("name", [None, 3, ["dm"], b"dm"])
def test_what_is_no_name_is_refused(name):
    for registry in (METHODS, PROTOCOLS):
        with pytest.raises(BadInputError, match=f"must be a name, got {type(name).__name__}"):
            registry.get(name)


def test_near_misses_of_a_real_registry():
    with pytest.raises(UnknownNameError, match="did you mean random_real"):
        METHODS.get("random-real")


def test_module_that_fails_to_import_reports_its_true_error_every_time(make_registry):
    things = make_registry(
        alpha=NORMAL,
        broken="""
            from PACKAGE import THINGS
            THINGS.register("broken")(1)
            import no_such_module_anywhere
        """,
    )
    for _ in range(2):  # it registers itself before it breaks: half a module must not be found the second time
        with pytest.raises(UnknownNameError, match="thing 'broken' is there but failed to import") as caught:
            things.get("broken")
        assert "ModuleNotFoundError: No module named 'no_such_module_anywhere'" in str(caught.value)
        assert isinstance(caught.value.__cause__, ModuleNotFoundError)
    assert things.get("alpha") == "ALPHA"


def test_file_that_registers_another_name_is_refused(make_registry):
    things = make_registry(alpha="from PACKAGE import THINGS\nTHINGS.register('gamma')(1)\n")
    with pytest.raises(UnknownNameError, match=r"alpha\.py registers no 'alpha'; register it under its file name"):
        things.get("alpha")


def test_file_cannot_register_the_name_of_another_file(make_registry):
    things = make_registry(alpha="from PACKAGE import THINGS\nTHINGS.register('beta')(1)\n", beta=NORMAL)
    with pytest.raises(UnknownNameError, match=r"name 'beta' is taken by ddbench's own beta\.py"):
        things.get("alpha")
    assert things.get("beta") == "BETA"


def test_installed_plugin_joins(make_registry, install):
    install("bright-things", "bright_module", "THING = 'from a plug-in'", "bright")
    things = make_registry(GROUP, alpha=NORMAL)
    assert things.names() == ("alpha", "bright")
    assert things.summary("bright") == "plug-in bright-things"
    assert "bright_module" not in sys.modules
    assert things.get("bright") == "from a plug-in"


def test_plugin_that_fails_to_import_reports_its_true_error(make_registry, install):
    install("dark-things", "dark_module", "raise OSError('no light')", "dark")
    install("dim-things", "dim_module", "", "dim")
    things = make_registry(GROUP, alpha=NORMAL)
    with pytest.raises(UnknownNameError, match="'dark' is there but failed to import: OSError: no light"):
        things.get("dark")
    with pytest.raises(UnknownNameError, match="'dim' is there but failed to import: AttributeError"):
        things.get("dim")
    assert things.get("alpha") == "ALPHA"


def test_plugin_with_the_name_of_a_file_is_refused_and_named(make_registry, install):
    install("greedy-things", "greedy_module", "THING = 1", "alpha")
    things = make_registry(GROUP, alpha=NORMAL)
    assert things.names() == ("alpha",)
    with pytest.raises(UnknownNameError, match="'alpha' is taken: ddbench and plug-in greedy-things each bring one"):
        things.get("alpha")


def test_two_plugins_of_one_name_are_refused_and_named(make_registry, install):
    install("first-things", "first_module", "THING = 1", "twin")
    install("second-things", "second_module", "THING = 2", "twin")
    things = make_registry(GROUP)
    with pytest.raises(UnknownNameError, match=r"'twin' is taken: plug-in .*-things and plug-in .*-things each"):
        things.get("twin")


def test_plugin_cannot_slip_into_a_builtin_name_before_it_is_loaded(install):
    text = """
        from ddbench import METHODS

        THING = METHODS.register("mine")(type("Mine", (), {}))
        METHODS.register("random_real")(THING)
    """
    site = install("sly", "sly_module", text, "mine", group="ddbench.methods")
    printed = run_python(
        """
        from ddbench import METHODS
        try:
            METHODS.get("mine")
        except LookupError as error:
            print(error)
        print("mine" in METHODS.names(), METHODS.summary("random_real"))
        """,
        site,
    )
    assert "name 'random_real' is taken by ddbench's own random_real.py" in printed
    assert printed.splitlines()[-1].startswith("True ")
