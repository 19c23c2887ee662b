"""`ddbench import`, `export-set` and `evaluate` on what they leave: in, out, and wrong inputs in one line."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from ddbench.cli.main import main
from ddbench.dataset import load_dataset
from ddbench.distilled.dataset import DistilledDataset


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("DDBENCH_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


@pytest.fixture
def digits():
    real = load_dataset("digits")
    rows = torch.cat([real.train.of_class(label)[:2] for label in range(10)])
    return real.train.pixels(rows), real.train.normalised(rows), real.train.labels[rows]


@pytest.fixture
def sources(digits, tmp_path):
    """One source of every kind in the working folder, right and wrong ones."""
    pixels, images, labels = digits
    torch.save({"data": [[images, labels], [images + 0.1, labels]], "accs_all_exps": {}}, "res_DM_D_C_2ipc.pt")
    torch.save({"images": images, "labels": labels}, "floats.pt")
    torch.save({"images": pixels, "labels": labels}, "bytes.pt")
    torch.save({"images": images, "labels": torch.randn(20, 10)}, "logits.pt")
    torch.save({"images": images * 300, "labels": labels}, "far.pt")
    torch.save({"images": images[:, :, :5], "labels": labels}, "narrow.pt")
    torch.save([pixels.float() / 255, labels], "data.pt")
    torch.save(Code(), "code.pt")
    with open("cut.pt", "wb") as file:  # noqa: PTH123 - the working folder
        file.write(b"PK\x03\x04")
    for name in ("thing", "other"):
        (tmp_path / "work" / "set" / name).mkdir(parents=True)
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "work" / "set" / name / "1.png")
    return tmp_path / "work"


class Code:
    """Writes a file when it is unpickled."""

    def __reduce__(self):
        return open, ("ran", "w")


def test_a_set_comes_in_is_evaluated_and_goes_out(sources, capsys):
    assert main(["import", "res_DM_D_C_2ipc.pt", "--as", "dc", "--dataset", "digits", "--out", "sets"]) == 0
    said = capsys.readouterr().out
    assert "sets/seed0: dm-imported seed 0, ipc 2, 20 images 1x8x8 in space normalised" in said.replace("\n", " ")
    assert "next: ddbench evaluate sets/seed0 sets/seed1 --dataset digits" in said
    arguments = ["--protocol", "quick", "--network", "mlp-w4", "--students", "1", "--results", "results"]
    assert main(["evaluate", "sets/seed0", "sets/seed1", *arguments, "--networks", "convnet-d1-w4,mlp-w5,mlp-w6"]) == 0
    said = capsys.readouterr().out
    assert "dm-imported" in said
    assert "sets/seed1: " in said
    for network in ("convnet-d1-w4", "mlp-w5", "mlp-w6"):
        assert f"test_accuracy[{network}]" in said
    assert main(["table", "results"]) == 0
    assert " ± " in capsys.readouterr().out  # two seeds of one row
    assert main(["export-set", "sets/seed0", "--as", "huggingface", "--results", "results", "--out", "out"]) == 0
    assert "nothing was lost" in capsys.readouterr().out
    assert "| `quick@" in (sources / "out" / "README.md").read_text()


IMPORT = ["import", "SOURCE", "--as", "FORM", "--dataset", "digits", "--out", "out"]
WRONG = {
    "no such file": (["nowhere.pt", "tensors"], "nowhere.pt does not exist"),
    "no such format": (["bytes.pt", "torch"], "unknown importer 'torch'"),
    "a folder for a file": (["set", "dc"], "must be a regular file, but is a folder"),
    "a file for a folder": (["bytes.pt", "image-folder"], "is not a folder"),
    "another format": (["bytes.pt", "dc"], "has no list 'data'"),
    "code": (["code.pt", "tensors"], "holds Python code"),
    "cut off": (["cut.pt", "tensors"], "damaged or not a PyTorch file"),
    "no space": (["floats.pt", "tensors"], "give --space normalised, pixels or zca"),
    "another space": (
        ["bytes.pt", "tensors", "--space", "zca"],
        "--space says zca, and images of this source are pixels",
    ),
    "logits": (["logits.pt", "tensors", "--space", "normalised"], "give --logits"),
    "logits of classes": (["bytes.pt", "tensors", "--logits"], "--logits is for soft labels"),
    "values of nothing": (["far.pt", "tensors", "--space", "normalised"], "values within about -5..5"),
    "not square": (
        ["narrow.pt", "tensors", "--space", "normalised"],
        "must be square and at least 8 px",
    ),
    "no factor": (["data.pt", "idc"], "give --factor"),
    "a factor beyond": (["data.pt", "idc", "--factor", "9"], "factor must be at most 8"),
    "unknown classes": (["set", "image-folder"], "no class of digits by WordNet id, name or number: 'other', 'thing'"),
    "no class map": (["set", "image-folder", "--class-map", "map.yaml"], "class map map.yaml does not exist"),
    "constants of nothing": (
        ["floats.pt", "tensors", "--space", "normalised", "--normalised-by", "0.5"],
        "--normalised-by must be imagenet, half or MEAN/STD",
    ),
    "constants of pixels": (["data.pt", "idc", "--factor", "1", "--normalised-by", "half"], "--normalised-by is for"),
    "a method of ours": (["bytes.pt", "tensors", "--method", "dm"], "dm is a method of ddbench"),
    "a rate of zero": (["bytes.pt", "tensors", "--student-lr", "0"], "student_lr must be a positive number"),
    "another data set": (
        ["bytes.pt", "tensors", "--dataset", "digitz"],
        "unknown dataset 'digitz'; did you mean",
    ),
    "a place taken": (["bytes.pt", "tensors", "--out", "set"], "set exists and is not an import"),
}


@pytest.mark.parametrize(("given", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_import_is_one_line_and_writes_nothing(sources, capsys, given, message):
    before = sorted(path.relative_to(sources) for path in sources.rglob("*"))
    source, form, *options = given
    arguments = [{"SOURCE": source, "FORM": form}.get(part, part) for part in IMPORT]
    assert main([*arguments, *options]) == 2
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert message in line
    assert not said.out
    assert sorted(path.relative_to(sources) for path in sources.rglob("*")) == before


def test_a_wrong_export_is_one_line_and_writes_nothing(sources, capsys):
    assert main(["import", "bytes.pt", "--as", "tensors", "--dataset", "digits", "--out", "in"]) == 0
    torch.save({"images": torch.zeros(4, 1, 8, 8), "labels": torch.tensor([0, 0, 1, 1])}, "two.pt")
    capsys.readouterr()
    before = sorted(path.relative_to(sources) for path in sources.rglob("*"))
    for arguments, message in (
        (["bytes.pt", "--as", "tensors"], "is not a distilled set"),
        (["nowhere", "--as", "tensors"], "nowhere is not a distilled set"),
        (["in", "--as", "zip"], "unknown exporter 'zip'"),
        (["in", "--as", "tensors", "--dataset", "cifar10"], "cifar10"),
        (["in", "--as", "tensors", "--push", "me/mine"], "--push OWNER/NAME uploads an export --as huggingface"),
        (["in", "--as", "huggingface", "--push", "mine"], "--push OWNER/NAME"),
        (["in", "--as", "huggingface", "--results", "nowhere"], "nowhere does not exist"),
    ):
        assert main(["export-set", *arguments, "--out", "out"]) == 2, arguments
        (line,) = capsys.readouterr().err.splitlines()
        assert message in line
    assert main(["export-set", "in", "--as", "tensors", "--out", "set"]) == 2
    assert "set exists and is not an export" in capsys.readouterr().err
    assert sorted(path.relative_to(sources) for path in sources.rglob("*")) == before


@pytest.mark.parametrize(
    ("source", "form"),
    [("res_DM_D_C_2ipc.pt", "dc"), ("bytes.pt", "tensors"), ("set", "image-folder"), ("data.pt", "idc")],
)
def test_evaluate_names_the_import_of_a_foreign_file(sources, capsys, source, form):
    assert main(["evaluate", source, "--dataset", "digits"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"bring it in first: ddbench import {source} --as {form} --dataset digits --out " in line


def test_evaluating_a_stored_set_keeps_it_where_it_lies(sources, capsys):
    (sources / "suite.yaml").write_text(
        "name: x\nprotocol: quick\nnetworks: [mlp-w4]\ndatasets: [digits]\n"
        "ipc: [1]\nmethods: [random_real]\nstudents: 1\n"
    )
    assert main(["run", "suite.yaml", "--results", "results"]) == 0
    (kept,) = (sources / "results").glob("*/distilled")
    before = sorted(path.name for path in kept.rglob("*"))
    arguments = ["--protocol", "quick", "--network", "mlp-w4", "--students", "1", "--results", "results"]
    assert main(["evaluate", str(kept), *arguments]) == 0
    assert sorted(path.name for path in kept.rglob("*")) == before
    assert (kept.parent / "log.txt").exists()
    assert len(list((sources / "results").glob("*/result.json"))) == 1


def test_a_set_that_does_not_fit_is_told_before_any_is_trained_on(sources, capsys):
    for name in ("a", "b"):
        assert main(["import", "bytes.pt", "--as", "tensors", "--dataset", "digits", "--out", name]) == 0
    two = DistilledDataset(torch.zeros(4, 1, 8, 8), torch.tensor([0, 0, 1, 1]), 2, 2, provenance={"dataset": "digits"})
    two.save("c")
    capsys.readouterr()
    assert main(["evaluate", "a", "b", "c", "--protocol", "quick", "--results", "results"]) == 2
    said = capsys.readouterr()
    assert "the distilled set has 2 classes and digits has 10" in said.err
    assert not said.out
    assert not list((sources / "results").glob("*/result.json"))


def test_a_folder_of_several_sets_is_no_format(sources, capsys):
    assert main(["import", "res_DM_D_C_2ipc.pt", "--as", "dc", "--dataset", "digits", "--out", "sets"]) == 0
    capsys.readouterr()
    assert main(["evaluate", "sets"]) == 2
    assert "sets holds 2 sets; name those that are meant, such as sets/seed0" in capsys.readouterr().err


def test_one_set_may_take_the_place_of_several_and_a_methods_set_of_none(sources, capsys):
    assert main(["import", "res_DM_D_C_2ipc.pt", "--as", "dc", "--dataset", "digits", "--out", "sets"]) == 0
    again = ["import", "bytes.pt", "--as", "tensors", "--dataset", "digits", "--overwrite", "--out"]
    assert main([*again, "sets"]) == 0
    assert not (sources / "sets" / "seed0").exists()
    assert main(["distill", "random_real", "--dataset", "digits", "--ipc", "1", "--out", "made"]) == 0
    capsys.readouterr()
    assert main([*again, "made"]) == 2
    assert "made exists and is not an import" in capsys.readouterr().err
