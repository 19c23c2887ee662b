"""MTT: learns images on which a student follows the training trajectories of experts trained on the real data.

Paper: Cazenavette, Wang, Torralba, Efros, Zhu, "Dataset Distillation by Matching Training Trajectories", CVPR 2022
(arXiv 2203.11932).
Checked against: GeorgeCazenavette/mtt-distillation, buffer.py and distill.py; settings also against the scripts of
dc_benchmark and FTD, because the paper's table has rates that explode.
Differs from it: the last images are returned and never the best by test accuracy; experts are drawn independently in
each step, not in a shuffled order; where batches do not divide the set the odd one comes last; without ZCA, CIFAR-100
has its own mean and std; a student rate that leaves a stated range stops the run; scaling and rotation sample with
`align_corners=False`, which on square images is the same; the gradient is computed in the `adjoint` way, which equals
the reference's and needs the memory of one step (see `meta_gradient`).
"""

from __future__ import annotations

from ddbench.method import METHODS
from ddbench.methods._trajectories.matching import MatchingConfig, MatchingMethod


@METHODS.register("mtt")
class TrajectoryMatching(MatchingMethod):
    """Trajectory matching with a learned student rate."""

    # Its defaults are those of MTT's CIFAR-10 row at IPC 1; `baselines/presets` has those of other rows.
    Config = MatchingConfig
