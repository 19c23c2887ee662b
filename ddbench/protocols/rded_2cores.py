"""v1@a9512b72d904: `rded` in a third of the epochs, on convnet-d3-w32-bn, with a teacher of the same kind.

For two cores and images of up to 32 px. For trying things out: its numbers are comparable with nothing published.
"""

from __future__ import annotations

from ddbench.protocol import PROTOCOLS, Schedule
from ddbench.protocols._teacher import TEACHER
from ddbench.training_recipe import TeacherTraining

PROTOCOL = PROTOCOLS.register("rded-2cores")(
    PROTOCOLS.get("rded").model_copy(
        update={
            "name": "rded-2cores",
            "network": "convnet-d3-w32-bn",
            "schedule": Schedule(epochs=100, curve="half cosine"),
            "real_schedule": Schedule(epochs=20, curve="half cosine"),
            "teacher": TEACHER.model_copy(
                update={
                    "network": "convnet-d3-w32-bn",
                    "schedule": Schedule(epochs=8, curve="cosine"),
                    "training": TeacherTraining(lr=0.05, weight_decay=5e-4, batch_size=128),
                }
            ),
        }
    )
)
