"""Tests of where imported sets go, how they join in tables, and what becomes of uneven ones."""

import json

import pytest
import torch

from ddbench.analysis.aggregate import make_entries
from ddbench.dataset import load_dataset
from ddbench.distilled.dataset import DistilledDataset
from ddbench.distilled.files import load_distilled
from ddbench.errors import BadInputError, UnknownNameError
from ddbench.runs.cell import evaluate
from ddbench.runs.foreign_values import SourceFacts
from ddbench.runs.importing import check_import_target, import_set, recognise, save_imported
from ddbench.tables.formats import render
from ddbench.tables.table import make_table
from ddbench.testing import SMOKE_PROTOCOL


@pytest.fixture(scope="module")
def real():
    return load_dataset("digits")


@pytest.fixture
def source(real, tmp_path):
    rows = torch.cat([real.train.of_class(label)[:1] for label in range(10)])
    pairs = [[real.train.normalised(rows) + 0.1 * seed, real.train.labels[rows]] for seed in range(3)]
    torch.save({"data": pairs}, tmp_path / "res_DM_D_C_1ipc.pt")
    return tmp_path / "res_DM_D_C_1ipc.pt"


def test_several_sets_get_a_folder_each_and_one_row(real, source, tmp_path):
    imported = import_set(source, "dc", real)
    folders = save_imported(imported, tmp_path / "out")
    assert [folder.name for folder in folders] == ["seed0", "seed1", "seed2"]
    results = [evaluate(load_distilled(folder), real, SMOKE_PROTOCOL, students=1) for folder in folders]
    (entry,) = make_entries(results, with_hash=False)
    assert (entry.method, entry.config, entry.accuracy.seeds) == ("dm-imported", "", 3)
    assert "set_digest" not in render(make_table(results), "latex")


def test_two_sets_of_one_seed_are_two_rows_with_short_names(real, source):
    imported = import_set(source, "dc", real)
    two = [made.with_provenance(distill_seed=0) for made in imported.sets[:2]]
    results = [evaluate(made, real, SMOKE_PROTOCOL, students=1) for made in two]
    entries = make_entries(results, with_hash=False)
    assert len(entries) == 2
    assert all(entry.config.startswith("set=") and len(entry.config) == len("set=") + 8 for entry in entries)


def test_older_results_of_sets_from_elsewhere_join_too(real, source):
    imported = import_set(source, "dc", real)
    results = [evaluate(made, real, SMOKE_PROTOCOL, students=1) for made in imported.sets]
    older = [result.model_copy(update={"config": {"images_sha256": str(i) * 64}}) for i, result in enumerate(results)]
    assert len(make_entries(older, with_hash=False)) == 1


def test_content_is_all_that_students_learn_from(real, source):
    made = import_set(source, "dc", real).sets[0]
    keys = {evaluate(made, real, SMOKE_PROTOCOL, students=1).key}
    soft = (torch.nn.functional.one_hot(made.labels, 10) * 9.0).softmax(1)
    for changes in ({"labels": soft}, {"student_lr": 0.02}, {"decode_factor": 2}):
        other = DistilledDataset(
            **{"images": made.images, "labels": made.labels, "num_classes": 10, "ipc": 1,
               "provenance": made.provenance, **changes}
        )  # fmt: skip
        keys.add(evaluate(other, real, SMOKE_PROTOCOL, students=1).key)
    assert len(keys) == 4


def test_an_uneven_set_stands_at_its_budget_with_its_counts(real):
    rows = torch.cat([real.train.of_class(label)[: 3 if label % 2 else 1] for label in range(10)])
    uneven = DistilledDataset(real.train.pixels(rows), real.train.labels[rows], 10, 2, "pixels", uneven=True)
    result = evaluate(uneven, real, SMOKE_PROTOCOL, students=1)
    assert (result.ipc, result.class_sizes) == (2, (1, 3))
    text = render(make_table([result]), "md")
    assert "IPC 2" in text
    assert "uneven, 1 to 3 images a class" in text
    assert "full" not in text
    assert type(result).model_validate_json(result.model_dump_json()) == result


def test_provenance_says_where_a_set_came_from(real, source, tmp_path):
    imported = import_set(source, "dc", real)
    save_imported(imported, tmp_path / "out")
    sidecar = json.loads((tmp_path / "out" / "seed0" / "distilled.json").read_text())
    origin = sidecar["provenance"]
    assert origin["imported"]["format"] == "dc"
    assert set(origin["imported"]["files"]) == {source.name}
    assert origin["mean"] == list(real.info.mean)
    assert origin["std"] == list(real.info.std)
    assert str(tmp_path) not in json.dumps(sidecar)


def test_nothing_but_an_import_is_replaced(real, source, tmp_path):
    out = tmp_path / "out"
    save_imported(import_set(source, "dc", real), out)
    with pytest.raises(BadInputError, match=r"holds 3 imported sets; name a new folder, or use --overwrite"):
        check_import_target(out, overwrite=False)
    check_import_target(out, overwrite=True)
    (out / "notes.txt").write_text("mine")
    with pytest.raises(BadInputError, match="exists and is not an import"):
        check_import_target(out, overwrite=True)
    (tmp_path / "link").symlink_to(out)
    with pytest.raises(BadInputError, match="links are not followed"):
        check_import_target(tmp_path / "link", overwrite=True)
    with pytest.raises(BadInputError, match="exists and is not an import"):
        check_import_target(source, overwrite=True)
    check_import_target(tmp_path / "new" / "place", overwrite=False)


def test_formats_are_recognised_by_their_names(source, tmp_path):
    assert recognise(source)[0] == "dc"
    for name, form in (
        ("mtt/images_best.pt", "mtt"), ("idc/data.pt", "idc"), ("ddr/images.pt", "dd-ranking"),
        ("hf/data/train-00000-of-00001.parquet", "huggingface"), ("syn/00000/1.png", "image-folder"),
    ):  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_bytes(b"")
        assert recognise(tmp_path / name.partition("/")[0])[0] == form
    assert recognise(tmp_path / "nowhere") == ()


def test_what_cannot_be_is_told_before_anything_is_read(real, source):
    with pytest.raises(UnknownNameError, match="unknown importer 'DC'; did you mean dc"):
        import_set(source, "DC", real)
    for told, message in (
        ({"space": "rgb"}, "space must be"),
        ({"factor": 0}, "factor must be at least 1"),
        ({"seed": -1}, "seed"),
        ({"student_lr": 0.0}, "student_lr must be a positive number"),
        ({"logits": 1}, "logits must be True or False"),
        ({"method": ""}, "method"),
    ):
        with pytest.raises(BadInputError, match=message):
            SourceFacts(**told)
    with pytest.raises(BadInputError, match="--logits is for soft labels"):
        import_set(source, "dc", real, SourceFacts(logits=True))
    with pytest.raises(BadInputError, match="must be a positive number or 'unbounded'"):
        import_set(source, "dc", real, SourceFacts(pixel_margin="wide"))
