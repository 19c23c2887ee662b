"""What a suite will cost before it runs: seconds and bytes of every cell, from declared work and this machine's speed.

Seconds come, phase by phase, from the first of these that there is:

- `earlier`: a result of this machine in the results folder, of the same data set and, for distilling, the same method,
  for evaluating the same network and protocol; scaled by the modelled seconds of both;
- `calibrated`: the work that method and protocol declare (`Method.work`), at the speed that `calibration` measures;
- `unknown`: the method declares nothing and no earlier result has its settings.

Bytes are those of the largest phase: on a GPU what is allocated there, on a CPU beside what this process holds once the
data sets are loaded. Not modelled: compilation, several students at once, reading images from files, selecting,
evaluators other than those of accuracy.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ddbench.engine.threads import threads_that_pay
from ddbench.errors import BadInputError, UnsupportedError
from ddbench.forecast.calibration import PLAIN, Calibration, KeptCalibration, NotMeasuredError
from ddbench.host.cached_work import is_kept
from ddbench.host.machine import describe_machine, resolve_device
from ddbench.host.meter import Meter
from ddbench.host.threads import given_threads, threads_at_hand
from ddbench.images import RealDataset
from ddbench.inputs.documents import read_json
from ddbench.inputs.problems import explain
from ddbench.method import Method, make_method
from ddbench.network import InputShape
from ddbench.protocol import PROTOCOLS
from ddbench.records import Result
from ddbench.runs.distill import RunOptions, check_supported, load_real
from ddbench.runs.preparation import foundation_keys, prepared_key
from ddbench.runs.results_store import RESULT_FILE, Store
from ddbench.runs.suite import Cell, Suite
from ddbench.runs.suite_checks import check_protocols, check_recorded, look_at_data, of_data
from ddbench.runs.suite_sets import cells_of_sets
from ddbench.runs.turns import FINISHED
from ddbench.students.evaluation_work import evaluation_work, trained_networks, training_work
from ddbench.students.loop import TrainingPlan, chunk_size
from ddbench.students.teacher import untrained_teachers
from ddbench.work import MethodWork, PhaseWork, count_bytes, count_flops

PhaseName = Literal["prepare", "teacher", "distill", "evaluate"]
PHASES: tuple[PhaseName, ...] = ("prepare", "teacher", "distill", "evaluate")
Basis = Literal["earlier", "calibrated", "unknown", "there", "shared"]
# Earlier seconds and the work they were for, None where it is unknown but the same.
Earlier = tuple[float, PhaseWork | None]


@dataclass(frozen=True)
class PhaseForecast:
    """One phase: seconds, None where unknown; FLOPs of its networks; and where the seconds come from.

    `there` is work that an earlier run has kept, `shared` work that an earlier cell of the suite does.
    """

    seconds: float | None
    flops: int
    basis: Basis


@dataclass(frozen=True)
class CellForecast:
    """One cell: `state` is empty for one that will run, else why it will not, or not for the first time.

    Attributes:
        phases: of a cell that will run, in order; a phase that it does not have is left out.
        peak_bytes: of its largest phase; None where one is unknown.
    """

    cell: Cell
    state: str
    phases: dict[PhaseName, PhaseForecast]
    peak_bytes: int | None = None

    @property
    def seconds(self) -> float:
        """Seconds of the phases that are known."""
        return sum(phase.seconds or 0.0 for phase in self.phases.values())

    @property
    def num_unknown(self) -> int:
        """Number of phases whose seconds are unknown."""
        return sum(phase.seconds is None for phase in self.phases.values())


@dataclass(frozen=True)
class OtherMachine:
    """A machine that was measured elsewhere: what describes it, results of its own, and speeds of networks there."""

    machine: dict[str, Any]
    results: tuple[Result, ...]
    speeds: tuple[dict[str, Any], ...]

    @classmethod
    def load(cls, folder: Path) -> OtherMachine:
        """Read `doctor.json`, `speed.json` and `rows.json` of a folder that `tests.gpu.pack` has filled.

        Raises:
            BadInputError: no such folder, or files that are damaged or of something else.
        """
        parts: dict[str, Any] = {}
        try:
            for name in ("doctor", "speed", "rows"):
                path = folder / f"{name}.json"
                if name == "doctor" or path.is_file():
                    parts |= _Step.model_validate(read_json(path, "measurements")).parts
            kept = _Parts.model_validate(parts)
        except (BadInputError, ValidationError) as error:
            reason = explain(error) if isinstance(error, ValidationError) else error
            raise BadInputError(
                f"{folder} is not a folder of measurements ({reason}); name one that `python -m tests.gpu.pack` "
                "has filled"
            ) from error
        machine = kept.machine.model_dump()
        speeds = tuple(row.model_dump() for row in kept.calibration or ())
        return cls(machine={"id": machine["id"], **machine}, results=tuple(kept.results or ()), speeds=speeds)


class _Loose(BaseModel):
    """Base of what is read of a file that another program fills: what is not looked at may be anything."""

    model_config = ConfigDict(extra="allow", frozen=True)


class _Step(_Loose):
    parts: dict[str, Any]


class _Machine(_Loose):
    id: str
    device: Literal["cpu", "cuda"]


class _Speed(_Loose):
    network: str
    channels: int
    image_size: int
    trains: bool
    precision: str
    per_step: Annotated[float, Field(ge=-1e-6, allow_inf_nan=False)]
    per_image: Annotated[float, Field(ge=-1e-6, allow_inf_nan=False)]


class _Parts(_Loose):
    machine: _Machine
    results: list[Result] | None = None
    calibration: list[_Speed] | None = None


def forecast_suite(
    suite: Suite, results: Store, options: RunOptions, elsewhere: OtherMachine | None = None
) -> list[CellForecast]:
    """Return what each cell of a suite will cost, without running any; nothing is written.

    Args:
        suite: what would run.
        results: what has run.
        options: data folder and device.
        elsewhere: forecast for this machine instead, where nothing is prepared yet.

    Raises:
        BadInputError: a suite or data set that cannot be used, or a damaged result.
        DataMismatchError: a result is of other data than the name stands for now.
    """
    cells = suite.cells()
    if elsewhere is None:
        check_protocols(cells, options)
    infos = look_at_data(suite.datasets, options)
    with tempfile.TemporaryDirectory(prefix="ddbench-sets-") as scratch:
        of_sets = [cell for cell, _ in cells_of_sets(suite, infos, options, Path(scratch))]
    given = {of_data(cell, infos).key for cell in of_sets}
    cells = [of_data(cell, infos) for cell in (*cells, *of_sets)]
    check_recorded(cells, results, infos)
    forecaster = Forecaster(cells, results, options, elsewhere)
    return [forecaster.forecast(cell, is_given=cell.key in given) for cell in cells]


class Forecaster:
    """Looks at the cells of a suite in the order they would run, and remembers what earlier ones will have done."""

    def __init__(
        self, cells: list[Cell], results: Store, options: RunOptions, elsewhere: OtherMachine | None = None
    ) -> None:
        self._options, self._results, self._elsewhere = options, results, elsewhere
        self._device = (
            resolve_device(options.device) if elsewhere is None else torch.device(elsewhere.machine["device"])
        )
        machine = (elsewhere.machine if elsewhere else describe_machine(self._device))["id"]
        found = results.results() if any(results.root.glob(f"*/{RESULT_FILE}")) else []
        found = [*found, *(elsewhere.results if elsewhere else ())]
        self._earlier = [r for r in found if r.status == "ok" and r.machine.get("id") == machine]
        finished = [cell for cell in cells if (kept := results.get(cell.key)) and kept.status == "ok"]
        self._distilled = {cell.distill_key for cell in finished}
        self._done_before: set[object] = set()
        self._calibrations: dict[tuple[str, str], Calibration] = {}
        with Meter(torch.device("cpu")) as meter:
            pass
        self._base_bytes = meter.reading.peak_host_bytes or 0

    def forecast(self, cell: Cell, *, is_given: bool = False) -> CellForecast:
        """Return what a cell will cost after those before it; of a set that is given, its evaluation alone."""
        kept = self._results.get(cell.key)
        if kept is not None and kept.status in FINISHED:
            return CellForecast(cell, "done" if kept.status == "ok" else f"done: skipped, {kept.reason}", {})
        real = load_real(cell.dataset, self._options)
        state = "" if kept is None else f"again, was {kept.status.replace('_', ' ')}"
        if is_given:
            students, evaluation = self._evaluation(cell, real)
            size = self._held_bytes(real) + count_bytes(students, InputShape.of(real.info))
            return CellForecast(cell, state, {"evaluate": evaluation}, size)
        method = make_method(cell.method, cell.config)
        try:
            check_supported(cell.method, method, real, cell.ipc or 1)
        except UnsupportedError as error:
            return CellForecast(cell, f"will be skipped: {error}", {})
        phases: dict[PhaseName, PhaseForecast] = {}
        peaks: list[int | None] = []
        for name, work, forecast in self._phases(cell, method, real):
            phases[name] = forecast
            if forecast.basis not in ("there", "shared"):
                peaks.append(None if work is None else count_bytes(work, InputShape.of(real.info)))
        known = [peak for peak in peaks if peak is not None]
        peak = self._held_bytes(real) + max(known) if len(known) == len(peaks) else None
        return CellForecast(cell, state, phases, peak)

    def _held_bytes(self, real: RealDataset) -> int:
        """Return what is there beside a phase's own work: the process, or on a GPU the training images."""
        if self._device.type != "cuda":
            return self._base_bytes
        images = real.train.images
        return images.nbytes if isinstance(images, torch.Tensor) else 0

    def _phases(
        self, cell: Cell, method: Method, real: RealDataset
    ) -> Iterator[tuple[PhaseName, PhaseWork | None, PhaseForecast]]:
        work = method.work(real.train, cell.ipc or 1)
        seed = 0 if cell.share_prepare else cell.distill_seed
        # A method that prepares nothing may still stand on foundations, whose work it declares as that of preparing.
        prepared = prepared_key(cell.method, method, real.train, seed)
        keys = foundation_keys(method, real.train) if prepared is None else [prepared]
        made = cell.distill_key in self._distilled
        if keys and not made:
            part = None if work is None else work.prepare
            is_there = self._elsewhere is None and all(is_kept(key) for key in keys)
            if is_there or self._is_shared(tuple(key.digest for key in keys)):
                yield "prepare", part, PhaseForecast(0.0, 0, "there" if is_there else "shared")
            else:
                yield "prepare", part, self._cost(part, PLAIN, self._earlier_makings(cell, "prepare", real), real)
        protocol = PROTOCOLS.get(cell.protocol)
        if untrained := untrained_teachers(protocol, real):
            plan = untrained[0][1]  # the same for all of them
            works = [training_work(network, plan, len(real.train)) for network, _ in untrained]
            part = PhaseWork(tuple(passes for work in works for passes in work.passes))
            shared = self._is_shared((protocol.hash, cell.dataset))
            free = PhaseForecast(0.0, 0, "shared")
            yield "teacher", part, free if shared else self._cost(part, plan, [], real)
        part = None if work is None else work.distill
        if made:
            yield "distill", part, PhaseForecast(0.0, 0, "shared")
        else:
            yield "distill", part, self._cost(part, PLAIN, self._earlier_makings(cell, "distill", real), real)
        self._distilled.add(cell.distill_key)
        yield "evaluate", *self._evaluation(cell, real)

    def _evaluation(self, cell: Cell, real: RealDataset) -> tuple[PhaseWork, PhaseForecast]:
        protocol = PROTOCOLS.get(cell.protocol)
        networks = [cell.network] if "accuracy" in cell.evaluators else []
        if "cross_architecture" in cell.evaluators:
            networks += cell.cross_networks
        chunk = chunk_size(self._device, protocol.precision)
        of_accuracy = cell.network if "accuracy" in cell.evaluators else None
        work = evaluation_work(networks, protocol, cell.ipc, cell.students, real, chunk, of_accuracy)
        plan = TrainingPlan.of(protocol, real.info, cell.ipc)
        return work, self._cost(work, plan, self._earlier_evaluations(cell, real), real)

    def _cost(
        self, work: PhaseWork | None, plan: TrainingPlan, earlier: list[Earlier], real: RealDataset
    ) -> PhaseForecast:
        def calibrated(part: PhaseWork) -> float | None:
            at_hand = threads_at_hand()
            on_cpu = self._device.type == "cpu"
            threads = threads_that_pay(part, InputShape.of(real.info), at_hand) if on_cpu else at_hand
            try:
                with given_threads(threads):
                    return self._calibration(real).seconds(part.passes, plan)
            except NotMeasuredError:
                return None

        flops = 0 if work is None else count_flops(work.passes, InputShape.of(real.info))
        if work is None:
            same = [seconds for seconds, _ in earlier]
            return PhaseForecast(median(same) if same else None, 0, "earlier" if same else "unknown")
        scaled: dict[float, list[float]] = {}
        for seconds, then in earlier:
            factor = 1.0 if then is None or then.passes == work.passes else _ratio(calibrated(work), calibrated(then))
            if factor is not None:
                scaled.setdefault(abs(math.log(factor)), []).append(seconds * factor)
        if scaled:
            return PhaseForecast(median(scaled[min(scaled)]), flops, "earlier")
        seconds_now = calibrated(work)
        return PhaseForecast(seconds_now, flops, "unknown" if seconds_now is None else "calibrated")

    def _calibration(self, real: RealDataset) -> Calibration:
        name = (real.info.name, real.info.fingerprint)
        if name not in self._calibrations:
            elsewhere = self._elsewhere
            self._calibrations[name] = (
                KeptCalibration(real.info, elsewhere.speeds) if elsewhere else Calibration(self._device, real.info)
            )
        return self._calibrations[name]

    def _earlier_makings(self, cell: Cell, phase: PhaseName, real: RealDataset) -> list[Earlier]:
        """Return what a phase of the same method took; without declared work, that of the same settings alone."""
        found: list[Earlier] = []
        for result in self._of_dataset(real):
            took = result.phase("prepare" if phase == "prepare" else "distill")
            if result.method != cell.method or took is None:
                continue
            work: MethodWork | None = make_method(result.method, result.config).work(real.train, result.ipc or 1)
            if work is not None:
                found.append((took.reading.seconds, work.prepare if phase == "prepare" else work.distill))
            elif result.config == cell.config and (phase == "prepare" or result.ipc == cell.ipc):
                found.append((took.reading.seconds, None))
        return found

    def _earlier_evaluations(self, cell: Cell, real: RealDataset) -> list[Earlier]:
        """Return what evaluating on the same network under the same protocol took, whatever the method."""
        found: list[Earlier] = []
        for result in self._of_dataset(real):
            took = result.phase("evaluate")
            networks = trained_networks(result)
            if took is None or networks is None:
                continue
            if (result.network, result.protocol_hash) == (cell.network, cell.protocol_hash):
                protocol, size = PROTOCOLS.get(cell.protocol), chunk_size(self._device)
                of_accuracy = result.network if result.metric("test_accuracy_best") else None
                work = evaluation_work(networks, protocol, result.ipc, result.students, real, size, of_accuracy)
                found.append((took.reading.seconds, work))
        return found

    def _of_dataset(self, real: RealDataset) -> list[Result]:
        name, known = real.info.name, (real.info.fingerprint, real.info.layout)
        return [result for result in self._earlier if result.dataset == name and result.dataset_fingerprint in known]

    def _is_shared(self, work: object) -> bool:
        """Return whether an earlier cell does this work, and remember that this one does."""
        shared = work in self._done_before
        self._done_before.add(work)
        return shared


def _ratio(now: float | None, before: float | None) -> float | None:
    """Return how much longer work takes than other work; None where one of them is none or unknown."""
    return now / before if now and before else None
