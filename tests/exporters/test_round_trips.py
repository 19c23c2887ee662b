"""Tests of sets that go out in every form and come back, and of what the forms' own programs read."""

import json
import tarfile

import pytest
import torch
from torchvision.datasets import ImageFolder

from ddbench.distilled.dataset import DistilledDataset
from ddbench.errors import BadInputError, DataMismatchError, UnsupportedError
from ddbench.exporter import CARD
from ddbench.images import DatasetInfo
from ddbench.registry import EXPORTERS, IMPORTERS
from ddbench.runs.exporting import export_set
from ddbench.runs.foreign_values import SourceFacts
from ddbench.runs.importing import import_set
from tests.exporters.conftest import KINDS

EXACT = ("tensors", "huggingface")  # forms that hold every set as it is


def same(a: DistilledDataset, b: DistilledDataset) -> bool:
    """Whether students would learn the same from two sets, to the bit."""
    return (
        torch.equal(a.images.float(), b.images.float())
        and torch.equal(a.labels.float(), b.labels.float())
        and (a.space, a.ipc, a.uneven, a.decode_factor) == (b.space, b.ipc, b.uneven, b.decode_factor)
        and (a.student_lr is None) == (b.student_lr is None)
        and (a.student_lr is None or a.student_lr == b.student_lr)
        and (a.whitening is None or a.whitening.hash == b.whitening.hash)
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", EXACT)
def test_exact_forms_give_every_set_back(make, digits, tmp_path, form, kind):
    made = make(kind)
    lost = export_set(made, form, tmp_path / "out", digits)
    assert lost == ({"images": "float32 instead of float16"} if (form, kind) == ("huggingface", "half") else {})
    back = import_set(tmp_path / "out", form, digits, SourceFacts(pixel_margin="unbounded")).sets[0]
    assert same(back, made)
    assert (back.provenance["method"], back.provenance["distill_seed"]) == ("toy", 3)
    card = json.loads((tmp_path / "out" / CARD).read_text())
    assert (card["mean"], card["std"]) == (list(digits.info.mean), list(digits.info.std))
    assert card["class_names"] == list(digits.info.class_names)


@pytest.mark.parametrize("kind", KINDS)
def test_image_folders_hold_bytes_and_say_what_clipping_changed(make, digits, tmp_path, kind):
    made = make(kind)
    lost = export_set(made, "image-folder", tmp_path / "out", digits)
    back = import_set(tmp_path / "out", "image-folder", digits).sets[0]
    assert torch.equal(back.classes, made.classes)
    assert (back.space, back.decode_factor, back.student_lr) == ("pixels", made.decode_factor, made.student_lr)
    if kind in ("pixels", "float pixels"):
        assert not lost
        assert torch.equal(back.images, (made.images * (1 if kind == "pixels" else 255)).round().byte())
    elif kind == "zca":
        assert lost.get("largest_change", 0) < 1e-3  # whitened bytes, whitening undone
    else:
        exact = digits.info.to_pixels(made.images.float())
        assert lost["clipped"] == pytest.approx(float(((exact < 0) | (exact > 1)).float().mean()), abs=1e-6)
        assert lost["largest_change"] == pytest.approx(float((exact - back.images / 255).abs().max()), abs=1e-5)
        assert ("soft_labels" in lost) == (kind == "soft")


def test_torchvision_numbers_the_classes_as_the_data_set_does(make, digits, tmp_path):
    export_set(make("pixels"), "image-folder", tmp_path / "out", digits)
    read = ImageFolder(str(tmp_path / "out"))
    assert [name.partition("_")[2] for name in read.classes] == list(digits.info.class_names)
    assert [label for _, label in read.samples] == [label for label in range(10) for _ in range(2)]


@pytest.mark.parametrize("kind", ["normalised", "soft", "pixels"])
def test_hugging_face_opens_what_was_written(make, digits, tmp_path, kind):
    datasets = pytest.importorskip("datasets")
    made = make(kind)
    export_set(made, "huggingface", tmp_path / "out", digits)
    read = datasets.load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))
    assert len(read) == 20
    assert read.features["label"].names == list(digits.info.class_names)
    assert read["label"] == made.classes.tolist()
    assert read[0]["image"].size == (8, 8)
    if kind != "pixels":
        assert torch.equal(torch.tensor(read[5]["tensor"]), made.images[5])
    if kind == "soft":
        assert torch.allclose(torch.tensor(read[5]["soft_label"]), made.labels[5])
    read.save_to_disk(str(tmp_path / "disk"))
    if kind != "pixels":  # it leaves our card behind, and with it what the exact values are
        with pytest.raises(BadInputError, match=r"has a column tensor and no ddbench\.json"):
            import_set(tmp_path / "disk", "huggingface", digits)
        read.remove_columns("tensor").save_to_disk(str(tmp_path / "pictures"))
    pixels = import_set(tmp_path / ("disk" if kind == "pixels" else "pictures"), "huggingface", digits).sets[0]
    assert torch.equal(pixels.classes, made.classes)
    assert pixels.space == "pixels"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # webdataset leaves its file open
@pytest.mark.parametrize("kind", ["normalised", "soft", "pixels"])
def test_webdataset_opens_what_was_written(make, digits, tmp_path, kind):
    webdataset = pytest.importorskip("webdataset")
    made = make(kind)
    export_set(made, "webdataset", tmp_path / "out", digits)
    shard = tmp_path / "out" / "train-000000.tar"
    read = list(webdataset.WebDataset(str(shard), shardshuffle=False).decode("torchrgb"))
    assert [int(sample["cls"]) for sample in read] == made.classes.tolist()
    assert read[0]["png"].shape == (3, 8, 8)
    if kind != "pixels":
        assert torch.equal(torch.from_numpy(read[7]["npy"]), made.images[7])
    if kind == "soft":
        assert torch.equal(torch.from_numpy(read[7]["soft_label.npy"]), made.labels[7])
    export_set(made, "webdataset", tmp_path / "again", digits)
    assert shard.read_bytes() == (tmp_path / "again" / shard.name).read_bytes()
    with tarfile.open(shard) as opened:
        assert len(opened.getmembers()) == 20 * {"pixels": 2, "normalised": 3, "soft": 4}[kind]


@pytest.mark.parametrize("kind", ["normalised", "soft", "pixels", "zca"])
def test_dd_ranking_gets_its_tensors_and_they_come_back(make, digits, tmp_path, kind):
    made = make(kind)
    export_set(made, "dd-ranking", tmp_path / "out", digits)
    source = tmp_path / "out"
    if kind == "zca":
        (source / "run.yaml").write_text("dataset: digits\nuse_zca: true\nmodel_name: ConvNet-3\nnum_eval: 5\n")
        source = source / "run.yaml"
    back = import_set(source, "dd-ranking", digits, SourceFacts(pixel_margin="unbounded")).sets[0]
    wanted = digits.info.normalise(made.images) if kind == "pixels" else made.images
    assert torch.allclose(back.images, wanted, atol=1e-6)
    assert torch.allclose(back.labels.float(), made.labels.float(), atol=1e-6)
    assert back.student_lr == pytest.approx(made.student_lr) if made.student_lr else back.student_lr is None


def test_dd_ranking_takes_neither_uneven_sets_nor_parts(make, digits, tmp_path):
    for kind in ("uneven", "decoded"):
        with pytest.raises(UnsupportedError, match="as many whole images of each class"):
            export_set(make(kind), "dd-ranking", tmp_path / "out", digits)
    assert not (tmp_path / "out").exists()


def test_an_export_replaces_nothing_but_an_export(make, digits, tmp_path):
    made, out = make("pixels"), tmp_path / "out"
    export_set(made, "tensors", out, digits)
    with pytest.raises(BadInputError, match="holds an export; name a new folder, or replace it with --overwrite"):
        export_set(made, "image-folder", out, digits)
    export_set(made, "image-folder", out, digits, overwrite=True)
    assert not (out / "set.safetensors").exists()
    (tmp_path / "out" / "thesis.tex").write_text("x")
    with pytest.raises(BadInputError, match="is not an export"):
        export_set(made, "tensors", out, digits, overwrite=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    (tmp_path / "mine" / CARD).write_text("{}")
    with pytest.raises(BadInputError, match="is not an export"):
        export_set(made, "tensors", tmp_path / "mine", digits, overwrite=True)
    (tmp_path / "link").symlink_to(out)
    with pytest.raises(BadInputError, match="links are not followed"):
        export_set(made, "tensors", tmp_path / "link", digits, overwrite=True)


def test_a_damaged_card_is_told(make, digits, tmp_path):
    export_set(make("pixels"), "tensors", tmp_path / "out", digits)
    (tmp_path / "out" / CARD).write_text('{"format": "ddbench-export-1"}')
    with pytest.raises(DataMismatchError, match=r"is damaged: .* export the set again"):
        import_set(tmp_path / "out", "tensors", digits)


def test_every_form_has_a_line_that_says_what_it_is():
    for registry in (IMPORTERS, EXPORTERS):
        for name in registry.names():
            assert registry.get(name).__doc__
            assert registry.summary(name)


def test_names_that_no_folder_may_have_are_made_safe(make, digits, tmp_path):
    info = digits.info
    names = ("T-shirt/top", "../up", "a:b", *info.class_names[3:])
    renamed = DatasetInfo(**{**vars(info), "class_names": names})
    real = type(digits)(
        type(digits.train)(digits.train.images, digits.train.labels, renamed),
        type(digits.test)(digits.test.images, digits.test.labels, renamed),
        renamed,
    )
    export_set(make("pixels"), "image-folder", tmp_path / "out", real)
    assert sorted(path.name for path in (tmp_path / "out").iterdir())[:3] == ["0_T-shirt_top", "1_.._up", "2_a_b"]
    back = import_set(tmp_path / "out", "image-folder", real).sets[0]
    assert torch.equal(back.classes, make("pixels").classes)
