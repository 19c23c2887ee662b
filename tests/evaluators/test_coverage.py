"""Tests of the coverage evaluator."""

from dataclasses import replace

import pytest
import torch

from ddbench import distill, evaluate
from ddbench.augment.zca import fit_zca, whiten
from ddbench.errors import BadInputError, UnknownNameError
from ddbench.evaluators.coverage import UNITS, Coverage
from ddbench.features import feature_space, set_measures
from ddbench.features.feature_space import as_normalised, find_feature_space
from ddbench.features.set_measures import TOLERANCE

SMALL = "convnet-d1-w8"
COUNTED = ("precision", "recall", "density", "coverage")

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def score(run, real, context):
    """A function that measures a set and returns the values by name, the extractor left out of it."""

    def measure(distilled, option=SMALL):
        metrics = Coverage(option).evaluate(replace(run, distilled=distilled), real, context)
        return {metric.name.partition("[")[0]: metric.values[0] for metric in metrics}

    return measure


@pytest.fixture
def same_set(score, real, context, monkeypatch):
    """A function that checks that two forms of one set, whose features differ by rounding, get the same numbers.

    Of an image and a ball, rounding can change on which side of the surface the image lies. Where features move by a
    fraction of their mean length, a distance moves by as much and the radius around a distilled image by twice that:
    the counts lie between those in balls that are smaller and larger by three times the fraction.
    """

    def features(distilled, space, label):
        if distilled.is_streamed:
            return space.real_class(label)[0]
        data = as_normalised(distilled, real.info, context.device)
        return space.embed(data, (distilled.labels == label).nonzero()[:, 0])

    def measure(found, expected, option=SMALL):
        space, moved = find_feature_space(option, real.train, context), 1e-7  # of a distance, by its matrix product
        for label in range(10):
            length = space.real_class(label)[0].norm(dim=1).mean()
            change = (features(found, space, label) - features(expected, space, label)).norm(dim=1).max()
            moved = max(moved, float(change / length))
        assert moved < TOLERANCE
        values, few, many = score(found, option), {}, {}
        for bound, shift in ((few, -3 * moved), (many, 3 * moved)):
            with monkeypatch.context() as patch:
                patch.setattr(set_measures, "TOLERANCE", TOLERANCE + shift)
                bound.update(score(expected, option))
        for name in COUNTED:
            assert few.pop(name) <= values.pop(name) <= many.pop(name)
        same(values, many)

    return measure


@pytest.fixture
def trainings(monkeypatch):
    """The extractors that were trained, by name."""
    names, train = [], feature_space.train_extractor

    def count(name, *arguments):
        names.append(name)
        return train(name, *arguments)

    monkeypatch.setattr(feature_space, "train_extractor", count)
    return names


def random_set(real, ipc, seed=0):
    return distill("random_real", real, ipc, seed, device="cpu")


def same(found, expected):
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_every_metric_names_its_extractor_and_its_parameters(run, real, context):
    run = replace(run, distilled=random_set(real, 3))
    metrics = Coverage(SMALL).evaluate(run, real, context)
    assert [metric.name for metric in metrics] == [f"{name}[{SMALL}]" for name in UNITS]
    assert [metric.unit for metric in metrics] == list(UNITS.values())
    (basis,) = {metric.basis for metric in metrics}
    assert len(basis) == 12
    (pixels, *_) = Coverage("pixels").evaluate(run, real, context)
    assert (pixels.name, pixels.basis) == ("representativeness[pixels]", "")


def test_one_image_per_class_gives_no_pairs(score, run):
    assert set(score(run.distilled)) == set(UNITS) - {"diversity", "diversity_nearest", "recall"}


def test_the_same_set_gets_the_same_numbers(score, real):
    assert score(random_set(real, 3)) == score(random_set(real, 3))


def test_an_extractor_is_trained_once_for_all_methods_and_seeds(score, real, run, context, trainings):
    score(random_set(real, 2))
    score(random_set(real, 2, seed=1))
    score(distill("k_center", real, 2, 5, {"feature_network": "mlp", "feature_epochs": 1}, "cpu"))
    other = replace(run, eval_seed=7, distill_seed=3)
    Coverage(SMALL).evaluate(other, real, replace(context, generator=torch.Generator().manual_seed(9)))
    assert trainings == [SMALL]


def test_another_test_split_changes_nothing(run, real, context):
    metrics = Coverage(SMALL).evaluate(run, real, context)
    assert Coverage(SMALL).evaluate(run, replace(real, test=real.train), context) == metrics


def test_the_set_is_measured_in_the_students_space_whatever_its_own(same_set, real):
    pixels = random_set(real, 3)
    normalised = replace(pixels, images=real.info.normalise(pixels.images), space="normalised")
    as_floats = replace(pixels, images=pixels.images.float() / 255)
    whitening = fit_zca(real.train)
    whitened = replace(pixels, images=whiten(pixels.images, whitening), space="zca", whitening=whitening)
    for other in (normalised, as_floats, whitened):
        same_set(other, pixels)
        same_set(other, pixels, "pixels")


def test_soft_labels_count_for_their_largest_entry(score, real):
    hard = random_set(real, 3)
    soft = torch.full((30, 10), 0.05).scatter_(1, hard.labels[:, None], 0.55)
    assert score(replace(hard, labels=soft)) == score(hard)


def test_a_class_without_images_lowers_coverage_and_representativeness(score, real):
    hard = random_set(real, 3)
    eights = torch.nn.functional.one_hot(hard.labels.where(hard.labels != 9, 8), 10).float()
    found, whole = score(replace(hard, labels=eights)), score(hard)
    assert found["coverage"] < whole["coverage"]
    assert found["representativeness"] < whole["representativeness"] - 0.1


def test_the_whole_real_set_scores_one(score, real):
    found = score(distill("full_real", real, 1, device="cpu"))
    same([found["representativeness"], found["representativeness_p10"]], [1, 1])
    assert (found["precision"], found["recall"], found["coverage"]) == (1, 1, 1)


def test_images_that_stand_for_the_real_ones_are_not_read(same_set, real):
    whole = distill("full_real", real, 1, device="cpu")
    streamed = replace(whole, images=whole.images.to("meta"))
    same_set(streamed, whole)


def test_ten_images_cover_more_than_one_repeated(score, real):
    ten, one = random_set(real, 10), random_set(real, 1)
    repeated = replace(one, images=one.images.repeat_interleave(10, 0), labels=one.labels.repeat_interleave(10), ipc=10)
    varied, poor = score(ten), score(repeated)
    for name in ("representativeness", "representativeness_p10", "coverage", "recall"):
        assert varied[name] > poor[name]
    assert varied["diversity_nearest"] > 0.01
    assert poor["diversity"] == pytest.approx(0, abs=1e-6)
    same(poor["representativeness"], score(one)["representativeness"])


def test_batch_norm_and_timm_networks_serve_too(score, run, monkeypatch):
    monkeypatch.setattr(feature_space, "UPDATES", 1)
    monkeypatch.setattr(feature_space, "BATCH_SIZE", 1024)
    for option in ("resnet_ap10-w4-bn", "timm/test_resnet"):
        assert 0 < score(run.distilled, option)["representativeness"] <= 1


def test_unknown_extractors_are_refused_before_any_work():
    with pytest.raises(UnknownNameError, match="unknown network 'resnett'"):
        Coverage("resnett")


def test_images_too_small_for_the_network_are_refused(run, real, context):
    with pytest.raises(BadInputError, match="needs images of at least 32 px"):
        Coverage("convnet-d5").evaluate(run, real, context)


@pytest.mark.parametrize("file", ["network.safetensors", "class_3.safetensors"])
@pytest.mark.parametrize("is_there", [True, False])
def test_a_damaged_extractor_is_made_again_and_told_in_one_line(file, is_there, run, real, context):
    expected = Coverage(SMALL).evaluate(run, real, context)
    path = find_feature_space(SMALL, real.train, context).folder / file
    path.write_bytes(b"damaged") if is_there else path.unlink()
    with pytest.warns(UserWarning, match=f"is made again: {file} is missing or altered$"):
        found = Coverage(SMALL).evaluate(run, real, context)
    assert found == expected


def test_training_the_extractor_is_billed_to_first_use(real, trainings):
    distilled = random_set(real, 1)
    result = evaluate(distilled, real, "quick", "mlp-w4", 1, device="cpu", evaluators=(f"coverage:{SMALL}",))
    assert trainings == [SMALL]
    assert result.metric("test_accuracy") is None
    assert result.metric(f"coverage[{SMALL}]").higher_is_better
    first_use, evaluated = result.phase("first_use").reading, result.phase("evaluate").reading
    assert evaluated.seconds < first_use.seconds


def test_results_of_two_extractors_have_keys_of_their_own(real):
    distilled = random_set(real, 1)
    keys = {
        evaluate(distilled, real, "quick", "mlp-w4", 1, device="cpu", evaluators=(name,)).key
        for name in (f"coverage:{SMALL}", "coverage:pixels")
    }
    assert len(keys) == 2
