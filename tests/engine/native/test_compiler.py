"""Tests of native code: compiled once, kept, compiled anew when it changes, and one line where it cannot be."""

import shutil
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ddbench.engine.native.compiler import load_native
from ddbench.host.files import CACHE_DIR_VARIABLE

SOURCE = 'extern "C" int add(int a, int b) { return a + b; }\n'


@pytest.fixture
def source(own_cache, tmp_path):
    load_native.cache_clear()
    path = tmp_path / "_sum.cpp"
    path.write_text(SOURCE)
    yield path
    load_native.cache_clear()


def kept(own_cache):
    folder = own_cache / "native"
    return {path: path.stat().st_mtime_ns for path in folder.glob("*.so")} if folder.exists() else {}


@pytest.mark.compiler
def test_it_is_compiled_once_and_kept(source, own_cache):
    assert load_native(source).add(2, 3) == 5
    first = kept(own_cache)
    assert [path.suffix for path in first] == [".so"]
    load_native.cache_clear()
    assert load_native(source).add(4, 3) == 7
    assert kept(own_cache) == first


@pytest.mark.compiler
def test_a_compiler_may_be_named_with_options(source, own_cache, monkeypatch):
    source.write_text(SOURCE.replace("a + b", "a + b + MORE"))
    monkeypatch.setenv("CXX", "c++ -DMORE=10")
    assert load_native(source).add(2, 3) == 15


@pytest.mark.compiler
def test_a_changed_source_is_another_file(source, own_cache):
    load_native(source)
    load_native.cache_clear()
    source.write_text(SOURCE.replace("a + b", "a - b"))
    assert load_native(source).add(2, 3) == -1
    assert len(kept(own_cache)) == 2


@pytest.mark.compiler
def test_a_source_that_does_not_compile_is_one_line_and_leaves_nothing(source, own_cache):
    source.write_text("no C++ at all\n")
    with pytest.warns(
        UserWarning, match=r"^compiling failed, running without \(slower\): .*_sum\.cpp:1.*error"
    ) as found:
        assert load_native(source) is None
    assert "\n" not in str(found[0].message)
    assert kept(own_cache) == {}


@pytest.mark.parametrize("compiler", ["no-such-compiler", "c++ 'half a quote"])
def test_a_machine_without_a_compiler_is_one_line_said_once(source, monkeypatch, compiler):
    monkeypatch.setenv("CXX", compiler)
    with pytest.warns(UserWarning, match=r"there is no C\+\+ compiler; install one, or name it by \$CXX$"):
        assert load_native(source) is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_native(source) is None


def copy_elsewhere(source, own_cache, tmp_path, monkeypatch) -> Path:
    """A copy of the cache: a library that this process has loaded is not read again from where it was."""
    load_native(source)
    (path,) = kept(own_cache)
    load_native.cache_clear()
    shutil.copytree(own_cache, tmp_path / "other")
    monkeypatch.setenv(CACHE_DIR_VARIABLE, str(tmp_path / "other"))
    return tmp_path / "other" / "native" / path.name


@pytest.mark.compiler
def test_a_copied_cache_is_used_as_it_is(source, own_cache, tmp_path, monkeypatch):
    copied = copy_elsewhere(source, own_cache, tmp_path, monkeypatch)
    before = copied.stat().st_mtime_ns
    assert load_native(source).add(2, 3) == 5
    assert copied.stat().st_mtime_ns == before


@pytest.mark.compiler
@pytest.mark.parametrize("damage", ["flipped", "cut", "other", "no digest"])
def test_a_damaged_library_is_compiled_again_and_never_loaded(damage, source, own_cache, tmp_path, monkeypatch):
    copied = copy_elsewhere(source, own_cache, tmp_path, monkeypatch)
    whole = copied.read_bytes()
    place = whole.rindex(b"add\0")  # in a table of names: loading it would go well, and finding the function not
    changed = {
        "flipped": whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :],
        "cut": whole[:-1],
        "other": b"damaged",
        "no digest": whole,
    }[damage]
    copied.write_bytes(changed)
    about = copied.with_name(f"{copied.name}.json")
    about.write_text("no JSON" if damage == "no digest" else about.read_text())
    with pytest.warns(UserWarning, match=r"\.so is damaged or of other code; it is compiled again$") as caught:
        assert load_native(source).add(2, 3) == 5
    assert len(caught) == 1
    load_native.cache_clear()
    assert load_native(source).add(2, 3) == 5  # without a warning


@pytest.mark.compiler
def test_a_library_of_an_older_version_is_compiled_again_without_a_word(source, own_cache, tmp_path, monkeypatch):
    copied = copy_elsewhere(source, own_cache, tmp_path, monkeypatch)
    copied.with_name(f"{copied.name}.json").unlink()
    copied.write_bytes(b"older")
    assert load_native(source).add(2, 3) == 5


@pytest.mark.compiler
def test_a_library_put_in_the_place_of_another_is_not_loaded(source, own_cache, tmp_path, monkeypatch):
    copied = copy_elsewhere(source, own_cache, tmp_path, monkeypatch)
    source.write_text(SOURCE.replace("a + b", "a - b"))
    assert load_native(source).add(2, 3) == -1
    (other,) = set(kept(tmp_path / "other")) - {copied}
    load_native.cache_clear()
    for suffix in ("", ".json"):
        other.with_name(other.name + suffix).unlink()  # not written over: this process has it in memory
        shutil.copyfile(copied.with_name(copied.name + suffix), other.with_name(other.name + suffix))
    with pytest.warns(UserWarning, match="of other code"):
        assert load_native(source) is not None
    assert other.read_bytes() != copied.read_bytes()


@pytest.mark.compiler
def test_threads_that_ask_at_once_get_one_file(source, own_cache):
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: load_native(source), range(4)))
    assert [library.add(1, 1) for library in found] == [2] * 4
    assert len(kept(own_cache)) == 1


@pytest.mark.compiler
def test_a_cache_that_cannot_be_written_is_one_line(source, own_cache):
    own_cache.write_text("a file where the folder should be")
    with pytest.warns(UserWarning, match="cannot write to folder"):
        assert load_native(source) is None
