"""The page of a method: where it stands, curves, cost, published numbers, pictures, what stands behind each number."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from ddbench.analysis.aggregate import Entry
from ddbench.registry import METHODS
from ddbench.report.circumstances import describe
from ddbench.report.curves import plot_curves
from ddbench.report.pictures import Gallery, Infos, gallery_of
from ddbench.report.plot_style import INK, number_rows, place_rows, plot_settings
from ddbench.report.plots import Drawing, Plot, draw_inline
from ddbench.report.views import Numbers
from ddbench.site.rankings import Ranking, Row
from ddbench.tables.gain_column import BASELINE
from ddbench.tables.label_regimes import regimes_frame
from ddbench.tables.layout import cost_frame, entry_text, name_machines
from ddbench.tables.table import Panel

CAPTION = "Test accuracy by images per class, with 95 % intervals over seeds"


@dataclass(frozen=True)
class Standing:
    """A row of a ranking, seen from the method."""

    ranking: Ranking
    row: Row


@dataclass(frozen=True, eq=False)
class Part:
    """What a page says of one data set, protocol and student network.

    Attributes:
        id: short name, unique in the page.
        title: of the panel.
        entries: of the method alone.
        standings: its places, by IPC.
        frames: captions and tables of it: cost, gains by labels, numbers beside published ones.
        machines: letters of the costs, by machine.
        sources: of the published numbers.
        drawing: accuracy by IPC beside random real images; None with a single IPC.
        numbers: what stands behind each entry.
    """

    id: str
    title: str
    entries: tuple[Entry, ...]
    standings: tuple[Standing, ...]
    frames: tuple[tuple[str, pd.DataFrame], ...]
    machines: Mapping[str, str]
    sources: tuple[str, ...]
    drawing: Drawing | None
    numbers: tuple[Numbers, ...]


@dataclass(frozen=True, eq=False)
class MethodPage:
    """All that is shown of one method; `file` is the name of its page, `about` what the method is, in a line."""

    name: str
    file: str
    about: str
    parts: tuple[Part, ...]
    gallery: Gallery

    @property
    def standings(self) -> tuple[Standing, ...]:
        """Its places in all rankings."""
        return tuple(standing for part in self.parts for standing in part.standings)

    @property
    def rankings(self) -> int:
        """In how many rankings it stands; some hold several of its settings."""
        return len({standing.ranking.id for standing in self.standings})

    @property
    def best(self) -> int:
        """In how many rankings of several entries it has the highest mean, or one not distinguishable from it."""
        marks = ((standing.ranking.id, standing.row.mark) for standing in self.standings)
        return len({name for name, mark in marks if mark is not None and mark.standing in ("best", "same")})


class Pages:
    """The pages of a site's methods, made one after the other."""

    def __init__(
        self, panels: Sequence[Panel], rankings: Iterable[Ranking], folders: Mapping[str, Path], infos: Infos
    ) -> None:
        self._folders, self._infos = folders, infos
        self._styles = number_rows(panels)
        self._panels: dict[str, list[Panel]] = {}
        for panel in panels:
            for name in dict.fromkeys(entry.method for entry in panel.entries):
                self._panels.setdefault(name, []).append(panel)
        self._standings: dict[int, Standing] = {
            id(row.entry): Standing(ranking, row) for ranking in rankings for row in ranking.rows
        }
        self.files = name_files(self._panels)

    def make(self, name: str) -> MethodPage:
        """Return the page of a method that has results."""
        parts = tuple(self._part(f"p{index}", name, panel) for index, panel in enumerate(self._panels[name]))
        about = METHODS.summary(name).replace("`", "") if name in METHODS.names() else ""
        return MethodPage(name, self.files[name], about, parts, gallery_of(parts, self._folders, self._infos))

    def _part(self, id_: str, name: str, panel: Panel) -> Part:
        own = tuple(entry for entry in panel.entries if entry.method == name)
        places = [self._standings[id(entry)] for entry in own if id(entry) in self._standings]
        published = _published_of(own, panel)
        frames = (
            ("Cost of a set and of its evaluation", cost_frame(own)),
            ("Gain over random real images, by labels (points)", regimes_frame(own)),
            ("Beside published numbers (%)", published),
        )
        shown = [*(standing.row.published for standing in places), *_texts(published)]
        cited = {number for text in shown for number in re.findall(r" \[(\d+)\]$", text)}
        first = own[0].results[0]
        where = f"{first.dataset}, {first.protocol}, {first.network}"
        return Part(
            id=id_,
            title=panel.title,
            entries=own,
            standings=tuple(places),
            frames=tuple((caption, frame) for caption, frame in frames if len(frame)),
            machines=name_machines(own),
            sources=tuple(note for note in panel.notes if (found := _SOURCE.match(note)) and found[1] in cited),
            drawing=self._draw(id_, name, panel),
            numbers=tuple(
                Numbers(
                    f"{id_}c{position}",
                    f"{entry.name}, {where}",
                    entry_text(entry),
                    self._standings[id(entry)].row.mark if id(entry) in self._standings else None,
                    describe(entry),
                )
                for position, entry in enumerate(own)
            ),
        )

    def _draw(self, id_: str, name: str, panel: Panel) -> Drawing | None:
        """Return the curve of a method with random real images and the whole set; None with fewer than two IPC."""
        chosen = [entry for entry in panel.entries if entry.method in (name, BASELINE) or entry.ipc is None]
        ipcs = {entry.ipc for entry in chosen if entry.method == name and entry.accuracy and entry.ipc is not None}
        if len(ipcs) < 2:
            return None
        part = replace(panel, entries=tuple(chosen))
        with plot_settings(INK):
            figure = plot_curves(part, place_rows(part, self._styles))
        return draw_inline(id_, [Plot("curve", CAPTION, figure)])[0]


_SOURCE = re.compile(r"\[(\d+)\] ")


def name_files(methods: Iterable[str]) -> dict[str, str]:
    """Return a file name for each method's page: its own letters and digits, and a digest where that is not all."""
    files: dict[str, str] = {}
    taken: set[str] = set()
    for name in sorted(methods):
        stem = re.sub(r"[^a-z0-9_-]+", "-", name.casefold())[:60].strip("-")
        if not stem or stem != name or stem in taken:
            stem = f"{stem or 'method'}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
        taken.add(stem)
        files[name] = f"{stem}.html"
    return files


def _published_of(own: Sequence[Entry], panel: Panel) -> pd.DataFrame:
    """Return the rows of a panel's comparison with published numbers that are of these entries."""
    if not len(panel.published):
        return panel.published
    names = {f"{entry.method} {entry.config}".strip() for entry in own}
    return panel.published[panel.published["method"].isin(names)]


def _texts(frame: pd.DataFrame) -> list[str]:
    return [str(value) for row in frame.to_numpy().tolist() for value in row]
