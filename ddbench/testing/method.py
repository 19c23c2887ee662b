"""What every method must keep to."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Mapping
from dataclasses import FrozenInstanceError, fields, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from ddbench.dataset import load_dataset
from ddbench.distilled.dataset import DistilledDataset
from ddbench.host.cached_work import digest_of_file, is_kept, read_manifest
from ddbench.host.kept_files import digest_of_tensors
from ddbench.images import LabeledImages, RealDataset
from ddbench.inputs.tensors import read_tensors
from ddbench.method import Method, config_of, make_method
from ddbench.registry import METHODS
from ddbench.runs.distill import distill
from ddbench.runs.preparation import foundation_keys, prepared_key
from ddbench.testing.settings import changed_settings, setting_names
from ddbench.testing.trial import empty_cache, own_folders
from ddbench.testing.watching import later_clock, watched_datasets, watched_writes


@pytest.mark.usefixtures("own_cache")
class MethodContract:
    """What the runner, the tables and the users rely on. Set `name`; `settings` and `ipc` where the defaults are slow.

    Class attributes:
        name: registered name of the method.
        dataset: data set it is tried on.
        ipc: images per class of the trial.
        settings: settings of the trial; the method's `smoke_settings` where None.
        unchanged: settings that no trial changes, such as one that starts processes.
    """

    name: ClassVar[str]
    dataset: ClassVar[str] = "digits"
    ipc: ClassVar[int] = 2
    settings: ClassVar[dict[str, Any] | None] = None
    unchanged: ClassVar[tuple[str, ...]] = ()

    @pytest.fixture(scope="class")
    @classmethod
    def real(cls) -> RealDataset:
        """The data set of the trial."""
        return load_dataset(cls.dataset)

    @pytest.fixture(scope="class")
    @classmethod
    def distilled(cls, real: RealDataset, own_cache: Path) -> DistilledDataset:
        """The set that seed 0 gives."""
        return cls.run(real, seed=0)

    @classmethod
    def run(cls, real: RealDataset, seed: int, settings: Mapping[str, Any] | None = None) -> DistilledDataset:
        """Distil once in folders of its own, with the settings of the trial where none are given."""
        with own_folders():
            return distill(cls.name, real, cls.ipc, seed, cls.trial_settings() if settings is None else settings, "cpu")

    @classmethod
    def trial_settings(cls) -> dict[str, Any]:
        """Settings of the trial."""
        return METHODS.get(cls.name).smoke_settings if cls.settings is None else cls.settings

    def test_set_has_the_shape_asked_for(self, real: RealDataset, distilled: DistilledDataset) -> None:
        """`ipc` images of every class, sized like the real ones; a method without IPC says so by ipc None."""
        assert distilled.images.shape[1:] == real.train.images.shape[1:]
        assert distilled.num_classes == real.info.num_classes
        if METHODS.get(self.name).uses_ipc:
            assert distilled.ipc == self.ipc
            if distilled.labels.ndim == 1:
                counts = torch.bincount(distilled.labels, minlength=distilled.num_classes)
                assert counts.tolist() == [self.ipc] * distilled.num_classes
        else:
            assert distilled.ipc is None

    def test_set_is_on_the_cpu_without_gradient(self, distilled: DistilledDataset) -> None:
        """A finished set can be saved and shared between processes."""
        assert distilled.images.device.type == "cpu"
        assert not distilled.images.requires_grad

    def test_same_seed_gives_the_same_set(self, real: RealDataset, distilled: DistilledDataset) -> None:
        """Equal to the last bit."""
        again = self.run(real, seed=0)
        assert torch.equal(again.images, distilled.images)
        assert torch.equal(again.labels, distilled.labels)

    def test_other_seeds_give_other_sets(self, real: RealDataset, distilled: DistilledDataset) -> None:
        """At least one of three other seeds differs, unless the method draws nothing or keeps every real image."""
        method = METHODS.get(self.name)
        others = [self.run(real, seed).images for seed in (1, 2, 3)]
        same = [torch.equal(other, distilled.images) for other in others]
        if method.is_deterministic or not method.uses_ipc:
            assert all(same), "a method that says it is deterministic must give one set for every seed"
        else:
            assert not all(same), (
                "seeds 0 to 3 gave one set: draw from ctx.generator, or say is_deterministic = True if nothing is drawn"
            )

    def test_training_data_and_global_generators_are_untouched(self, real: RealDataset) -> None:
        """A method changes nothing that others share."""
        # Loaded afresh: in `real` an earlier run may have made already the change that a further run repeats.
        train = load_dataset(self.dataset).train
        images, labels = train.pixels(torch.arange(len(train))).clone(), train.labels.clone()
        before = _global_random_states()
        self.run(replace(real, train=train), seed=4)
        assert torch.equal(train.pixels(torch.arange(len(train))), images)
        assert torch.equal(train.labels, labels)
        assert _global_random_states() == before, "a method must draw from ctx.generator alone"

    def test_set_does_not_follow_from_global_generators(self, real: RealDataset, distilled: DistilledDataset) -> None:
        """Whatever the rest of the program has drawn, a method's set is the same."""
        before = random.getstate(), np.random.get_state(), torch.get_rng_state()
        try:
            random.seed(1)
            np.random.seed(1)
            torch.manual_seed(1)
            assert _is_same(self.run(real, seed=0), distilled), "a method must draw from ctx.generator alone"
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])
            torch.set_rng_state(before[2])

    def test_set_does_not_follow_from_the_clock(
        self, real: RealDataset, distilled: DistilledDataset, tmp_path: Path
    ) -> None:
        """A set made more than a year later, with an empty cache, is the same."""
        modules = {base.__module__ for base in METHODS.get(self.name).__mro__}
        with later_clock(modules), empty_cache(tmp_path):
            assert _is_same(self.run(real, seed=0), distilled), "a method must not read the clock"

    def test_only_the_training_split_is_seen(self, real: RealDataset, tmp_path: Path) -> None:
        """A method is given the training split and loads no data set itself, in which the test split would be."""
        with watched_datasets() as loaded, empty_cache(tmp_path):
            self.run(real, seed=0)
        assert loaded == [], f"a method must use the images it is given alone, it loaded {', '.join(loaded)}"

    def test_nothing_is_written_outside_its_context(self, real: RealDataset, tmp_path: Path) -> None:
        """Files go into `ctx.cache_dir`, not into the working folder, the home folder or the package."""
        with empty_cache(tmp_path), own_folders() as folder, watched_writes() as written:
            distill(self.name, real, self.ipc, 0, self.trial_settings(), "cpu")
            left = [str(path) for place in ("working", "home") for path in (folder / place).rglob("*")]
        found = [path.removeprefix(f"{folder}{os.sep}") for path in dict.fromkeys([*written, *left])]
        assert found == [], f"a method must write into ctx.cache_dir alone, it wrote {', '.join(found[:3])}"

    def test_what_is_prepared_depends_on_every_setting_but_those_named(self, real: RealDataset) -> None:
        """A setting that is not in `prepare_ignores` gives another prepared folder; one that is gives the same."""
        settings, train = self.trial_settings(), real.train
        key = prepared_key(self.name, make_method(self.name, dict(settings)), train, 0)
        for setting in setting_names(make_method(self.name)) if key else ():
            changed = changed_settings(self.name, settings, train, self.ipc, {setting})
            other = prepared_key(self.name, make_method(self.name, changed), train, 0)
            ignored = setting in METHODS.get(self.name).prepare_ignores
            if key is not None and other is not None and changed != dict(settings):
                assert (key.digest == other.digest) == ignored, f"setting {setting}"

    def test_a_kept_folder_gives_what_an_empty_cache_gives(
        self, real: RealDataset, distilled: DistilledDataset, tmp_path: Path
    ) -> None:
        """Settings that a prepared folder or foundation ignores change nothing in it: `prepare_ignores` is right."""
        settings, train = dict(self.trial_settings()), real.train
        method = make_method(self.name, settings)
        if prepared_key(self.name, method, train, 0) is None and not method.foundations():
            return
        guilty = self._wrongly_ignored(real, set(method.prepare_ignores), tmp_path)
        assert not guilty, f"what prepare() makes depends on {guilty}: take it out of prepare_ignores"
        guilty = self._wrongly_ignored(real, _outside_foundation(self.name, settings, train, self.ipc), tmp_path)
        assert not guilty, f"what the foundation holds depends on {guilty}: put it into the foundation's settings"

    def _wrongly_ignored(self, real: RealDataset, settings: set[str], tmp_path: Path) -> str:
        """Return those of the settings, with commas, with which kept work gives another set than work made anew."""
        usual, asked = dict(self.trial_settings()), settings - set(self.unchanged)

        def is_wrong(names: set[str]) -> bool:
            changed = changed_settings(self.name, usual, real.train, self.ipc, names)
            if changed == usual:
                return False
            kept, kept_files = self.run(real, 0, changed), _kept_files(self.name, changed, real.train)
            with empty_cache(tmp_path):
                fresh, fresh_files = self.run(real, 0, changed), _kept_files(self.name, changed, real.train)
            return kept_files != fresh_files or not _is_same(kept, fresh)

        if not is_wrong(asked):
            return ""
        return ", ".join([name for name in sorted(asked) if is_wrong({name})] or sorted(asked))

    def test_config_is_frozen_complete_and_storable(self) -> None:
        """Every setting has a default, none can be changed afterwards, all survive JSON."""
        method = make_method(self.name)
        stored = config_of(method)
        assert json.loads(json.dumps(stored)) == stored
        for field in fields(method.config)[:1]:
            with pytest.raises(FrozenInstanceError):
                setattr(method.config, field.name, None)
        assert set(method.prepare_ignores) <= setting_names(method)

    def test_too_many_images_are_refused_with_a_reason_or_made(self, real: RealDataset) -> None:
        """An IPC that real images cannot give is refused in words; a method that makes images may accept it."""
        too_many = int(real.train.class_counts().max()) + 1
        reason = make_method(self.name, self.trial_settings()).unsupported(real.train, too_many)
        if reason is not None:
            assert len(reason) > 10
        elif METHODS.get(self.name).uses_ipc:
            assert distill(self.name, real, too_many, 0, self.trial_settings(), "cpu").ipc == too_many

    def test_set_survives_a_round_trip_through_files(self, distilled: DistilledDataset, tmp_path: Path) -> None:
        """Saved and loaded, the set is the same."""
        loaded = DistilledDataset.load(distilled.save(tmp_path / "set"))
        assert torch.equal(loaded.images, distilled.images)
        assert torch.equal(loaded.labels, distilled.labels)
        assert dict(loaded.provenance) == json.loads(json.dumps(dict(distilled.provenance)))
        assert (loaded.space, loaded.student_lr, loaded.ipc) == (distilled.space, distilled.student_lr, distilled.ipc)


def _is_same(one: DistilledDataset, other: DistilledDataset) -> bool:
    return torch.equal(one.images, other.images) and torch.equal(one.labels, other.labels)


def _kept_files(name: str, settings: Mapping[str, Any], train: LabeledImages) -> list[dict[str, str]]:
    """Return the digests of the files that a method has prepared, by name, and those of its foundations."""
    method = make_method(name, dict(settings))
    keys = (prepared_key(name, method, train, 0), *foundation_keys(method, train))
    folders = [key.folder for key in keys if key is not None and is_kept(key)]
    return [{file: _content_digest(folder / file) for file in _listed(folder)} for folder in folders]


def _listed(folder: Path) -> list[str]:
    return sorted((read_manifest(folder) or {"files": {}})["files"])


def _content_digest(path: Path) -> str:
    """Return a digest of a file; of tensors by content, as what their files say of themselves has no order."""
    return digest_of_tensors(*read_tensors(path, "file")) if path.suffix == ".safetensors" else digest_of_file(path)


def _outside_foundation(name: str, settings: Mapping[str, Any], train: LabeledImages, ipc: int) -> set[str]:
    """Return the settings without whose value a method's foundations are known; none where it has none."""
    digests = _digests_of_foundations(make_method(name, dict(settings)), train)
    if not digests:
        return set()
    found = set()
    for setting in setting_names(make_method(name)):
        changed = changed_settings(name, settings, train, ipc, {setting})
        if _digests_of_foundations(make_method(name, changed), train) == digests:
            found.add(setting)
    return found


def _digests_of_foundations(method: Method, train: LabeledImages) -> list[str]:
    return [key.digest for key in foundation_keys(method, train)]


def _global_random_states() -> tuple[object, ...]:
    """Return the states of the generators that a whole process shares: torch's, Python's and NumPy's."""
    _, key, *rest = np.random.get_state()
    return torch.get_rng_state().tolist(), torch.initial_seed(), random.getstate(), np.asarray(key).tolist(), rest
