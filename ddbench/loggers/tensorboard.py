"""TensorBoard: writes event files, one folder per run.

`tensorboard --logdir RESULTS/logs/tensorboard` shows them. Settings are there as hyperparameters from the start, so
that a run that was killed has them too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddbench.plugin import LOGGERS, LoggedRun, Logger

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ddbench.logger import State

FLUSH_SECONDS = 10  # what a killed run may lose


@LOGGERS.register("tensorboard")
class TensorBoardLogger(Logger):
    """Writes by torch's own writer."""

    package, install = "tensorboard", "ddbench[tensorboard]"

    def __init__(self, run: LoggedRun) -> None:
        self.tracker()
        from torch.utils.tensorboard.summary import hparams
        from torch.utils.tensorboard.writer import SummaryWriter

        # The list of all hyperparameters is left out: of several runs TensorBoard would take the first one's for all.
        _, start, self._end = hparams(dict(run.settings), {})
        self._writer = SummaryWriter(run.own_folder(), flush_secs=FLUSH_SECONDS)
        self._writer._get_file_writer().add_summary(start)

    def scalar(self, name: str, value: float, step: int) -> None:
        """Write a scalar, in float32 as TensorBoard has them."""
        self._writer.add_scalar(name, value, step)

    def text(self, name: str, value: str, step: int) -> None:
        """Write a text, which TensorBoard shows as Markdown."""
        self._writer.add_text(name, value, step)

    def image(self, name: str, picture: NDArray[np.uint8], step: int) -> None:
        """Write a PNG."""
        self._writer.add_image(name, picture, step, dataformats="HWC")

    def close(self, state: State) -> None:
        """Write the rest."""
        if state == "finished":
            self._writer._get_file_writer().add_summary(self._end)
        self._writer.close()
