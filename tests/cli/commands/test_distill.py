"""Tests of `ddbench distill --out`: nothing is replaced unasked, no link followed, nothing done a second time."""

import pytest

from ddbench.cli.main import main
from ddbench.distilled.files import load_distilled
from ddbench.distilled.names import SIDECAR

pytestmark = pytest.mark.usefixtures("own_cache")


def command(out, *options, method="random_real"):
    return ["distill", method, "--dataset", "digits", "--ipc", "1", "--device", "cpu", "--out", str(out), *options]


@pytest.fixture
def done(tmp_path):
    assert main(command(tmp_path / "set")) == 0
    return tmp_path / "set"


def looks(folder):
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.iterdir()}


def must_not_run(monkeypatch):
    def run(*arguments, **options):
        raise AssertionError("work was done")

    monkeypatch.setattr("ddbench.runs.distill.distill", run)


@pytest.mark.parametrize("options", [["--seed", "1"], ["--ipc", "2"]])
def test_another_set_is_refused_before_work_and_named(done, options, monkeypatch, capsys):
    must_not_run(monkeypatch)
    before = looks(done)
    assert main(command(done, *options)) == 2
    error = capsys.readouterr().err
    assert "holds a distilled set made by random_real from digits at ipc 1, seed 0" in error
    assert "--overwrite" in error
    assert looks(done) == before


def test_another_method_and_other_settings_are_refused(done, tmp_path, monkeypatch):
    assert main(command(tmp_path / "dm", "--set", "steps=1", method="dm")) == 0
    must_not_run(monkeypatch)
    assert main(command(done, method="dm")) == 2
    assert main(command(tmp_path / "dm", "--set", "steps=2", method="dm")) == 2
    assert main(command(tmp_path / "dm", "--set", "steps=1", method="dm")) == 0


def test_the_same_command_says_that_it_is_done(done, monkeypatch, capsys):
    must_not_run(monkeypatch)
    before = looks(done)
    assert main(command(done)) == 0
    assert f"done already: {done} holds" in capsys.readouterr().out
    assert looks(done) == before


def test_overwriting_is_asked_for(done):
    assert main(command(done, "--seed", "1", "--overwrite")) == 0
    assert load_distilled(done).provenance["distill_seed"] == 1


def test_a_damaged_set_is_no_free_place(done, monkeypatch, capsys):
    (done / SIDECAR).write_text("{")
    with monkeypatch.context() as patch:
        must_not_run(patch)
        assert main(command(done)) == 2
    assert "holds a damaged set" in capsys.readouterr().err
    assert main(command(done, "--overwrite")) == 0
    assert load_distilled(done).ipc == 1


@pytest.mark.parametrize("options", [[], ["--overwrite"]])
@pytest.mark.parametrize("target", ["set", "nowhere"])
def test_a_link_is_never_followed(done, tmp_path, options, target, monkeypatch, capsys):
    must_not_run(monkeypatch)
    (tmp_path / "link").symlink_to(target)
    before = looks(done)
    assert main(command(tmp_path / "link", *options)) == 2
    assert f"is a link to {target}, and links are not followed" in capsys.readouterr().err
    assert (tmp_path / "link").is_symlink()
    assert looks(done) == before


@pytest.mark.parametrize("options", [[], ["--overwrite"]])
def test_what_is_no_set_is_never_replaced(tmp_path, options):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "thesis.tex").write_text("hours of work")
    assert main(command(tmp_path / "notes", *options)) == 2
    assert (tmp_path / "notes" / "thesis.tex").read_text() == "hours of work"


def test_the_last_good_images_of_an_earlier_run_are_not_replaced(done, tmp_path, monkeypatch, capsys):
    done.rename(tmp_path / "new-last-good")
    must_not_run(monkeypatch)
    assert main(command(tmp_path / "new")) == 2
    assert "holds images of a run that diverged" in capsys.readouterr().err


def test_a_set_whose_picture_cannot_be_drawn_is_whole(tmp_path, monkeypatch, capsys):
    from ddbench.errors import BadInputError

    def save_grid(distilled, info, path):
        raise BadInputError(f"cannot write {path}: No space left on device; choose a writable place")

    monkeypatch.setattr("ddbench.distilled.grid.save_grid", save_grid)
    assert main(command(tmp_path / "set")) == 2
    assert "holds the distilled set, whole, but without its picture" in capsys.readouterr().err
    assert load_distilled(tmp_path / "set").ipc == 1


def test_the_root_of_all_folders_is_no_place_for_a_set(monkeypatch, capsys):
    must_not_run(monkeypatch)
    assert main(command("/")) == 2
    assert "/ cannot hold a distilled set; name a new folder" in capsys.readouterr().err
