"""Fingerprints of data sets: those of their content, and older ones."""

from __future__ import annotations

# Fingerprints that begin so are of pixels, labels and class names; older ones, 16 bare digits, were of counts alone.
CONTENT_PREFIX = "c1-"


def is_of_content(fingerprint: str) -> bool:
    """Return whether a fingerprint follows from a data set's content, as all have since version 0.3."""
    return fingerprint.startswith(CONTENT_PREFIX)
