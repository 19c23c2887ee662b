"""Tests of suites: strict files, the cells they expand to, and keys that depend on content alone."""

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ddbench.errors import BadInputError, DDBenchError, UnknownNameError
from ddbench.host.files import baselines_dir
from ddbench.protocol import PROTOCOLS
from ddbench.runs.presets import load_preset
from ddbench.runs.results_store import read_results
from ddbench.runs.suite import Cell, Suite, load_suite

SMALL = {"name": "small", "protocol": "quick", "datasets": ["digits"], "methods": ["random_real"], "ipc": [1]}
TEXT = "name: small\nprotocol: quick\ndatasets: [digits]\nmethods: [random_real]\nipc: [1]\n"


@pytest.fixture
def load(tmp_path):
    """A function that loads a suite from YAML text."""

    def read(text):
        path = tmp_path / "suite.yaml"
        path.write_text(text, encoding="utf-8")
        return load_suite(path)

    return read


def cells_of(**changes):
    return Suite.model_validate({**SMALL, **changes}).cells()


def cell_of(**changes):
    (cell,) = cells_of(**changes)
    return cell


def dm_cell(**config):
    return cell_of(methods=[{"name": "dm", "settings": config}])


def test_smallest_suite_is_one_cell_with_the_defaults(load):
    suite = load(TEXT)
    (cell,) = suite.cells()
    assert (cell.method, cell.dataset, cell.ipc, cell.protocol) == ("random_real", "digits", 1, "quick")
    assert (cell.network, cell.students, cell.distill_seed, cell.eval_seed) == ("convnet-d2-w32", 1, 0, 0)
    assert cell.evaluators == ("accuracy", "wall_clock", "peak_memory")
    assert cell.title == "random_real on digits, ipc 1, convnet-d2-w32, seed 0"


REFUSED = {
    "unknown key": (TEXT + "distil_seeds: 2\n", r"unknown key 'distil_seeds'; did you mean distill_seeds\b"),
    "unknown method key": (
        TEXT.replace("[random_real]", "[{name: dm, setings: {steps: 3}}]"),
        r"unknown key 'methods\.0\.setings'; did you mean settings\b",
    ),
    "missing key": (TEXT.replace("ipc: [1]\n", ""), "ipc: is missing; list the images per class"),
    "missing method name": (TEXT.replace("[random_real]", "[{settings: {}}]"), r"key 'methods\.0\.name' is missing"),
    "duplicate key": (TEXT + "ipc: [10]\n", r"key 'ipc' is given twice in line 6, column 1; fix it"),
    "duplicate inner key": (
        TEXT.replace("[random_real]", "\n  - name: dm\n    settings:\n      steps: 1\n      steps: 2"),
        r"key 'steps' is given twice in line 8",
    ),
    "empty file": ("", "the content: .*got None"),
    "only a comment": ("# nothing\n", "the content: .*got None"),
    "a list": ("- name: small\n", "the content: .*dictionary.*got a list of 1"),
    "not YAML": ("name: [", "is not YAML: .* in line"),
    "a key that is a list": (TEXT + "? [a, b]\n: 1\n", "is not YAML: .*unhashable key"),
    "template braces": ("{{name}}: 1\n", "is not YAML: .*unhashable key"),
    "a Python object": (
        "name: !!python/object/apply:os.getcwd []\n",
        "is not YAML: a value of type .* is not allowed here",
    ),
    "control character": ("name: \x00", "is not YAML"),
    "ipc a number": (TEXT.replace("[1]", "1"), "ipc: .*tuple.*got 1"),
    "ipc a word": (TEXT.replace("[1]", "[ten]"), r"ipc\.0: .*integer.*got 'ten'"),
    "ipc quoted": (TEXT.replace("[1]", "['1']"), r"ipc\.0: .*integer.*got '1'"),
    "ipc a fraction": (TEXT.replace("[1]", "[1.0]"), r"ipc\.0: .*integer.*got 1\.0"),
    "ipc zero": (TEXT.replace("[1]", "[0]"), r"ipc\.0: .*greater than or equal to 1, got 0"),
    "no ipc": (TEXT.replace("[1]", "[]"), "ipc: is missing; list the images per class"),
    "no ipc of a method": (TEXT.replace("[random_real]", "[{name: dm, ipc: []}]"), r"methods\.0\.ipc: .*at least 1"),
    "no method": (TEXT.replace("[random_real]", "[]"), "methods: the suite lists neither methods nor sets"),
    "method a number": (TEXT.replace("[random_real]", "[3]"), r"methods\.0: .*got 3"),
    "datasets a word": (TEXT.replace("[digits]", "digits"), "datasets: .*tuple.*got 'digits'"),
    "seeds a boolean": (TEXT + "distill_seeds: true\n", "distill_seeds: .*got True"),
    "seeds booleans": (TEXT + "distill_seeds: [true]\n", r"distill_seeds\.0: .*integer.*got True"),
    "seed count zero": (TEXT + "distill_seeds: 0\n", "distill_seeds: .*at least 1 item"),
    "seed negative": (TEXT + "distill_seeds: [-1]\n", r"distill_seeds\.0: .*greater than or equal to 0"),
    "students a boolean": (TEXT + "students: true\n", "students: .*integer.*got True"),
    "no student": (TEXT + "students: 0\n", "students: .*greater than or equal to 1"),
    "students without end": (TEXT + "students: 10001\n", "students: .*less than or equal to 10000"),
    "eval seed a boolean": (TEXT + "eval_seed: no\n", "eval_seed: .*integer.*got False"),
    "seeds without end": (
        TEXT + "distill_seeds: 1000000000\n",
        "distill_seeds: 1,000,000,000 seeds are more than 100,000",
    ),
    "seed beyond 64 bits": (TEXT + "eval_seed: 9223372036854775808\n", "holds a number beyond 64 bits"),
    "a grid without end": (
        TEXT + "distill_seeds: 60000\nnetworks: [mlp, lenet]\n",
        "has 120,000 cells, over 100,000; split it",
    ),
    "aliases without end": ("a: &a [x]\nb: &b [*a, *b]\n", "holds an alias to what it stands in"),
    "a date": (TEXT.replace("[1]", "[2020-99-99]"), r"ipc\.0: .*integer.*got '2020-99-99'"),
    "share_prepare a word": (TEXT + "share_prepare: sometimes\n", "share_prepare: .*boolean"),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_malformed_suite_is_refused_in_one_line_that_names_the_file(load, tmp_path, text, message):
    with pytest.raises(BadInputError, match=message) as caught:
        load(text)
    assert str(tmp_path / "suite.yaml") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_file_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(BadInputError, match=r"missing\.yaml does not exist"):
        load_suite(tmp_path / "missing.yaml")
    with pytest.raises(BadInputError, match="must be a regular file, but is a folder"):
        load_suite(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"name: \xe9\n")
    with pytest.raises(BadInputError, match=r"latin\.yaml must be text in UTF-8, but line 1 is not"):
        load_suite(tmp_path / "latin.yaml")


def test_merged_and_overridden_keys_are_not_duplicates(load):
    text = """
name: small
protocol: quick
datasets: [digits]
ipc: [1]
methods:
  - &base {name: dm, settings: {steps: 3}, ipc: [2]}
  - <<: *base
    settings: {steps: 4}
"""
    assert [(cell.ipc, cell.config["steps"]) for cell in load(text).cells()] == [(2, 3), (2, 4)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods": ["random-real"]}, "unknown method 'random-real'; did you mean random_real"),
        ({"datasets": ["digit"]}, "unknown dataset 'digit'; did you mean digits"),
        ({"networks": ["konvnet-d3"]}, "unknown network 'konvnet-d3'; did you mean convnet"),
        ({"cross_networks": ["konvnet"]}, "unknown network 'konvnet'"),
        ({"evaluators": ["acuracy"]}, "unknown evaluator 'acuracy'; did you mean accuracy"),
        ({"evaluators": ["coverage:mlb"]}, "unknown network 'mlb'; did you mean mlp"),
        ({"protocol": "qick"}, "unknown protocol 'qick'; did you mean quick"),
    ],
)
def test_unknown_names_are_refused_before_anything_runs(changes, message):
    with pytest.raises(UnknownNameError, match=message):
        cells_of(**changes)


def test_settings_of_a_method_are_checked():
    with pytest.raises(BadInputError, match="method dm has no setting 'step'; did you mean steps"):
        dm_cell(step=3)
    with pytest.raises(BadInputError, match="method dm: setting steps cannot be 'many'"):
        dm_cell(steps="many")


def test_grid_is_every_combination_once():
    cells = cells_of(
        datasets=["digits", "digits,size=8"],
        methods=["random_real", {"name": "dm", "settings": {"steps": 1}}],
        ipc=[1, 10, 50],
        networks=["mlp", "convnet-d2"],
        distill_seeds=2,
    )
    assert len(cells) == 2 * 2 * 3 * 2 * 2
    assert len({cell.key for cell in cells}) == len(cells)
    assert [cell.dataset for cell in cells] == ["digits"] * 24 + ["digits,size=8"] * 24


def test_what_is_listed_twice_runs_once():
    cells = cells_of(methods=["random_real", "random_real"], ipc=[1, 1], distill_seeds=[3, 3], networks=["mlp", "mlp"])
    assert len(cells) == 1


@pytest.mark.parametrize(("seeds", "expected"), [(1, [0]), (3, [0, 1, 2]), ([5], [5]), ([2, 7], [2, 7])])
def test_seeds_are_a_count_or_a_list(seeds, expected):
    assert [cell.distill_seed for cell in cells_of(distill_seeds=seeds)] == expected
    entry = {"name": "random_real", "distill_seeds": seeds}
    assert [cell.distill_seed for cell in cells_of(methods=[entry])] == expected


def test_whole_real_set_runs_once_per_seed_and_network_and_not_per_ipc():
    cells = cells_of(methods=["full_real"], ipc=[1, 10, 50], distill_seeds=2, networks=["mlp", "convnet-d2"])
    assert len(cells) == 4
    assert {cell.ipc for cell in cells} == {None}
    assert cells[0].title == "full_real on digits, whole set, mlp, seed 0"


def test_entry_overrides_the_suite_for_its_method_alone():
    entry = {"name": "dm", "settings": {"steps": 7}, "ipc": [5, 6], "distill_seeds": [4], "students": 3}
    cells = cells_of(methods=["random_real", entry], ipc=[1], distill_seeds=2, students=2)
    found = [(cell.method, cell.ipc, cell.distill_seed, cell.students) for cell in cells]
    assert found == [("random_real", 1, 0, 2), ("random_real", 1, 1, 2), ("dm", 5, 4, 3), ("dm", 6, 4, 3)]
    assert [cell.config.get("steps") for cell in cells] == [None, None, 7, 7]


def test_settings_override_those_of_the_preset_and_the_cell_holds_the_full_config():
    entry = {"name": "mtt", "preset": "mtt_cifar10_ipc50", "settings": {"steps": 3}}
    config = cell_of(methods=[entry]).config
    assert (config["steps"], config["image_lr"], config["zca"], config["expert_epochs"]) == (3, 1000.0, False, 2)
    written_out = {**load_preset("mtt_cifar10_ipc50").settings, "steps": 3}
    assert cell_of(methods=[entry]).key == cell_of(methods=[{"name": "mtt", "settings": written_out}]).key


def test_preset_of_the_defaults_gives_the_same_key():
    assert cell_of(methods=[{"name": "dm", "preset": "dm_cifar10_ipc1"}]).key == dm_cell().key


def test_wrong_preset_is_refused():
    with pytest.raises(UnknownNameError, match=r"unknown preset 'dm_cifar_ipc1'; did you mean .*dm_cifar10_ipc1"):
        cells_of(methods=[{"name": "dm", "preset": "dm_cifar_ipc1"}])
    with pytest.raises(BadInputError, match="preset dm_cifar10_ipc1 is for method dm, not dsa"):
        cells_of(methods=[{"name": "dsa", "preset": "dm_cifar10_ipc1"}])
    with pytest.raises(BadInputError, match="method dm has no setting 'step'; did you mean steps"):
        cells_of(methods=[{"name": "dm", "preset": "dm_cifar10_ipc1", "settings": {"step": 3}}])


def test_config_of_a_cell_is_complete():
    assert dm_cell(steps=7).config.keys() == dm_cell().config.keys() > {"steps", "image_lr", "network"}


def test_key_is_the_same_in_every_version_of_ddbench():
    assert cell_of().key == "a5dcb68d5b06cb12"
    assert cell_of().distill_key == "df90d2db6729aa3d"


@settings(deadline=None, max_examples=30)
@given(st.permutations(["steps", "image_lr", "network"]))
def test_key_does_not_depend_on_the_order_of_settings(order):
    config = {"steps": 7, "image_lr": 2.0, "network": "mlp"}
    assert dm_cell(**{name: config[name] for name in order}).key == dm_cell(**config).key


def test_an_evaluators_option_enters_the_key(load):
    (cell,) = load(TEXT + "evaluators: [accuracy, coverage:timm/resnet10t]\n").cells()
    assert cell.evaluators == ("accuracy", "coverage:timm/resnet10t")
    assert cell.key != cell_of(evaluators=["accuracy", "coverage"]).key


def test_key_does_not_depend_on_the_order_of_evaluators():
    names = ("accuracy", "wall_clock", "peak_memory")
    assert len({cell_of(evaluators=list(order)).key for order in permutations(names)}) == 1
    assert cell_of(evaluators=["accuracy"]).key != cell_of(evaluators=list(names)).key


def test_setting_written_out_at_its_default_gives_the_same_key():
    assert dm_cell(image_lr=1).key == dm_cell().key


@pytest.mark.parametrize(
    ("changes", "changes_the_set"),
    [
        ({"methods": ["k_center"]}, True),
        ({"methods": [{"name": "dm", "settings": {"steps": 1}}]}, True),
        ({"datasets": ["digits,size=8"]}, True),
        ({"ipc": [2]}, True),
        ({"distill_seeds": [1]}, True),
        ({"share_prepare": True}, True),
        ({"networks": ["mlp"]}, False),
        ({"eval_seed": 1}, False),
        ({"students": 2}, False),
        ({"protocol": "dsa"}, False),
        ({"evaluators": ["accuracy"]}, False),
        ({"cross_networks": ["mlp"]}, False),
    ],
    ids=str,
)
def test_whatever_differs_changes_the_key_and_what_the_set_depends_on_its_own(changes, changes_the_set):
    plain, changed = cell_of(), cell_of(**changes)
    assert changed.key != plain.key
    assert (changed.distill_key != plain.distill_key) == changes_the_set


def test_how_many_students_are_trained_at_once_is_no_part_of_the_key():
    assert cell_of(students_at_once=8) == cell_of()
    assert cell_of(students_at_once=8).key == cell_of().key


@pytest.mark.parametrize("value", [0, -1, "2", 1.5, True])
def test_a_number_at_once_that_cannot_be_is_refused(value):
    with pytest.raises(ValidationError, match="students_at_once"):
        cell_of(students_at_once=value)


def test_other_content_of_a_protocol_of_the_same_name_changes_the_key():
    quick = PROTOCOLS.get("quick")
    changed = cell_of().model_copy(update={"protocol_hash": quick.model_copy(update={"lr": 0.02}).hash})
    assert cell_of().protocol_hash == quick.hash
    assert changed.key != cell_of().key


@settings(deadline=None, max_examples=60)
@given(st.text(st.characters(codec="utf-8"), max_size=40))
def test_any_text_is_a_suite_or_a_ddbench_error(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("suites") / "suite.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DDBenchError, match=r"suite\.yaml"):
        load_suite(path)


def test_a_fingerprint_enters_keys_where_there_is_one():
    cell = cell_of()
    assert cell.dataset_fingerprint == ""
    filled = [cell.model_copy(update={"dataset_fingerprint": name}) for name in ("c1-a", "c1-b")]
    assert len({found.key for found in (cell, *filled)}) == 3
    assert len({found.distill_key for found in (cell, *filled)}) == 3


def test_keys_of_recorded_results_are_what_they_were():
    names = set(Cell.model_fields) - {"evaluators", "cross_networks", "dataset_fingerprint"}
    results = read_results([baselines_dir() / "results" / "xeon_2_cores" / "digits_gate.jsonl"])
    assert len(results) > 10
    for result in results:
        assert Cell(**{name: getattr(result, name) for name in names}).key == result.key
