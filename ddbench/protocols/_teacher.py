"""The teacher of the protocols that RDED, SRe2L and their relatives have, trained here where none is named.

Our choice, because the papers' are downloads; a protocol says in its own file where it has another.
"""

from __future__ import annotations

from ddbench.training_recipe import Schedule, Teacher, TeacherTraining

TEACHER = Teacher(
    network="resnet18-bn",
    schedule=Schedule(epochs=60, curve="cosine"),
    seed=0,
    temperature=20.0,
    loss="kl-unscaled",
    training=TeacherTraining(lr=0.1, weight_decay=5e-4, batch_size=128),
)
