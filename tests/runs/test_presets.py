"""Tests of presets: the shipped ones, strict files, and which settings win."""

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddbench.errors import BadInputError, DDBenchError, UnknownNameError
from ddbench.host.files import baselines_dir
from ddbench.method import config_of, make_method
from ddbench.registry import DATASETS
from ddbench.runs.presets import Preset, load_preset, preset_names, preset_settings

TEXT = 'method = "dm"\ndataset = "digits"\nipc = 1\nsource = "Our choice."\n[settings]\nsteps = 7\nimage_lr = 2\n'
ROWS = {
    "mtt_cifar10_ipc1": (50, 2, 2, 100, 1e-7, 0.01, True),
    "mtt_cifar10_ipc10": (30, 2, 20, 100, 1e-5, 0.001, True),
    "mtt_cifar10_ipc50": (30, 2, 40, 1000, 1e-5, 0.001, False),
}


@pytest.fixture
def write(tmp_path):
    """A function that writes a preset file and returns its path."""

    def make(text):
        path = tmp_path / "mine.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return make


@pytest.mark.parametrize("name", preset_names())
def test_shipped_preset_is_named_after_its_content_and_its_method_takes_it(name):
    preset = load_preset(name)
    assert name == f"{preset.method}_{preset.dataset}_ipc{preset.ipc}"
    assert preset.dataset in DATASETS.names()
    config = config_of(make_method(preset.method, preset.settings))
    assert {key: config[key] for key in preset.settings} == preset.settings
    assert preset.source.endswith(".")
    assert "\n" not in preset.source + preset.published


def test_folder_of_presets_holds_nothing_else():
    assert sorted(path.name for path in (baselines_dir() / "presets").iterdir()) == [
        f"{n}.toml" for n in preset_names()
    ]
    assert {"dm_cifar10_ipc50", "dc_cifar10_ipc10", "dsa_cifar10_ipc1", *ROWS} <= set(preset_names())


@pytest.mark.parametrize("name", ROWS)
def test_mtt_presets_have_the_values_of_the_scripts(name):
    config = make_method("mtt", load_preset(name).settings).config
    matching = (config.syn_steps, config.expert_epochs, config.max_start_epoch)
    assert (*matching, config.image_lr, config.lr_lr, config.start_lr, config.zca) == ROWS[name]


def test_preset_file_of_ones_own_is_named_by_its_path(write):
    path = write(TEXT)
    expected = Preset(method="dm", dataset="digits", ipc=1, source="Our choice.", settings={"steps": 7, "image_lr": 2})
    assert load_preset(path) == load_preset(str(path)) == expected


def test_settings_may_be_left_out(write):
    assert load_preset(write(TEXT.partition("[settings]")[0])).settings == {}


def test_given_settings_override_those_of_the_preset_and_leave_it_alone(write):
    path = write(TEXT)
    assert preset_settings(path, "dm", {}) == {"steps": 7, "image_lr": 2}
    assert preset_settings(path, "dm", {"steps": 9, "network": "mlp"}) == {"steps": 9, "image_lr": 2, "network": "mlp"}
    assert load_preset(path).settings == {"steps": 7, "image_lr": 2}


REFUSED = {
    "unknown key": (
        TEXT.replace("source", "sorce"),
        "unknown key 'sorce'; did you mean source",
    ),
    "a key too many": ("note = 1\n" + TEXT, "unknown key 'note'"),
    "a name": ('name = "x"\n' + TEXT, "unknown key 'name'"),
    "missing key": (TEXT.replace("ipc = 1\n", ""), "key 'ipc' is missing"),
    "duplicate key": ("ipc = 1\n" + TEXT, "is not TOML: Cannot overwrite a value"),
    "duplicate setting": (TEXT + "steps = 8\n", "is not TOML: Cannot overwrite a value"),
    "not TOML": ("method: dm\n", "is not TOML"),
    "a huge number": ("ipc = " + "9" * 5000, "is not TOML"),
    "empty file": ("", "key 'method' is missing"),
    "ipc quoted": (TEXT.replace("ipc = 1", 'ipc = "1"'), "ipc: .*integer.*got '1'"),
    "ipc zero": (TEXT.replace("ipc = 1", "ipc = 0"), "ipc: .*greater than.*got 0"),
    "ipc true": (TEXT.replace("ipc = 1", "ipc = true"), "ipc: .*integer.*got True"),
    "empty source": (TEXT.replace("Our choice.", ""), "source: .*at least 1 character"),
    "settings a number": (TEXT.partition("[settings]")[0] + "settings = 1\n", "settings: .*dictionary.*got 1"),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_malformed_preset_is_refused_in_one_line_that_names_the_file(write, text, message):
    path = write(text)
    with pytest.raises(BadInputError, match=message) as caught:
        load_preset(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_file_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(BadInputError, match=r"missing\.toml does not exist"):
        load_preset(tmp_path / "missing.toml")
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(BadInputError, match="must be a regular file, but is a folder"):
        load_preset(tmp_path / "folder.toml")
    (tmp_path / "latin.toml").write_bytes(b'method = "\xe9"\n')
    with pytest.raises(BadInputError, match=r"latin\.toml must be text in UTF-8, but line 1 is not"):
        load_preset(tmp_path / "latin.toml")


@pytest.mark.parametrize("name", ["mtt_cifar10_ipc2", "mtt-cifar10-ipc1", "../presets/mtt_cifar10_ipc1"])
def test_unknown_preset_is_refused_with_close_matches(name):
    with pytest.raises(UnknownNameError, match=r"unknown preset .*did you mean .*mtt_cifar10_ipc"):
        load_preset(name)


def test_preset_of_another_method_is_refused():
    with pytest.raises(BadInputError, match="preset dm_cifar10_ipc1 is for method dm, not dsa"):
        preset_settings("dm_cifar10_ipc1", "dsa", {})


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("steps", "step", r"mine\.toml: method dm has no setting 'step'; did you mean steps"),
        ("steps = 7", 'steps = "many"', r"mine\.toml: method dm: setting steps cannot be 'many'"),
        ("image_lr = 2", "image_lr = inf", r"mine\.toml: method dm: setting image_lr must be a finite number"),
    ],
)
def test_settings_that_the_method_does_not_take_are_refused_with_the_name_of_the_preset(write, old, new, message):
    path = write(TEXT.replace(old, new))
    with pytest.raises(BadInputError, match=message):
        preset_settings(path, "dm", {"steps": 3})


def test_reading_presets_imports_no_torch():
    program = (
        "import sys; from ddbench.runs.presets import load_preset, preset_names; "
        "[load_preset(name) for name in preset_names()]; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@settings(deadline=None, max_examples=60)
@given(st.text(st.characters(codec="utf-8"), max_size=40))
def test_any_text_is_a_preset_or_a_ddbench_error(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("presets") / "preset.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DDBenchError, match=r"preset\.toml"):
        load_preset(path)
