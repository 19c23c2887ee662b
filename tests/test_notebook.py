"""What people see of ddbench's objects in a notebook or a shell: names, short texts, HTML, images one by one."""

from __future__ import annotations

import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

import ddbench
from ddbench.distilled.dataset import DistilledDataset
from ddbench.errors import BadInputError
from ddbench.images import RealDataset
from ddbench.records import Result

RECORDED = Path(__file__).parents[1] / "baselines" / "results" / "xeon_2_cores"


class Balanced(HTMLParser):
    """Counts tags that are open."""

    def __init__(self, text):
        super().__init__()
        self.open, self.seen = [], set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture
def soft():
    labels = torch.full((4, 2), 0.5)
    return DistilledDataset(torch.zeros(4, 1, 8, 8), labels, 2, 2, provenance={"method": "<b>dm", "dataset": "digits"})


@pytest.fixture
def results():
    return ddbench.read_results(RECORDED / "cifar10_small.jsonl")


@pytest.mark.parametrize("module", ["ddbench", "ddbench.plugin"])
def test_tab_shows_the_public_names_and_loads_nothing(module):
    program = f"import sys, {module} as m; print(dir(m) == sorted(m.__all__), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]
    assert {"distill", "table", "compare", "plot", "read_results", "to_pandas"} <= set(dir(ddbench))


def test_reprs_are_one_short_line(soft, results, digits, toy):
    real = RealDataset(toy, toy, toy.info)
    for thing in (soft, digits, real, results[0], ddbench.table(results), ddbench.table(results).panels[0]):
        assert len(repr(thing)) < 200
        assert "\n" not in repr(thing)
    assert repr(digits) == "LabeledImages(digits: 1,442 images 1x8x8 in 10 classes)"
    assert repr(soft) == "DistilledDataset(4 images 1x8x8, IPC 2, 2 classes, soft labels, normalised, <b>dm on digits)"
    assert repr(results[0]).endswith(" %)")


def test_html_is_whole_escaped_and_shows_images_of_a_set(soft, results, digits, toy):
    for thing in (soft, digits, RealDataset(toy, toy, toy.info), results[0], ddbench.table(results, published=True)):
        text = thing._repr_html_()
        assert Balanced(text).open == []
        assert "<b>dm" not in text
    assert "img" in Balanced(soft._repr_html_()).seen
    assert "&lt;b&gt;dm" in soft._repr_html_()


def test_images_come_one_by_one_with_their_labels(soft, digits):
    image, label = digits[3]
    assert (tuple(image.shape), image.dtype, type(label)) == ((1, 8, 8), torch.uint8, int)
    assert label == int(digits.labels[3])
    assert torch.equal(digits[-1][0], digits.pixels(torch.tensor([len(digits) - 1]))[0])
    assert len(list(soft)) == len(soft) == 4
    assert soft[0][1].tolist() == [0.5, 0.5]
    for thing in (digits, soft):
        with pytest.raises(IndexError):
            thing[len(thing)]
        with pytest.raises(BadInputError, match="come one by one, by a whole number"):
            thing[0:2]
    images, labels = next(iter(DataLoader(digits, batch_size=5)))
    assert torch.equal(images, digits.pixels(torch.arange(5)))
    assert torch.equal(labels, digits.labels[:5])
    assert next(iter(DataLoader(soft, batch_size=4)))[1].shape == (4, 2)


def test_results_are_tables_frames_comparisons_and_plots(results):
    frame = ddbench.to_pandas(results)
    assert len(frame) == len(results)
    assert frame["accuracy_percent"].tolist() == [100 * result.accuracy for result in results]
    assert ddbench.to_pandas(RECORDED / "cifar10_small.jsonl").equals(frame)
    assert ddbench.to_pandas(results[0])["method"].tolist() == [results[0].method]
    table = ddbench.table(results, gain=True)
    assert "Less random_real (points)" in dict(table.panels[0].parts)
    (compared,) = ddbench.compare("dm", "random_real", results).panels[0].rows
    assert compared["ipc"] == 1
    figure = ddbench.plot(table)
    assert figure.axes[0].get_xlabel() == "images per class"
    with pytest.raises(BadInputError, match="give no plot 'colour'; they give: accuracy"):
        ddbench.plot(results, "colour")


def test_accuracy_of_a_result_without_one_is_none(results):
    failed = results[0].model_copy(update={"status": "failed", "metrics": ()})
    assert isinstance(failed, Result)
    assert failed.accuracy is None
    assert repr(failed).endswith(": failed)")
    assert ddbench.to_pandas(failed)["accuracy_percent"].isna().all()
