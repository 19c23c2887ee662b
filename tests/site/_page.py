"""Reads a page of a site: its tables by the rows and cells that they have, and the elements that it is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "input", "img", "br", "link"}


@dataclass
class Row:
    """A row of a table: its attributes, and the text of its cells with their attributes."""

    attributes: dict[str, str]
    cells: list[tuple[str, dict[str, str]]] = field(default_factory=list)


class Page(HTMLParser):
    """Every element must be closed where it belongs."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict]] = []
        self.articles: list[tuple[dict, list[Row]]] = [({}, [])]  # rows by the article that they are in
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag in VOID:
            return
        self.open.append(tag)
        if tag == "article":
            self.articles.append((dict(attrs), []))
        elif tag == "tr":
            self.articles[-1][1].append(Row(dict(attrs)))
        elif tag in ("td", "th"):
            self.articles[-1][1][-1].cells.append(("", dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("style", "script"):
            return
        self.text += data
        if {"td", "th"} & set(self.open):
            cells = self.articles[-1][1][-1].cells
            cells[-1] = (cells[-1][0] + data, cells[-1][1])

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]
