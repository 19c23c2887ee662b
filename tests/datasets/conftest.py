"""Small files of every layout, and a cache of decoded images that belongs to one test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ddbench.host.files import CACHE_DIR_VARIABLE, find_cache_dir


@pytest.fixture(autouse=True)
def decoded_cache(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of decoded images; real data keeps the user's, as decoding it anew takes many seconds."""
    if request.node.get_closest_marker("data") is None:
        monkeypatch.setenv(CACHE_DIR_VARIABLE, str(tmp_path / "cache"))
    return find_cache_dir() / "decoded"


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
