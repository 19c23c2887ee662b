"""The contract, run on every registered importer, with a sample of each format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from ddbench.dataset import load_dataset
from ddbench.distilled.dataset import DistilledDataset
from ddbench.registry import IMPORTERS
from ddbench.runs.exporting import export_set
from ddbench.runs.foreign_values import SourceFacts
from ddbench.testing import ImporterContract, own_cache

__all__ = ["own_cache"]

Writer = Callable[[DistilledDataset, Path], Path]


def normalised(made: DistilledDataset) -> torch.Tensor:
    """The images as students see them."""
    return load_dataset("digits").info.normalise(made.images)


def write_dc(made: DistilledDataset, folder: Path) -> Path:
    torch.save({"data": [[normalised(made), made.labels]], "accs_all_exps": {}}, folder / "res_DM_D_C_2ipc.pt")
    return folder / "res_DM_D_C_2ipc.pt"


def write_trajectory_files(made: DistilledDataset, folder: Path) -> Path:
    torch.save(normalised(made), folder / "images_best.pt")
    torch.save(made.labels, folder / "labels_best.pt")
    return folder


def write_datm(made: DistilledDataset, folder: Path) -> Path:
    write_trajectory_files(made, folder)
    torch.save(torch.nn.functional.one_hot(made.labels, 10) * 9.0, folder / "labels_best.pt")
    return folder


def write_idc(made: DistilledDataset, folder: Path) -> Path:
    torch.save([made.images.float() / 255, made.labels], folder / "data.pt")
    return folder / "data.pt"


def written_by(form: str) -> Writer:
    """A writer that is an exporter of ours."""

    def write(made: DistilledDataset, folder: Path) -> Path:
        export_set(made, form, folder / "out", "digits")
        return folder / "out"

    return write


SAMPLES: dict[str, tuple[Writer, SourceFacts]] = {
    "dc": (write_dc, SourceFacts()),
    "mtt": (write_trajectory_files, SourceFacts(space="normalised")),
    "datm": (write_datm, SourceFacts(space="normalised")),
    "idc": (write_idc, SourceFacts(factor=1)),
    **{form: (written_by(form), SourceFacts()) for form in ("image-folder", "tensors", "huggingface", "dd-ranking")},
}


def contract_of(name: str) -> type[ImporterContract]:
    """Return a test class for one importer; a new one needs a sample here to be tried on."""
    write, told = SAMPLES[name]

    def sample(self: ImporterContract, distilled: DistilledDataset, folder: Path) -> Path:
        return write(distilled, folder)

    return type(
        f"Test_{name}", (ImporterContract,), {"name": name, "told": told, "sample": sample, "__module__": __name__}
    )


globals().update({f"Test_{name}": contract_of(name) for name in IMPORTERS.names()})


def test_every_importer_has_a_suite():
    assert set(SAMPLES) == set(IMPORTERS.names())
