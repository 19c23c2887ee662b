"""What pydantic finds becomes a few words of ours: field, what it should be, what came."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ddbench.inputs.problems import explain


class Inner(BaseModel):
    """A part."""

    model_config = ConfigDict(extra="forbid", strict=True)
    steps: Annotated[int, Field(ge=1)] = 1


class Outer(BaseModel):
    """What holds parts."""

    model_config = ConfigDict(extra="forbid", strict=True)
    name: str
    parts: list[Inner] = []
    inner: Inner | None = None

    @model_validator(mode="after")
    def _check(self) -> Outer:
        if self.name == "odd":
            raise ValueError("name must be even")
        return self


KNOWN = {"": ("name", "parts", "inner"), "parts": ("steps",)}


def explained(content: Any, known=KNOWN, **more) -> str:
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate(content)
    return explain(caught.value, known, **more)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, "key 'name' is missing"),
        ({"name": "a", "part": []}, "unknown key 'part'; did you mean parts?"),
        ({"nam": "a"}, "unknown key 'nam'; did you mean name? (and 1 more)"),
        ({"name": "a", "parts": [{"step": 1}]}, "unknown key 'parts.0.step'; did you mean steps?"),
        ({"name": 3}, "name: should be a valid string, got 3"),
        ({"name": "a", "parts": [{"steps": 0}]}, "parts.0.steps: should be greater than or equal to 1, got 0"),
        ({"name": "a", "parts": {"a": 1}}, "parts: should be a valid list, got a table of 1 keys"),
        ({"name": [1, 2]}, "name: should be a valid string, got a list of 2"),
        ({"name": "odd"}, "the content: name must be even"),
        (None, "the content: should be a valid dictionary, got None"),
        ({"name": 10**4000}, "name: should be a valid string, got a very large number"),
    ],
)
def test_first_problem_in_words(content, words):
    found = explained(content)
    assert words in found
    assert "pydantic" not in found
    assert "\n" not in found


def test_long_values_are_shortened():
    assert len(explained({"name": ["x"], "parts": "y" * 5000})) < 200
    assert len(explained({"name": "a", "parts": "y" * 5000})) < 200


def test_parts_of_a_place_may_be_left_out():
    assert explained({"name": "a", "parts": [{"steps": "x"}]}, unnamed=("parts",)).startswith("0.steps: ")


def test_keys_may_be_those_of_the_whole_content():
    assert (
        explained({"name": "a", "inner": {"stepz": 1}}, ("steps",)) == "unknown key 'inner.stepz'; did you mean steps?"
    )
