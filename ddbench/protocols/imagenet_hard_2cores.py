"""v1@874f8e12471d: `imagenet-hard` in a tenth of the epochs, on convnet-d4-w32.

For two cores and images of 64 px: the ConvNet whose depth fits that size, at a quarter of the usual width. For trying
things out: its numbers are comparable with nothing published.
"""

from __future__ import annotations

from ddbench.protocol import PROTOCOLS, Schedule
from ddbench.training_recipe import ScheduleByIpc

PROTOCOL = PROTOCOLS.register("imagenet-hard-2cores")(
    PROTOCOLS.get("imagenet-hard").model_copy(
        update={
            "name": "imagenet-hard-2cores",
            "version": 1,
            "resize": "",
            "network": "convnet-d4-w32",
            "schedule": ScheduleByIpc(
                steps=((1, 300), (10, 200), (50, 150), (200, 100), (500, 50)),
                beyond=30,
                drops=((2, 3), (5, 6)),
                factor_at_100_classes=None,
            ),
            "real_schedule": Schedule(epochs=30, drop_at=20, later_drops=(25,)),
        }
    )
)
