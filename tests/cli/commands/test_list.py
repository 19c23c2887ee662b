"""`ddbench list`: what is registered, and which class each label of a data set stands for."""

from __future__ import annotations

import pytest
from PIL import Image

from ddbench.cli.main import main


@pytest.mark.usefixtures("own_cache")
def test_classes_are_listed_by_label(tmp_path, capsys):
    names = [str(number) for number in range(11)]
    for split in ("train", "test"):
        for name in names:
            (tmp_path / split / name).mkdir(parents=True)
            Image.new("L", (8, 8)).save(tmp_path / split / name / "0.png")
    assert main(["list", "--classes", f"image_folder:{tmp_path},size=8"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert rows[-12:] == [["label", "class"], *([str(label), name] for label, name in enumerate(names))]


def test_classes_beside_a_kind_are_refused(capsys):
    assert main(["list", "datasets", "--classes", "digits"]) == 2
    assert "leave out datasets" in capsys.readouterr().err
