"""`ddbench run --verify` and `ddbench evaluate` trust no kept digest; what they find changed is said."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from ddbench.cli.main import main
from ddbench.host import file_digests
from ddbench.runs import distill as distilling

pytestmark = pytest.mark.usefixtures("own_cache")
SUITE = """
name: mine
protocol: quick
datasets: ['image_folder:{folder},size=8']
networks: [convnet-d1-w8]
methods: [random_real]
ipc: [1]
"""


@pytest.fixture
def read(monkeypatch):
    """Names of the files whose bytes have been read; files count as settled at once."""
    names: list[str] = []
    plain = file_digests._digest_bytes
    monkeypatch.setattr(file_digests, "RECENT_SECONDS", -1.0)
    monkeypatch.setattr(file_digests, "_digest_bytes", lambda path: names.append(path.parent.name) or plain(path))
    return names


@pytest.fixture
def pictures(tmp_path):
    for split in ("train", "test"):
        for shade, name in ((50, "a"), (200, "b")):
            path = tmp_path / "pictures" / split / name / "0.png"
            path.parent.mkdir(parents=True)
            Image.new("L", (8, 8), shade).save(path)
    (tmp_path / "s.yaml").write_text(SUITE.format(folder=tmp_path / "pictures"))
    return tmp_path / "pictures"


def start(*arguments):
    """Do as a new process would."""
    file_digests._known.clear()
    distilling._loaded.clear()
    return main([str(argument) for argument in arguments])


def test_run_reads_files_again_where_it_is_asked_to(tmp_path, pictures, read, capsys):
    run = ("run", tmp_path / "s.yaml", "--results", tmp_path / "r")
    assert start(*run) == 0
    assert sorted(read) == ["a", "a", "b", "b"]
    assert start(*run) == 0
    assert len(read) == 4
    for extra in ("--verify", "--dry-run"):
        assert start(*run, "--verify", extra) == 0
    assert len(read) == 12
    capsys.readouterr()


def test_evaluate_always_reads_files_again_and_says_what_has_changed(tmp_path, pictures, read, capsys):
    spec = f"image_folder:{pictures},size=8"
    made = ("distill", "random_real", "--dataset", spec, "--ipc", "1", "--out", tmp_path / "set")
    assert start(*made) == 0
    evaluate = ("evaluate", tmp_path / "set", "--dataset", spec, "--protocol", "quick", "--network", "convnet-d1-w8")
    keep = ("--students", "1", "--results", tmp_path / "r")
    read.clear()
    assert start(*evaluate, *keep) == 0
    assert sorted(read) == ["a", "a", "b", "b"]
    assert "changed" not in capsys.readouterr().err
    Image.new("L", (8, 8), 51).save(pictures / "test" / "a" / "0.png")
    with pytest.warns(UserWarning, match=r"was made from image_folder:pictures,size=8 .* its files have changed"):
        assert start(*evaluate, *keep) == 0
    kept = [json.loads(path.read_text()) for path in (tmp_path / "r").glob("*/result.json")]
    assert len({result["dataset_fingerprint"] for result in kept}) == len(kept) == 2
    assert len({result["dataset_layout"] for result in kept}) == 1
