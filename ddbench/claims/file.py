"""The form of a claims file: TOML, every key checked, before any result is looked at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from ddbench.claims.kinds import AbsoluteClaim, AnyClaim, Strict
from ddbench.errors import BadInputError
from ddbench.inputs.documents import read_toml
from ddbench.inputs.paths import as_path
from ddbench.inputs.problems import explain

_ADAPTER: TypeAdapter[AnyClaim] = TypeAdapter(Annotated[AnyClaim, Field(discriminator="kind")])
_KINDS = ("absolute", "relative", "cost", "scaling", "speed")  # which pydantic puts among the keys of a place


class ClaimsFile(Strict):
    """A confirmatory family of claims; `level` bounds the chance that any of its verdicts is a mistake of one kind.

    Attributes:
        recorded_from: for recorded baselines: commit and versions of the runs.
        considered: for recorded baselines: claims that could have been recorded. Those left out for their wide spread
            count in the correction, because the kept ones were chosen by a spread that may be small by chance.
    """

    path: Path
    family: Annotated[str, Field(min_length=1)]
    level: Annotated[float, Field(gt=0, le=0.2)] = 0.05
    recorded_from: dict[str, str] = Field(default={})
    considered: Annotated[int, Field(ge=0)] = 0
    claims: tuple[AnyClaim, ...]

    @property
    def size(self) -> int:
        """Claims that an alarm of the family is corrected for."""
        return max(len(self.claims), self.considered)


HEAD = tuple(name for name in ClaimsFile.model_fields if name not in ("path", "claims"))  # keys beside the tables


def load_claims(path: Path | str) -> ClaimsFile:
    """Return a checked claims file.

    Raises:
        BadInputError: no such file, no TOML, an unknown or missing key, a value of another type, an id given twice, an
            unknown method, data set or network, or a published number that no claim can rest on.
        UnknownNameError: an unknown protocol.
    """
    source = as_path(path, "claims file")
    content = read_toml(source, "claims file")
    defaults, tables = content.pop("defaults", {}), content.pop("claim", None)
    if not isinstance(tables, list) or not isinstance(defaults, dict):
        raise BadInputError(f"{source} must hold [[claim]] tables, and [defaults] for what their `cell` keys share")
    claims = tuple(_parse(source, number, table, defaults) for number, table in enumerate(tables, 1))
    counts = Counter(claim.id for claim in claims)
    if double := {name for name, count in counts.items() if count > 1}:
        raise BadInputError(f"{source}: id {min(double)!r} is given twice; each claim needs one of its own")
    if not claims:
        raise BadInputError(f"{source} holds no claim; write one as a [[claim]] table")
    if given := content.keys() & {"path", "claims"}:
        raise BadInputError(f"{source}: unknown key {min(given)!r}; claims are [[claim]] tables")
    try:
        return ClaimsFile(path=source, claims=claims, **content)
    except ValidationError as error:
        raise BadInputError(f"{source}: {explain(error, HEAD)}; fix it") from error


def _parse(source: Path, number: int, table: object, defaults: Mapping[str, Any]) -> AnyClaim:
    named = table.get("id", "no id") if isinstance(table, dict) else "no table"
    try:
        claim = _ADAPTER.validate_python(_with_defaults(table, defaults))
        for entry in claim.entries:
            if entry.ipc is None:
                raise BadInputError('cell.ipc is missing: a number, or "full"')
            entry.check_names()
        if isinstance(claim, AbsoluteClaim) and claim.recorded is None:
            _ = claim.target
    except (ValidationError, LookupError, BadInputError) as error:
        reason = explain(error, unnamed=_KINDS) if isinstance(error, ValidationError) else error
        raise BadInputError(f"{source}, claim {number} ({named}): {reason}") from error
    return claim


def _with_defaults(table: object, defaults: Mapping[str, Any]) -> object:
    """Fill a claim's `cell` from the file's defaults, and `against` from the `cell`, whose settings are its own."""
    if not isinstance(table, dict) or not isinstance(table.get("cell", {}), dict):
        return table
    filled = dict(table)
    if "cell" in table:
        shared = {
            key: value for key, value in defaults.items() if not (key == "ipc" and table.get("kind") == "scaling")
        }
        filled["cell"] = {**shared, **table["cell"]}
        if isinstance(table.get("against"), dict):
            inherited = {key: value for key, value in filled["cell"].items() if key != "settings"}
            filled["against"] = {**inherited, **table["against"]}
    return filled
