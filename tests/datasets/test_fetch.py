from __future__ import annotations

from urllib.error import URLError

import pytest

from ddbench.datasets._fetch import missing, read_or_fetch
from ddbench.errors import DataMismatchError, DataMissingError


class Shelf:
    """Data that is there only after it was fetched."""

    def __init__(self, error: Exception | None = None, *, filled: bool = False) -> None:
        self.filled, self.error, self.fetched = filled, error, 0

    def read(self) -> str:
        if not self.filled:
            raise DataMissingError("not there")
        return "data"

    def fetch(self) -> None:
        self.fetched += 1
        if self.error:
            raise self.error
        self.filled = True


def test_what_is_there_is_read_without_fetching():
    shelf = Shelf(filled=True)
    assert read_or_fetch("x", shelf.read, shelf.fetch, download=True) == "data"
    assert shelf.fetched == 0


def test_nothing_is_fetched_unless_asked():
    shelf = Shelf()
    with pytest.raises(DataMissingError, match="not there"):
        read_or_fetch("x", shelf.read, shelf.fetch, download=False)
    assert shelf.fetched == 0


def test_missing_data_is_fetched_once_when_asked():
    shelf = Shelf()
    assert read_or_fetch("x", shelf.read, shelf.fetch, download=True) == "data"
    assert shelf.fetched == 1


def test_data_that_stays_damaged_is_reported_after_one_fetch():
    def read() -> str:
        raise DataMismatchError("file a is damaged")

    shelf = Shelf()
    with pytest.raises(DataMismatchError, match="file a is damaged"):
        read_or_fetch("x", read, shelf.fetch, download=True)
    assert shelf.fetched == 1


@pytest.mark.parametrize(
    "error",
    [URLError("no route"), RuntimeError("tried mirror one\ntried mirror two"), OSError(), PermissionError(13, "no")],
)
def test_a_failed_fetch_is_one_line(error):
    shelf = Shelf(error)
    with pytest.raises(DataMissingError, match=r"^cannot fetch dataset x: [^\n]*by hand$"):
        read_or_fetch("x", shelf.read, shelf.fetch, download=True)


def test_the_message_for_missing_data_names_folder_and_command(tmp_path):
    message = str(missing("cifar10", tmp_path, "a.bin"))
    assert str(tmp_path) in message
    assert "a.bin" in message
    assert message.endswith("ddbench doctor --download cifar10")
