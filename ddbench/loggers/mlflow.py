"""MLflow: writes to the database `RESULTS/logs/mlflow/mlflow.db`, or to the server of $MLFLOW_TRACKING_URI.

`mlflow ui --backend-store-uri sqlite:///RESULTS/logs/mlflow/mlflow.db` shows the database, in which several processes
may write at once; it is in the package `mlflow`, what writes in `mlflow-skinny`. $MLFLOW_EXPERIMENT_NAME names the
experiment, `ddbench` where it is not set.
"""

from __future__ import annotations

import logging
import os
import re
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from ddbench.plugin import LOGGERS, LoggedRun, Logger

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ddbench.logger import State

# Nothing is sent unasked, and a server that is gone holds up a run for a minute and not for ten.
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}
STATES = {"finished": "FINISHED", "failed": "FAILED", "killed": "KILLED"}
FORBIDDEN = re.compile(r"[^\w\-. :/]+", re.ASCII)  # in names
LONGEST_TAG = 5000


@LOGGERS.register("mlflow")
class MlflowLogger(Logger):
    """One run of MLflow; numbers are metrics, pictures artifacts, texts tags."""

    package, install = "mlflow", "ddbench[mlflow]"

    def __init__(self, run: LoggedRun) -> None:
        for name, value in ENVIRONMENT.items():  # read at the import
            os.environ.setdefault(name, value)
        mlflow = self.tracker()
        for name in ("mlflow", "alembic"):  # which tell of every table that they make
            logging.getLogger(name).setLevel(logging.ERROR)
        folder = run.folder.absolute()
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "mlflow.db.lock"):  # the first of several processes makes the tables
            uri = os.environ.get("MLFLOW_TRACKING_URI")
            artifacts = None if uri else (folder / "artifacts").as_uri()
            self._client = mlflow.MlflowClient(uri or f"sqlite:///{folder / 'mlflow.db'}")
            experiment = _experiment(self._client, artifacts)
        tags = {"mlflow.source.name": "ddbench", "mlflow.source.type": "LOCAL"}
        self._id = self._client.create_run(experiment, tags=tags, run_name=run.name).info.run_id
        params = [mlflow.entities.Param(_named(key), str(value)) for key, value in run.settings.items()]
        self._client.log_batch(self._id, params=params)

    def scalar(self, name: str, value: float, step: int) -> None:
        """Log a metric; of infinity the database keeps the largest number."""
        self._client.log_metric(self._id, _named(name), value, step=step)

    def text(self, name: str, value: str, step: int) -> None:
        """Set a tag; a later text takes the place of an earlier one, and of a long one the beginning is kept."""
        self._client.set_tag(self._id, _named(name), value[:LONGEST_TAG])

    def image(self, name: str, picture: NDArray[np.uint8], step: int) -> None:
        """Log a PNG, which MLflow shows by step."""
        self._client.log_image(self._id, picture, key=_named(name), step=step)

    def close(self, state: State) -> None:
        """Mark the run as ended."""
        self._client.set_terminated(self._id, STATES[state])


def _experiment(client: Any, artifacts: str | None) -> str:  # noqa: ANN401 - an MlflowClient
    """Return the id of the experiment, made where it is not there."""
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "ddbench")
    found = client.get_experiment_by_name(name)
    return str(found.experiment_id if found else client.create_experiment(name, artifact_location=artifacts))


def _named(name: str) -> str:
    """Return a name in the characters that MLflow takes."""
    return FORBIDDEN.sub("_", name)
