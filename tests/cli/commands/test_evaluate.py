"""`ddbench evaluate`: what it says of a set beside its accuracy."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ddbench import distill
from ddbench.cli.main import main
from ddbench.errors import BadInputError
from ddbench.runs.results_store import Store


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize(("turned_by", "is_noted"), [(0, False), (1, True)])
def test_labels_of_another_order_are_hinted_at(tmp_path, capsys, turned_by, is_noted):
    made = distill("random_real", "digits", ipc=10, seed=0)
    labels = (made.labels + turned_by) % 10
    order = labels.argsort(stable=True)
    replace(made, images=made.images[order], labels=labels[order]).save(tmp_path / "set")
    arguments = ["--protocol", "quick", "--students", "1", "--network", "convnet-d2-w32"]
    assert main(["evaluate", str(tmp_path / "set"), *arguments]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert ("close to chance, 10 %" in said) == is_noted
    assert ("ddbench list --classes digits" in said) == is_noted


@pytest.mark.usefixtures("own_cache")
def test_what_was_measured_before_a_set_that_diverges_is_shown(tmp_path, capsys):
    made = distill("random_real", "digits", ipc=1, seed=0)
    made.save(tmp_path / "sound")
    replace(made, student_lr=1e30).save(tmp_path / "wild")
    arguments = ["--protocol", "quick", "--students", "1", "--network", "convnet-d2-w32"]
    assert main(["evaluate", str(tmp_path / "sound"), str(tmp_path / "wild"), *arguments]) == 2
    said = capsys.readouterr()
    assert "Test accuracy" in said.out
    assert "sound:" in " ".join(said.out.split())
    assert "parameters are not finite" in said.err


@pytest.mark.usefixtures("own_cache")
def test_a_result_that_could_not_be_written_is_not_called_kept(tmp_path, capsys, monkeypatch):
    for name, seed in (("a", 0), ("b", 1)):
        distill("random_real", "digits", ipc=1, seed=seed).save(tmp_path / name)
    add, written = Store.add, []

    def until_the_disk_is_full(store, result):
        if written:
            raise BadInputError("cannot write: No space left on device")
        written.append(result.key)
        return add(store, result)

    monkeypatch.setattr(Store, "add", until_the_disk_is_full)
    arguments = [
        "--protocol",
        "quick",
        "--students",
        "1",
        "--network",
        "mlp-w4",
        "--results",
        str(tmp_path / "results"),
    ]
    assert main(["evaluate", str(tmp_path / "a"), str(tmp_path / "b"), *arguments]) == 2
    said = capsys.readouterr()
    assert f"kept in {tmp_path / 'results'}: {written[0]}\n" in said.out
    assert "No space left" in said.err
