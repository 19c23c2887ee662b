"""A small data set's identity, for tests that make images of their own."""

from ddbench.images import DatasetInfo

INFO = DatasetInfo(
    name="toy",
    class_names=("a", "b", "c"),
    channels=3,
    image_size=8,
    mean=(0.4, 0.5, 0.6),
    std=(0.2, 0.3, 0.25),
    fingerprint="",
)
