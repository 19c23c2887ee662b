"""Seeds that a t test needs to see an effect in 80 of 100 cases, as a Markdown table: noncentral t.

uv run python -m tests._seeds_needed
"""

from __future__ import annotations

import sys
from itertools import count

from scipy.stats import nct, t

POWER = 0.8
LEVEL = 0.05


def power(effect: float, n: int, sides: int, level: float) -> float:
    """Chance that a one-sided t test of n values a side sees an effect given in standard deviations of a value."""
    df = sides * (n - 1)
    return float(nct.sf(t.isf(level, df), df, effect * (n / sides) ** 0.5))


def seeds(effect: float, sides: int, level: float) -> int:
    """The fewest values a side that reach the power."""
    return next(n for n in count(3) if power(effect, n, sides, level) >= POWER)


if __name__ == "__main__":
    write = sys.stdout.write
    write("| effect / sd | pairs | a side, unpaired | pairs, family of 10 | a side, unpaired, family of 10 |\n")
    write("| --: | --: | --: | --: | --: |\n")
    for effect in (4.0, 3.0, 2.0, 1.5, 1.0, 0.75, 0.5):
        cells = [seeds(effect, sides, level) for level in (LEVEL, LEVEL / 10) for sides in (1, 2)]
        write(f"| {effect:g} | {' | '.join(map(str, cells))} |\n")
