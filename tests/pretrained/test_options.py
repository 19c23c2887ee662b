"""Tests of a protocol's teachers as its options name them."""

import pytest
import torch
from torchvision import models

from ddbench.errors import BadInputError, DataMissingError, UnknownNameError
from ddbench.host.files import sha256_of
from ddbench.protocol import PROTOCOLS
from ddbench.training_recipe import TeacherNetwork

USUAL = PROTOCOLS.get("soft-label")


@pytest.fixture
def weights(tmp_path, monkeypatch):
    monkeypatch.setenv("DDBENCH_MODEL_DIR", str(tmp_path))
    path = tmp_path / "torchvision/shufflenet_v2_x0_5.IMAGENET1K_V1.pth"
    path.parent.mkdir()
    torch.save(models.shufflenet_v2_x0_5().state_dict(), path)
    return path


def test_the_plain_path_and_file_are_the_same_and_trained_is_the_protocol_itself(tmp_path):
    (tmp_path / "t").write_bytes(b"parameters")
    plain, named = (PROTOCOLS.get(f"soft-label,teacher={prefix}{tmp_path / 't'}") for prefix in ("", "file:"))
    assert plain == named
    assert plain.teacher.path == str(tmp_path / "t")
    assert PROTOCOLS.get("soft-label,teacher=trained") == USUAL
    assert PROTOCOLS.get("edc,teacher=trained") == PROTOCOLS.get("edc")  # all four of them


def test_published_weights_are_known_by_name_and_by_their_bytes(weights):
    found = PROTOCOLS.get("soft-label,teacher=torchvision/shufflenet_v2_x0_5")
    assert found.name == "soft-label,teacher=torchvision/shufflenet_v2_x0_5.IMAGENET1K_V1"
    teacher = found.teacher
    assert (teacher.network, teacher.sha256) == ("torchvision/shufflenet_v2_x0_5", sha256_of(weights))
    assert (teacher.temperature, teacher.loss) == (USUAL.teacher.temperature, USUAL.teacher.loss)
    assert PROTOCOLS.get(found.name) == found
    torch.save({}, weights)
    assert PROTOCOLS.get(found.name).hash != found.hash != USUAL.hash


def test_several_are_averaged_each_with_its_own_options(weights, tmp_path):
    (tmp_path / "t").write_bytes(b"parameters")
    spec = (
        f"soft-label,teacher=trained,teacher_network=convnet-d3,teacher=torchvision/shufflenet_v2_x0_5,"
        f"teacher={tmp_path / 't'},teacher_network=torchvision/resnet18,teacher_normalisation=imagenet"
    )
    found = PROTOCOLS.get(spec)
    digest = sha256_of(tmp_path / "t")
    assert [member.network for member in found.teacher.members] == [
        "convnet-d3",
        "torchvision/shufflenet_v2_x0_5",
        "torchvision/resnet18",
    ]
    assert [member.is_given for member in found.teacher.members] == [False, True, True]
    assert found.teacher.others[1] == TeacherNetwork(
        network="torchvision/resnet18", normalisation="imagenet", sha256=digest, path=str(tmp_path / "t")
    )
    assert found.name == (
        "soft-label,teacher=trained,teacher_network=convnet-d3,"
        f"teacher=torchvision/shufflenet_v2_x0_5.IMAGENET1K_V1,teacher={digest[:12]}"
    )
    assert len({found.hash, USUAL.hash, PROTOCOLS.get(f"soft-label,teacher={tmp_path / 't'}").hash}) == 3


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ("techer=x", BadInputError, "protocol soft-label has no option 'techer'; did you mean teacher"),
        ("teacher", BadInputError, "protocol option must be key=value, each key once, got 'teacher'"),
        ("teacher=/no,teacher=/no", BadInputError, "each key once"),
        ("teacher=/no,teacher_network=mlp,teacher_network=mlp", BadInputError, "each key once"),
        ("teacher_network=mlp", BadInputError, "teacher_network goes with teacher=FILE"),
        ("teacher=/no/such/file", BadInputError, "teacher file /no/such/file does not exist; check the path"),
        ("teacher=file:/no/such/file", BadInputError, "teacher file /no/such/file does not exist; check the path"),
        ("teacher=torchvision/resnet19", UnknownNameError, "torchvision has no model 'resnet19'; did you mean"),
        ("teacher=torchvision/resnet18", DataMissingError, "no weights torchvision/resnet18.IMAGENET1K_V1 on this"),
        ("teacher=torchvision/resnet18,teacher_network=mlp", BadInputError, "teacher_network goes with the file"),
        ("teacher=trained,teacher_normalisation=imagenet", BadInputError, "teacher_normalisation goes with the file"),
        (f"teacher={__file__},teacher_normalisation=x", BadInputError, "unknown teacher_normalisation 'x'; known"),
    ],
)
def test_wrong_options_are_told_in_one_line(options, error, message, tmp_path, monkeypatch):
    for variable in ("DDBENCH_MODEL_DIR", "TORCH_HOME"):
        monkeypatch.setenv(variable, str(tmp_path))
    with pytest.raises(error) as caught:
        PROTOCOLS.get(f"soft-label,{options}")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
