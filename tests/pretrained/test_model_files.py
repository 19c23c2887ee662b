"""Tests of where published weights are looked for; nothing is ever fetched."""

import hashlib
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import pytest

from ddbench.errors import DataMismatchError, DataMissingError
from ddbench.pretrained.model_files import find_model_dir, find_weights
from ddbench.pretrained.published import find_published

RESNET, TIMM = find_published("torchvision/resnet18"), find_published("timm/test_resnet")
CONTENT = b"weights"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    monkeypatch.setenv("DDBENCH_MODEL_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path


def put(path: Path, content: bytes = CONTENT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_the_folder_is_the_variables_or_beside_the_data(tmp_path, monkeypatch):
    assert find_model_dir() == tmp_path / "models"
    monkeypatch.delenv("DDBENCH_MODEL_DIR")
    monkeypatch.setenv("DDBENCH_DATA_DIR", str(tmp_path / "data"))
    assert find_model_dir() == tmp_path / "models"


@pytest.mark.parametrize(
    ("published", "place"),
    [
        (RESNET, "models/torchvision/resnet18.IMAGENET1K_V1.safetensors"),
        (RESNET, "models/torchvision/resnet18.IMAGENET1K_V1.pth"),
        (TIMM, "models/timm/test_resnet.r160_in1k.safetensors"),
        (TIMM, "models/timm/test_resnet.r160_in1k.pth"),
        (
            replace(RESNET, file_name=f"resnet18-{DIGEST[:8]}.pth"),
            f"models/torchvision/resnet18-{DIGEST[:8]}.pth",
        ),
        (replace(RESNET, file_name=f"resnet18-{DIGEST[:8]}.pth"), f"torch/hub/checkpoints/resnet18-{DIGEST[:8]}.pth"),
    ],
)
def test_every_place_is_looked_at(published, place, tmp_path):
    path = put(tmp_path / place)
    assert find_weights(published) == (path, DIGEST)


def test_the_hugging_face_cache_is_looked_at(tmp_path):
    repository = tmp_path / "hub/models--timm--test_resnet.r160_in1k"
    put(repository / "refs/main", b"a" * 40)
    path = put(repository / "snapshots" / ("a" * 40) / "model.safetensors")
    assert find_weights(TIMM) == (path, DIGEST)


def test_a_file_that_is_not_what_its_name_says_is_damaged(tmp_path):
    put(tmp_path / "models/torchvision" / RESNET.file_name)
    with pytest.raises(DataMismatchError, match=f"are damaged: their SHA-256 begins with {DIGEST[:8]}"):
        find_weights(RESNET)


@pytest.mark.parametrize(
    ("published", "put_there"), [(RESNET, RESNET.file_name), (TIMM, "test_resnet.r160_in1k.safetensors")]
)
def test_what_is_missing_is_told_with_its_place(published, put_there, tmp_path):
    with pytest.raises(DataMissingError) as caught:
        find_weights(published)
    text = str(caught.value)
    assert f"no weights {published.name} on this machine: put {put_there} (" in text
    assert text.endswith("nothing is fetched")
    assert "\n" not in text
