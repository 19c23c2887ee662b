"""Representativeness, diversity, precision, recall, density and coverage of a distilled set; no student is trained.

Everything is measured class by class in the feature space of one extractor against the real training images of the
class, then averaged over classes, each counting the same. Sources and formulas: `ddbench.features.set_measures`.

The extractor is part of every metric's name, `coverage[convnet-d3]`: numbers of two extractors do not compare. It is
`convnet-d<depth>` by the size of the images, or what the evaluator's name says: `coverage:resnet18`, any registered
network, `coverage:timm/<name>`, not pretrained, or `coverage:pixels`.
"""

from __future__ import annotations

from typing import ClassVar

from ddbench.evaluator import EVALUATORS, DistillRun, Evaluator
from ddbench.features.feature_space import (
    FeatureSpace,
    check_extractor,
    default_extractor,
    find_feature_space,
    measure_set,
)
from ddbench.images import RealDataset
from ddbench.method import RunContext
from ddbench.records import Metric

# In the order of the table, with units: a fraction is shown in percent.
UNITS = {
    "representativeness": "cosine",
    "representativeness_p10": "cosine",
    "diversity": "1 - cosine",
    "diversity_nearest": "1 - cosine",
    "precision": "fraction",
    "recall": "fraction",
    "density": "ratio",
    "coverage": "fraction",
}


@EVALUATORS.register("coverage")
class Coverage(Evaluator):
    """Eight metrics, `NAME[EXTRACTOR]`, one number each.

    Read them with the number of images in mind: the precision of 10 images moves in steps of 10 percent, and their
    recall is near 100 percent for any set that is spread out, because balls to the fifth of nine others are large. M
    images that are drawn like the N real ones are expected to cover 1 - (N-1)...(N-5) / (M+N-1)...(M+N-5) of them
    (Naeem et al., lemma 2): 1 percent for IPC 10 on CIFAR-10. One image per class gives no recall and no diversity.

    An image with a soft label counts for the label's largest entry. A class that is left without images has
    representativeness -1 and coverage 0, and the other means leave it out.
    """

    takes_option: ClassVar[bool] = True

    def __init__(self, option: str | None = None) -> None:
        super().__init__(option)
        if option is not None:
            check_extractor(option)

    def prepare(self, real: RealDataset, ctx: RunContext) -> None:
        """Make the feature space where it is not there yet."""
        self._find_space(real, ctx)

    def evaluate(self, run: DistillRun, real: RealDataset, ctx: RunContext) -> tuple[Metric, ...]:
        """Measure the set against `real.train`; the test split is not read."""
        space = self._find_space(real, ctx)
        found = measure_set(run.distilled, real.info, space, ctx)
        ctx.log(f"extractor {space.name}", space.fingerprint or "no parameters")
        return tuple(
            Metric(
                name=f"{name}[{space.name}]",
                unit=unit,
                higher_is_better=True,
                values=(found[name],),
                basis=space.fingerprint,
            )
            for name, unit in UNITS.items()
            if name in found
        )

    def _find_space(self, real: RealDataset, ctx: RunContext) -> FeatureSpace:
        return find_feature_space(self.option or default_extractor(real.info), real.train, ctx)
