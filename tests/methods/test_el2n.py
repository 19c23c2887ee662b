"""Tests of EL2N: the largest error norms of each class are chosen."""

from __future__ import annotations

from safetensors.torch import load_file

from ddbench.dataset import load_dataset
from ddbench.methods._coresets.training_scores import SCORES_FILE
from ddbench.runs.distill import distill


def test_the_images_with_the_largest_errors_are_chosen(own_cache):
    train = load_dataset("digits").train
    made = distill("el2n", "digits", 4, config={"score_network": "convnet-d1-w8", "score_epochs": 2})
    (path,) = own_cache.rglob(SCORES_FILE)
    scores = load_file(path)["el2n"]
    chosen = made.provenance["selected_indices"]
    assert [int(train.labels[i]) for i in chosen] == [label for label in range(10) for _ in range(4)]
    for label in range(10):
        mine = sorted((float(scores[i]) for i in chosen if train.labels[i] == label), reverse=True)
        assert mine == sorted(scores[train.of_class(label)].tolist(), reverse=True)[:4]
