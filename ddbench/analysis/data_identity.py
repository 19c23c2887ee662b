"""Which results are of the same data: by fingerprint, and by layout where one was recorded before content counted.

Fingerprints were once of classes, counts and image size alone. Such a result stands with newer ones of the same data
set and layout as long as these are of one content: then nothing speaks against it, and a note says so.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from ddbench.inputs.fingerprints import is_of_content
from ddbench.records import Result


class DataIdentity:
    """What data each of some results is of."""

    def __init__(self, results: Iterable[Result]) -> None:
        self._contents: dict[tuple[str, str], set[str]] = defaultdict(set)
        self._first: dict[str, Result] = {}
        for result in results:
            if result.dataset_fingerprint:
                self._first.setdefault(result.dataset, result)
            if is_of_content(result.dataset_fingerprint):
                self._contents[result.dataset, result.dataset_layout].add(result.dataset_fingerprint)

    def of(self, result: Result) -> str:
        """Return the fingerprint of a result's data.

        An older result has that of the newer ones it stands with. A cell that failed before its data was read has
        none: it stands with the first result of its data set.
        """
        found = result if result.dataset_fingerprint else self._first.get(result.dataset, result)
        if is_of_content(found.dataset_fingerprint):
            return found.dataset_fingerprint
        contents = self._contents.get((found.dataset, found.dataset_fingerprint), set())
        return next(iter(contents)) if len(contents) == 1 else found.dataset_fingerprint


def older_data_notes(results: Iterable[Result]) -> list[str]:
    """Return a note where results of some data were recorded before fingerprints were of its content, others after."""
    by_age: dict[bool, list[Result]] = defaultdict(list)
    for result in results:
        if result.dataset_fingerprint:
            by_age[is_of_content(result.dataset_fingerprint)].append(result)
    if not (by_age[True] and by_age[False]):
        return []
    count, total = len(by_age[False]), len(by_age[True]) + len(by_age[False])
    return [
        f"{count} of {total} results were recorded before fingerprints were of the content: that their pictures are "
        "the same was not checked; classes, counts and image size are."
    ]
