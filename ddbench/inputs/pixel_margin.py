"""How far float pixels of a distilled set may lie outside 0..1. Nothing here imports torch."""

from __future__ import annotations

UNBOUNDED = "unbounded"  # a `pixel_margin` without end: of methods that learn pixels freely
PIXEL_MARGIN = 3.0  # widths of the range 0..1; our choice: DM and DC leave it by one on digits, pixels 0..255 by 60
