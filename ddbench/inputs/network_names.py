"""Names of networks, such as `convnet-d3-w64`. Nothing here imports torch."""

from __future__ import annotations

import re

from ddbench.errors import UnknownNameError
from ddbench.inputs.values import as_text
from ddbench.registry import NETWORKS, suggest


def split_spec(spec: str) -> tuple[str, str]:
    """Split a network name into its family and the variant, which a digit, `-` or `/` begins.

    Where several families fit, the longest counts: `resnet_ap10` is `resnet_ap` and `10`.

    Raises:
        UnknownNameError: no registered family begins the name.
    """
    as_text(spec, "name of a network", may_be_empty=True)
    families = [name for name in NETWORKS.names() if re.fullmatch(rf"{re.escape(name)}([-/].+|[0-9].*)?", spec)]
    if not families:
        here = _spelt_here(spec)
        hint = f"did you mean {here}?" if here else suggest(re.split("[-/]", spec)[0], NETWORKS.names())
        raise UnknownNameError(f"unknown network {spec!r}; {hint}")
    family = max(families, key=len)
    return family, spec[len(family) :].removeprefix("-").removeprefix("/")


def _spelt_here(spec: str) -> str:
    """Return our name of a network in a paper's spelling: resnet18 for `ResNet-18`, convnet-d3 for `ConvNet-3`."""
    written = re.fullmatch(r"([a-z]+)[-_ ]?d?(\d*)(.*)", spec.casefold())
    if written is None or written[1] not in NETWORKS.names() or written[3][:1] not in ("", "-", " "):
        return ""
    family, depth, rest = written.groups()
    return family + ("-d" if family == "convnet" and depth else "") + depth + rest.replace(" ", "-")
