"""The base of models that callers make themselves: what they give wrongly is told in one line."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ValidationError

from ddbench.errors import BadInputError
from ddbench.inputs.problems import explain


class Checked(BaseModel):
    """Base of models that callers make: a wrong argument is a BadInputError in one line.

    Content that is read is not made by calling the class: `model_validate` still raises ValidationError, for `explain`.
    """

    def __init__(self, /, **values: Any) -> None:  # noqa: ANN401 - whatever was given is checked here
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise BadInputError(f"{type(self).__name__}: {explain(error, list(type(self).model_fields))}") from error

    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined] # pydantic: validation need not go through it
