"""Claims files: what a well-formed one says, and one clear line for every mistake."""

import pytest

from ddbench.claims import load_claims
from ddbench.errors import BadInputError
from tests.claims._made import write_claims

RELATIVE = 'kind = "relative"\ncell = { method = "dm", ipc = 10 }\nagainst = { method = "random_real" }'
ABSOLUTE = 'kind = "absolute"\nvalue = 90.0\nmargin = 1.0\ncell = { method = "dm", ipc = 10 }'
COST = 'kind = "cost"\nmetric = "distill_seconds"\nlimit = 2.0\ncell = { method = "dm", ipc = 10 }'
SCALING = (
    'kind = "scaling"\nmetric = "prepare_seconds"\nlaw = "independent"\ntolerance = 0.2\nipc = [1, 10]\n'
    'cell = { method = "dm" }'
)
SPEED = 'kind = "speed"\nbenchmark = "tests/benchmarks/test_x.py::test_y"\nat_least = 1.5'


def test_entries_take_the_defaults_and_against_takes_the_cell_but_its_settings(tmp_path):
    claim = RELATIVE.replace("ipc = 10 }", 'ipc = 10, network = "mlp", settings = { steps = 20 } }')
    (found,) = load_claims(write_claims(tmp_path, claim)).claims
    assert (found.cell.dataset, found.cell.network, found.cell.settings) == ("digits", "mlp", {"steps": 20})
    assert found.against.model_dump() == {**found.cell.model_dump(), "method": "random_real", "settings": {}}


def test_every_kind_is_read(tmp_path):
    cost = COST + '\nagainst = { method = "full_real", ipc = "full" }'
    file = load_claims(write_claims(tmp_path, ABSOLUTE, RELATIVE, cost, SCALING, SPEED))
    assert [claim.kind for claim in file.claims] == ["absolute", "relative", "cost", "scaling", "speed"]
    assert (file.family, file.level) == ("test", 0.05)
    assert [entry.ipc for entry in file.claims[3].entries] == [1, 10]
    assert file.claims[2].entries[1].budget is None


def test_published_number_is_looked_up(tmp_path):
    cell = (
        'cell = { method = "dm", dataset = "cifar10", network = "convnet-d3", protocol = "dsa@a28e5b1fc625", ipc = 10 }'
    )
    (claim,) = load_claims(
        write_claims(tmp_path, f'kind = "absolute"\npublished = true\nmargin = 1.0\n{cell}', defaults="")
    ).claims
    assert claim.target == 48.9


def test_a_data_set_with_a_fingerprint_may_have_a_name_of_its_own(tmp_path):
    named = ABSOLUTE.replace('"dm"', '"dm", dataset = "small-copy,size=64"')
    with pytest.raises(BadInputError, match="unknown name 'small-copy'"):
        load_claims(write_claims(tmp_path, named))
    (claim,) = load_claims(write_claims(tmp_path, named.replace("size=64", 'size=64", fingerprint = "3a7d'))).claims
    assert claim.cell.dataset == "small-copy,size=64"


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        (ABSOLUTE.replace('"dm"', '"dmm"'), "unknown name 'dmm'; did you mean dm"),
        (ABSOLUTE.replace('"dm"', '"dm", dataset = "digit"'), "digits"),
        (ABSOLUTE.replace('"dm"', '"dm", protocol = "quik@f58e2342656b"'), "quick"),
        (ABSOLUTE.replace('"dm"', '"dm", protocol = "quick"'), "cell.protocol"),
        (ABSOLUTE + "\nmargine = 2.0", "unknown key 'margine'"),
        (ABSOLUTE.replace("margin = 1.0", 'margin = "1"'), "margin: .*number"),
        (ABSOLUTE.replace("value = 90.0\n", ""), "exactly one of value, published = true, recorded"),
        (ABSOLUTE.replace("margin = 1.0\n", ""), "needs a margin above 0"),
        (ABSOLUTE.replace("value = 90.0", "value = nan"), "value: .*finite"),
        (ABSOLUTE.replace(", ipc = 10", ""), "ipc is missing"),
        (ABSOLUTE.replace("value = 90.0", "published = true"), "nothing is published for dm on digits"),
        (ABSOLUTE + '\nmetric = "distill_seconds"', 'needs machine = "ID"'),
        (ABSOLUTE + "\nmin_n = 1", "min_n"),
        (RELATIVE.replace('"relative"', '"relativ"'), "relativ"),
        (RELATIVE + '\nmetric = "distill_seconds"', 'kind = "cost"'),
        (COST, "exactly one of against, recorded"),
        (COST + "\nrecorded = [1.0, 2.0, 3.0]", 'recorded costs need machine = "ID"'),
        (COST + "\nrecorded = [1.0, 2.0]", "recorded: .*3 items"),
        (COST.replace("distill_seconds", "distil_seconds") + '\nagainst = { method = "mtt" }', "PHASE_seconds"),
        (SCALING.replace("[1, 10]", "[1, 1]"), "twice"),
        (SCALING.replace('"dm" }', '"dm", ipc = 1 }'), "beside its cell"),
        (SPEED.replace("1.5", "0.0"), "at_least"),
    ],
)
def test_malformed_claim_is_named_with_its_mistake(tmp_path, claim, message):
    with pytest.raises(BadInputError, match=r"claims\.toml, claim 1 \(c0\): .*" + message):
        load_claims(write_claims(tmp_path, claim))


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("", "key 'family' is missing"),
        ('family = "f"\nlevels = 0.1\n', "unknown key 'levels'"),
        ('family = "f"\nlevel = 0.9\n', "level"),
        ('family = "f\n', "is not TOML: .*line 1"),
    ],
)
def test_malformed_file_is_refused(tmp_path, head, message):
    with pytest.raises(BadInputError, match=message):
        load_claims(write_claims(tmp_path, ABSOLUTE, head=head))


def test_file_without_claims_or_with_one_id_twice_is_refused(tmp_path):
    with pytest.raises(BadInputError, match=r"must hold \[\[claim\]\]"):
        load_claims(write_claims(tmp_path))
    (tmp_path / "empty.toml").write_text('family = "f"\nlevel = 0.95\nclaim = []\n')
    with pytest.raises(BadInputError, match="holds no claim"):
        load_claims(tmp_path / "empty.toml")
    twice = 'id = "same"\nsentence = "A."\n' + ABSOLUTE
    with pytest.raises(BadInputError, match="'same' is given twice"):
        load_claims(write_claims(tmp_path, twice, twice))
    with pytest.raises(BadInputError, match="does not exist"):
        load_claims(tmp_path / "none.toml")
