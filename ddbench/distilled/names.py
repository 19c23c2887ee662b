"""Files in the folder of a distilled set. Nothing here imports torch."""

from __future__ import annotations

TENSORS = "distilled.safetensors"
SIDECAR = "distilled.json"
PICTURE = "images.png"  # made for people from the other files, not part of the set
