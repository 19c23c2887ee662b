"""What a notebook shows of an object: a heading, a few facts, perhaps a picture. Nothing is imported for it."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

STYLE = "border-collapse:collapse;margin:0.3em 0"
CELL = "text-align:left;padding:0.1em 0.8em 0.1em 0;border:none;vertical-align:top"


def facts_html(heading: str, facts: Mapping[str, object], picture: str = "") -> str:
    """Return a snippet of HTML; facts that are empty are left out.

    Args:
        heading: first line, in bold.
        facts: by name; their text is escaped.
        picture: data URI of an image to show below, if any.
    """
    rows = "".join(
        f'<tr><th scope="row" style="{CELL}">{escape(name)}</th><td style="{CELL}">{escape(str(value))}</td></tr>'
        for name, value in facts.items()
        if value not in (None, "", (), [])
    )
    image = f'<img src="{picture}" alt="{escape(heading)}" style="max-width:100%">' if picture else ""
    return f'<div><strong>{escape(heading)}</strong><table style="{STYLE}">{rows}</table>{image}</div>'
