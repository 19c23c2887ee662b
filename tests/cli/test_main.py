"""The command line: what people see, exit codes, and one clear line for every mistake."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from ddbench.cli.commands.distill import parse_settings
from ddbench.cli.main import main
from ddbench.distilled.files import load_distilled
from ddbench.distilled.names import SIDECAR, TENSORS
from ddbench.errors import BadInputError

pytestmark = pytest.mark.usefixtures("own_cache")

DISTILL = ["distill", "random_real", "--dataset", "digits", "--ipc", "1", "--device", "cpu"]


@pytest.fixture
def distilled(tmp_path):
    assert main([*DISTILL, "--out", str(tmp_path / "set")]) == 0
    return tmp_path / "set"


def refused(capsys, arguments, *words):
    """Run a command that must fail with exit code 2 and one line holding all `words`."""
    capsys.readouterr()
    assert main(arguments) == 2
    captured = capsys.readouterr()
    lines = captured.err.strip().splitlines()
    assert len(lines) == 1, captured.err
    for word in words:
        assert word in lines[0]


def test_distil_evaluate_and_table(distilled, tmp_path, capsys):
    assert (distilled / "images.png").stat().st_size > 0
    results = str(tmp_path / "results")
    command = ["evaluate", str(distilled), "--protocol", "quick", "--students", "2", "--results", results]
    assert main([*command, "--network", "convnet-d1-w8"]) == 0
    assert "students:" in capsys.readouterr().out
    assert main(["table", results, "--format", "csv"]) == 0
    assert "random_real" in capsys.readouterr().out
    assert main(["table", results, "--format", "html", "-o", str(tmp_path / "t.html")]) == 0
    assert "<table" in (tmp_path / "t.html").read_text()
    assert main(["export", results, "-o", str(tmp_path / "lines.jsonl")]) == 0
    assert len((tmp_path / "lines.jsonl").read_text().splitlines()) == 1


def test_evaluators_can_be_chosen(distilled, capsys):
    command = ["evaluate", str(distilled), "--network", "convnet-d1-w8", "--evaluator"]
    assert main([*command, "coverage:pixels", "--evaluator", "wall_clock"]) == 0
    printed = capsys.readouterr().out
    assert "coverage[pixels] (%)" in printed
    assert "no accuracy" in printed
    assert main([*command, "coverge"]) == 2
    assert "unknown evaluator 'coverge'; did you mean coverage" in capsys.readouterr().err


def test_evaluating_twice_prints_the_same_accuracies(distilled, capsys):
    outputs = []
    for _ in range(2):
        main(["evaluate", str(distilled), "--protocol", "quick", "--network", "convnet-d1-w8", "--students", "1"])
        outputs.append([line for line in capsys.readouterr().out.splitlines() if line.startswith("students:")])
    assert outputs[0] == outputs[1] != []


def test_run_reports_cells_without_numbers_and_exits_with_one(tmp_path, capsys):
    suite = tmp_path / "suite.yaml"
    content = {
        "name": "s",
        "protocol": "quick",
        "datasets": ["digits"],
        "methods": ["random_real"],
        "ipc": [1, 999],
        "networks": ["convnet-d1-w8"],
    }
    suite.write_text(yaml.safe_dump(content))
    assert main(["run", str(suite), "--results", str(tmp_path / "r"), "--device", "cpu"]) == 1
    assert "skipped: random_real on digits, ipc 999: " in capsys.readouterr().err


def test_list_names_everything_without_importing_torch():
    program = (
        "import sys; from ddbench.cli.main import main; code = main(['list']); "
        "assert 'torch' not in sys.modules, 'torch was imported'; sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name in ("dm", "cifar10", "convnet", "accuracy", "dsa", "mtt_cifar10_ipc1"):
        assert f"\n{name} " in done.stdout


def test_help_of_every_command_is_printed(capsys):
    commands = ["list", "distill", "evaluate", "run", "table", "export", "check", "doctor", "quickstart"]
    for command in commands:
        assert main([command, "--help"]) == 0
        assert "Usage: ddbench" in capsys.readouterr().out


def test_unknown_names_are_refused_with_suggestions(capsys, tmp_path):
    out = ["--out", str(tmp_path / "x")]
    refused(capsys, ["distill", "random_reel", "--dataset", "digits", "--ipc", "1", *out], "random_real")
    refused(capsys, ["distill", "dm", "--dataset", "cifar", "--ipc", "1", *out], "cifar10")
    refused(capsys, ["check", "random"], "random_real")
    refused(capsys, ["lst"], "list")
    refused(capsys, ["list", "method"], "methods")


def test_wrong_settings_are_refused(capsys, tmp_path):
    command = ["distill", "dm", "--dataset", "digits", "--ipc", "1", "--out", str(tmp_path / "x"), "--set"]
    refused(capsys, [*command, "step=5"], "no setting 'step'", "steps")
    refused(capsys, [*command, "steps=many"], "steps", "many")
    refused(capsys, [*command, "steps=0"], "steps", "greater than 0")
    refused(capsys, [*command, "steps"], "key=value")
    assert not (tmp_path / "x").exists()


PRESET = """method = "dm"
dataset = "digits"
ipc = 1
source = "Made for this test."
[settings]
network = "convnet-d1-w8"
steps = 2
image_lr = 3.0
"""


@pytest.fixture
def preset(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(PRESET)
    return path


def distill_with(preset, tmp_path, *more, method="dm", ipc="1"):
    command = ["distill", method, "--dataset", "digits", "--ipc", ipc, "--device", "cpu", "--preset", str(preset)]
    return [*command, "--out", str(tmp_path / "x"), *more]


def test_set_overrides_the_preset_and_the_preset_the_defaults(preset, tmp_path, capsys):
    assert main(distill_with(preset, tmp_path, "--set", "steps=1")) == 0
    config = load_distilled(tmp_path / "x").provenance["config"]
    assert (config["steps"], config["image_lr"], config["image_momentum"]) == (1, 3.0, 0.5)
    assert capsys.readouterr().err == ""


def test_preset_for_another_ipc_is_used_with_a_note(preset, tmp_path, capsys):
    assert main(distill_with(preset, tmp_path, ipc="2")) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("mine.toml is for digits at ipc 1, and is used for digits at ipc 2")
    assert len(load_distilled(tmp_path / "x").images) == 20


def test_wrong_presets_are_refused(preset, tmp_path, capsys):
    refused(capsys, distill_with("dm_cifar_ipc1", tmp_path), "unknown preset 'dm_cifar_ipc1'", "dm_cifar10_ipc1")
    refused(capsys, distill_with(tmp_path / "none.toml", tmp_path), "none.toml does not exist")
    refused(capsys, distill_with("dm_cifar10_ipc1", tmp_path, method="dsa"), "is for method dm, not dsa")
    refused(capsys, distill_with(preset, tmp_path, "--set", "step=1"), "no setting 'step'", "steps")
    preset.write_text(PRESET + "imagelr = 1.0\n")
    refused(capsys, distill_with(preset, tmp_path), "mine.toml: method dm has no setting 'imagelr'", "image_lr")
    preset.write_text("sauce = 1\n" + PRESET)
    refused(capsys, distill_with(preset, tmp_path), "mine.toml: unknown key 'sauce'", "source")
    preset.write_text("ipc = 1\n" + PRESET)
    refused(capsys, distill_with(preset, tmp_path), "mine.toml is not TOML", "line 4")
    assert not (tmp_path / "x").exists()


def test_presets_are_listed_with_their_source(capsys):
    assert main(["list", "presets"]) == 0
    out = capsys.readouterr().out
    assert "dm_cifar10_ipc1 " in out
    assert "Not run at full length" in " ".join(out.split())


@pytest.mark.parametrize("ipc", ["0", "100000"])
def test_impossible_ipc_is_refused(capsys, tmp_path, ipc):
    refused(capsys, [*DISTILL[:-4], "--ipc", ipc, "--out", str(tmp_path / "x")], "ipc must be", ipc)


def test_missing_data_names_the_command_that_fetches_it(capsys, tmp_path):
    command = ["distill", "dm", "--dataset", "cifar10", "--ipc", "1", "--out", str(tmp_path / "x")]
    refused(capsys, [*command, "--data-dir", str(tmp_path)], "ddbench doctor --download cifar10")


def test_missing_gpu_is_refused(capsys, tmp_path):
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    refused(capsys, [*DISTILL[:-1], "cuda", "--out", str(tmp_path / "x")], "--device cpu")
    refused(capsys, [*DISTILL[:-1], "tpu", "--out", str(tmp_path / "x")], "cpu, cuda")


def test_out_folder_of_other_content_is_left_alone(capsys, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    refused(capsys, [*DISTILL, "--out", str(tmp_path / "mine")], "not a distilled set")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


def test_unwritable_results_are_refused(capsys, distilled, tmp_path):
    (tmp_path / "file").write_text("")
    refused(capsys, ["evaluate", str(distilled), "--results", str(tmp_path / "file" / "r")], "writable folder")


def test_damaged_sets_are_refused(capsys, distilled):
    tensors = distilled / TENSORS
    whole, sidecar = tensors.read_bytes(), (distilled / SIDECAR).read_text()
    tensors.write_bytes(whole[:-7])
    refused(capsys, ["evaluate", str(distilled)], "truncated or altered")
    tensors.write_bytes(whole)
    (distilled / SIDECAR).write_text(sidecar.replace('"num_classes": 10', '"num_classes": 7'))
    refused(capsys, ["evaluate", str(distilled)], "was altered: its digest differs")
    (distilled / SIDECAR).write_text("{")
    refused(capsys, ["evaluate", str(distilled)], "damaged")


def test_set_with_nan_pixels_is_refused(capsys, distilled):
    from ddbench.host.files import sha256_of

    old = sha256_of(distilled / TENSORS)
    content = load_file(distilled / TENSORS)
    content["images"] = content["images"].float().index_fill_(0, torch.tensor([3]), float("nan"))
    save_file(content, distilled / TENSORS)
    sidecar = json.loads((distilled / SIDECAR).read_text().replace(old, sha256_of(distilled / TENSORS)))
    (distilled / SIDECAR).write_text(json.dumps({**sidecar, "digest": ""}))  # as an older version would write it
    refused(capsys, ["evaluate", str(distilled)], "1 of 10", "NaN")


def test_bad_suites_are_refused(capsys, tmp_path):
    suite = tmp_path / "s.yaml"
    run = ["run", str(suite), "--results", str(tmp_path / "r")]
    refused(capsys, run, "does not exist")
    suite.write_text("name: a\nname: b\n")
    refused(capsys, run, "'name' is given twice", "line 2")
    suite.write_text("name: a\nprotocol: quick\ndatasets: [digits]\nmethods: [dm]\nipc: [1]\nseeds: 3\n")
    refused(capsys, run, "unknown key 'seeds'", "distill_seeds")
    suite.write_text(
        "name: a\nprotocol: quick\ndatasets: [digits]\nmethods: [{name: dm, settings: {a: 1}}]\nipc: [1]\n"
    )
    refused(capsys, run, "no setting 'a'")
    assert not (tmp_path / "r").exists()


def test_table_of_nothing_is_refused(capsys, tmp_path):
    refused(capsys, ["table", str(tmp_path)], "holds no results")
    refused(capsys, ["table", str(tmp_path / "none")], "does not exist")


EMPTY_PATHS = [
    ["table", ""],
    ["table", "baselines", " "],
    ["evaluate", ""],
    ["export", "x", "-o", ""],
    ["claims", "", "x"],
    ["compare", "", "x"],
    ["report", "x", "--plots", ""],
    ["run", ""],
    [*DISTILL, "--out", ""],
    [*DISTILL, "--out", "x", "--data-dir="],
    ["distill", "random_real", "--dataset", "image_folder:", "--ipc", "1", "--out", "x"],
]


@pytest.mark.parametrize("arguments", EMPTY_PATHS, ids=" ".join)
def test_an_empty_path_is_not_the_working_folder(capsys, tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    refused(capsys, arguments, "is empty; name a file or folder, or . for the working folder")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["distill", "dmm", "--dataset", "digits", "--ipc", "1"],
        [*DISTILL[:-1], "nowhere"],
        [*DISTILL, "--set", "a=1"],
        ["distill", "random_real", "--dataset", "digits", "--ipc", "0"],
        ["distill", "random_real", "--dataset", "digits,size=8", "--ipc", "1"],
    ],
    ids=" ".join,
)
def test_a_refused_input_leaves_no_folder(capsys, tmp_path, arguments):
    refused(capsys, [*arguments, "--out", str(tmp_path / "new" / "deeper" / "set")])
    assert list(tmp_path.iterdir()) == []


def test_a_refused_evaluation_leaves_no_folder_of_results(capsys, distilled, tmp_path):
    for wrong in (["--protocol", "quik"], ["--network", "convnet-d1-w8-x"], ["--dataset", "none"]):
        refused(capsys, ["evaluate", str(distilled), "--results", str(tmp_path / "new" / "results"), *wrong])
        assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["x" * 5000],
        ["list", "x" * 5000],
        ["table", "y", "--" + "x" * 5000],
        ["distill", "x " * 2500, "--dataset", "digits", "--ipc", "1", "--out", "y"],
        ["run", "x" * 200],
        ["check", "dataset", "\x1b[31m\u202e" * 1000],
    ],
    ids=lambda arguments: arguments[0][:10],
)
def test_long_and_acting_names_are_not_repeated_whole(capsys, arguments):
    refused(capsys, arguments)
    assert main(arguments) == 2
    line = capsys.readouterr().err.removesuffix("\n")
    assert len(line) <= 300
    assert line.isprintable()


def test_numbers_out_of_range_are_refused(capsys, tmp_path):
    out = ["--out", str(tmp_path / "x")]
    for seed in ("-1", "1.5", "nan", str(2**63), "9" * 5000):
        refused(capsys, [*DISTILL, f"--seed={seed}", *out], "--seed")
    for students in ("0", "-1", "10001", "x"):
        refused(capsys, ["evaluate", "x", f"--students={students}"], "--students", f"got '{students}'")
    for setting in (
        "steps=9999999999",
        "image_lr=1e300",
        "image_lr=.inf",
        "steps=2020-01-01",
        "steps=[1]",
        "steps=!!int x",
    ):
        refused(capsys, ["distill", "dm", *DISTILL[2:], "--set", setting, *out], setting.partition("=")[0])


def test_settings_are_read_as_yaml_values():
    assert parse_settings(["a=1", "b=0.5", "c=text", "d=true"]) == {"a": 1, "b": 0.5, "c": "text", "d": True}
    with pytest.raises(BadInputError, match="twice"):
        parse_settings(["a=1", "a=2"])


def test_version_and_module_entry():
    done = subprocess.run([sys.executable, "-m", "ddbench", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("ddbench ")


@pytest.mark.slow  # the process loads torch's compiler
def test_a_warning_is_one_line_without_code(tmp_path):
    command = [sys.executable, "-m", "ddbench", *DISTILL, "--out", str(tmp_path / "set")]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, "CXX": "no-such-compiler"}
    )
    warned = [line for line in done.stderr.splitlines() if "compil" in line]
    assert warned == [
        "ddbench: warning: compiling failed, running without (slower): there is no C++ compiler; install one, or name "
        "it by $CXX"
    ]
    assert "native" not in done.stderr


def test_the_program_can_be_called_as_before_it_had_a_folder(capsys):
    from ddbench.cli import main as program

    assert program(["--version"]) == 0
    assert capsys.readouterr().out.startswith("ddbench ")
