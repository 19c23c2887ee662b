"""The original DiT checkpoint, converted key by key into diffusers' class.

Checked against: facebookresearch/DiT, models.py, for the names and layouts of its state dict.
"""

from __future__ import annotations

from pathlib import Path

from ddbench.diffusion.denoiser import Denoiser

HEADS = 16  # of DiT-L and DiT-XL; a state dict does not hold the number


def load_original(path: Path) -> Denoiser:
    """Return the denoiser of an original checkpoint; nothing in it is executed.

    Raises:
        DataMissingError: no such file.
        DataMismatchError: damaged, or not a DiT.
    """
    raise NotImplementedError
