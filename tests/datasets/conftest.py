"""Small files of every layout, and a cache of decoded images that belongs to one test."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ddbench.host.files import CACHE_DIR_VARIABLE, find_cache_dir


@pytest.fixture(autouse=True)
def decoded_cache(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of decoded images; real data keeps the user's, as decoding it anew takes many seconds."""
    if request.node.get_closest_marker("data") is None:
        monkeypatch.setenv(CACHE_DIR_VARIABLE, str(tmp_path / "cache"))
    return find_cache_dir() / "decoded"


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    """A function that encodes (H, W) or (H, W, 3) uint8 pixels; lossless for PNG and WebP."""

    def make(pixels: np.ndarray, kind: str = "PNG", mode: str | None = None) -> bytes:
        buffer = io.BytesIO()
        image = Image.fromarray(pixels)
        image = image.convert(mode) if mode else image
        image.save(buffer, kind, **({"lossless": True} if kind == "WEBP" else {}))
        return buffer.getvalue()

    return make


@pytest.fixture(scope="session")
def write_parquet() -> Callable[..., Path]:
    """A function that writes encoded images and labels as the parquet layout does."""

    def write(
        path: Path,
        encoded: Sequence[bytes | None],
        labels: Sequence[int | None],
        *,
        names: Sequence[str] | None = None,
        columns: tuple[str, str] = ("image", "label"),
    ) -> Path:
        names = names or [f"{row}.png" for row in range(len(encoded))]
        images = [{"bytes": data, "path": name} for data, name in zip(encoded, names, strict=True)]
        kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        table = pa.table({columns[0]: pa.array(images, kind), columns[1]: pa.array(labels, pa.int64())})
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path)
        return path

    return write


@pytest.fixture(scope="session")
def write_image(encode: Callable[..., bytes]) -> Callable[..., Path]:
    """A function that writes an image of one colour, (width, height) pixels."""

    def write(path: Path, colour: int | tuple[int, int, int] = 0, size: tuple[int, int] = (8, 8)) -> Path:
        shape = (size[1], size[0]) if isinstance(colour, int) else (size[1], size[0], 3)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(np.full(shape, colour, dtype=np.uint8)))
        return path

    return write


@pytest.fixture
def random_pixels() -> Callable[..., np.ndarray]:
    """A function that draws uint8 pixels of a shape, the same in every run."""
    generator = np.random.default_rng(0)
    return lambda *shape: generator.integers(0, 256, shape, dtype=np.uint8)
