"""Models that callers make: one line of error, and validation of what is read as it always was."""

from __future__ import annotations

import pytest
from pydantic import Field, ValidationError

from ddbench.errors import BadInputError
from ddbench.inputs.checked import Checked


class Inner(Checked, extra="forbid"):
    """A part."""

    size: int = Field(ge=1)


class Outer(Checked, extra="forbid"):
    """A whole with a part."""

    name: str
    inner: Inner


def test_a_right_model_is_made():
    assert Outer(name="a", inner=Inner(size=1)).inner.size == 1


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"name": "a", "inner": {"size": 0}}, "Outer: inner.size: should be greater than or equal to 1, got 0"),
        ({"inner": {"size": 1}}, "Outer: key 'name' is missing"),
        ({"name": "a", "inner": {"size": 1}, "nome": 1}, "Outer: unknown key 'nome'; did you mean name"),
        ({"name": 3, "inner": None}, "Outer: name: should be a valid string, got 3 .and 1 more"),
    ],
)
def test_a_wrong_argument_is_one_line(given, words):
    with pytest.raises(BadInputError, match=words) as caught:
        Outer(**given)
    assert "\n" not in str(caught.value)


def test_content_that_is_read_keeps_the_place_of_every_problem():
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate({"name": "a", "inner": {"size": 0, "other": 1}})
    assert [(problem["type"], problem["loc"]) for problem in caught.value.errors()] == [
        ("greater_than_equal", ("inner", "size")),
        ("extra_forbidden", ("inner", "other")),
    ]
