"""How long threads that wait for one another keep a core: briefly, after which other work may have it.

GNU's OpenMP, which torch computes with on Linux, lets them spin 300,000 times by default: where steps are short, nearly
all of the time. Beside other work, cores then turn for nothing while the thread that is waited for has none.
"""

from __future__ import annotations

import os

SPINS = "1000"  # docs/performance.md has the measurement
# By which a user may have said how threads are to wait.
SAID = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")


def spin_briefly() -> None:
    """Let threads of this process and of those it starts spin briefly, unless the user has said how they wait.

    It has an effect before torch is imported, and none on any number.
    """
    if not any(os.environ.get(name) for name in SAID):
        os.environ[SAID[0]] = SPINS
