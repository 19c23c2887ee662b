"""`ddbench run` as a process of its own, on images that are not held in memory and under a cut protocol.

`python -m tests.runs._thousand_classes ARGUMENTS OF DDBENCH`. Its last line says what it took: the largest resident
memory of the process and of any it has started, in sum, how many searches there were, and seconds of the first listing.
"""

from __future__ import annotations

import json
import resource
import sys
import time

from ddbench.cli.main import main
from ddbench.datasets import _image_files, _imagenet_layout
from ddbench.host import meter
from ddbench.image_files import class_folders
from ddbench.protocol import PROTOCOLS, Schedule

SHORT = Schedule(epochs=2, drop_at=1)
PROTOCOL = PROTOCOLS.get("quick").model_copy(
    update={"name": "cut", "network": "convnet-d2-w8", "schedule": SHORT, "real_schedule": SHORT}
)


def run(arguments: list[str]) -> int:
    """Run ddbench and print what it took, as JSON."""
    PROTOCOLS.register(PROTOCOL.name)(PROTOCOL)
    _image_files.IN_MEMORY_BYTES = 0
    searches, seconds, peaks = [], [], []
    plain_reset = meter._reset_host_peak

    def reset():
        peaks.append(meter._host_peak_bytes() or 0)  # which would be forgotten, by `getrusage` too
        return plain_reset()

    meter._reset_host_peak = reset
    plain_search, plain_read = class_folders._search, _imagenet_layout._read_folders

    def search(*given, **named):
        searches.append(1)
        return plain_search(*given, **named)

    def read_folders(*given, **named):
        started = time.perf_counter()
        found = plain_read(*given, **named)
        seconds.append(time.perf_counter() - started)
        return found

    class_folders._search, _imagenet_layout._read_folders = search, read_folders
    code = main(arguments)
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    peak = max([*peaks, meter._host_peak_bytes() or 0]) + children
    took = {"code": code, "peak_bytes": peak, "searches": len(searches), "listing_seconds": seconds[0]}
    print(json.dumps(took))  # noqa: T201
    return code


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
