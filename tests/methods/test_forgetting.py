"""Tests of forgetting: what was never learnt comes first, then what was forgotten most often."""

from __future__ import annotations

from safetensors.torch import load_file

from ddbench.dataset import load_dataset
from ddbench.methods._coresets.training_scores import SCORES_FILE
from ddbench.runs.distill import distill

SETTINGS = {"score_network": "convnet-d1-w8", "score_epochs": 4}


def test_the_images_that_were_forgotten_most_often_are_chosen(own_cache):
    train = load_dataset("digits").train
    made = distill("forgetting", "digits", 5, config=SETTINGS)
    (path,) = own_cache.rglob(SCORES_FILE)
    scores = load_file(path)["forgotten"]
    chosen = made.provenance["selected_indices"]
    for label in range(10):
        mine = sorted((float(scores[i]) for i in chosen if train.labels[i] == label), reverse=True)
        assert len(mine) == 5
        assert mine == sorted(scores[train.of_class(label)].tolist(), reverse=True)[:5]


def test_smaller_sets_begin_larger_ones():
    small, large = (distill("forgetting", "digits", ipc, config=SETTINGS) for ipc in (2, 5))
    wanted = [large.provenance["selected_indices"][5 * label + i] for label in range(10) for i in range(2)]
    assert small.provenance["selected_indices"] == wanted
