"""Names that a shell completes on the command line; finding them imports no torch, for it happens at a key press."""

from __future__ import annotations

import typer

from ddbench.registry import METHODS, REGISTRIES

CONTRACTS = {registry.kind: registry.names for registry in REGISTRIES.values()}


def suites() -> tuple[str, ...]:
    """Return the names of shipped suites; a suite file is completed by the shell, as any file."""
    from ddbench.runs.suite_files import suite_names

    return suite_names()


def presets() -> tuple[str, ...]:
    """Return the names of shipped presets."""
    from ddbench.runs.presets import preset_names

    return preset_names()


def contract_entries(ctx: typer.Context) -> tuple[str, ...]:
    """Return what can follow in `ddbench check [KIND] NAME`: kinds and methods, then the names of the kind given."""
    given = ctx.params.get("what") or ()
    if not given:
        return (*CONTRACTS, *METHODS.names())
    return CONTRACTS[given[0]]() if given[0] in CONTRACTS else ()
