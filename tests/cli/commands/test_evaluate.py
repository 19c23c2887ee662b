"""`ddbench evaluate`: what it says of a set beside its accuracy."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ddbench import distill
from ddbench.cli.main import main


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
