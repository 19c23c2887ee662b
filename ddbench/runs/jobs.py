"""What the cells of a suite take, from the work that method and protocol declare: threads, memory, and their order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch

from ddbench.errors import UnsupportedError, check_not_told_to_end
from ddbench.host.cached_work import is_kept
from ddbench.host.files import digest_of
from ddbench.host.threads import threads_at_hand
from ddbench.images import RealDataset
from ddbench.method import Method, make_method
from ddbench.network import InputShape
from ddbench.protocol import PROTOCOLS, Protocol
from ddbench.runner import Needs
from ddbench.runs.distill import RunOptions, check_supported, load_real
from ddbench.runs.phase_threads import threads_of_method, threads_of_students, threads_of_teachers
from ddbench.runs.preparation import foundation_keys, prepared_key
from ddbench.runs.schedule import Job
from ddbench.runs.suite import Cell
from ddbench.students.evaluation_work import evaluation_work, training_work
from ddbench.students.loop import chunk_size
from ddbench.students.teacher import untrained_teachers
from ddbench.work import PhaseWork, count_bytes, count_flops

# Of a process that has loaded torch and a small data set, beside what a cell declares.
PROCESS_BYTES = 900 * 2**20


@dataclass(frozen=True)
class _Work:
    """The phases of a cell; None for one that declares nothing."""

    phases: tuple[PhaseWork | None, ...]
    shape: InputShape
    devices: int
    threads: int

    def needs(self, device: torch.device) -> Needs:
        known = [count_bytes(phase, self.shape) for phase in self.phases if phase is not None]
        if device.type == "cuda":  # memory of the GPU is the cell's alone
            return Needs(1, self.devices)
        memory = PROCESS_BYTES + max(known) if len(known) == len(self.phases) else None
        return Needs(self.threads * self.devices, 0, memory)

    @property
    def flops(self) -> float | None:
        known = [count_flops(phase.passes, self.shape) for phase in self.phases if phase is not None]
        return sum(known) if len(known) == len(self.phases) else None


@dataclass
class JobMaker:
    """Makes the jobs of cells; cells that differ in seeds alone are looked at once.

    Args:
        options: data folder and device.
        given: keys of the cells whose sets are there.
        device: where cells run.
    """

    options: RunOptions
    given: Iterable[str]
    device: torch.device
    _works: dict[str, _Work] = field(default_factory=dict)
    _dataset: str = ""
    _real: RealDataset = field(init=False)

    def job_of(self, index: int, cell: Cell) -> Job:
        """Return what is to be known of a cell to give it its turn; of one that cannot be looked at, next to nothing.

        What is wrong with it, such as a network that is too small for the images, is for its own result to say.
        """
        try:
            return self._look_at(index, cell)
        except Exception:
            check_not_told_to_end()
            on_gpu = self.device.type == "cuda"
            needs = Needs(1, self.options.devices) if on_gpu else Needs(threads_at_hand())
            return Job(index, needs, None, (f"set {cell.distill_key}",))

    def _look_at(self, index: int, cell: Cell) -> Job:
        if cell.dataset != self._dataset:
            self._dataset, self._real = cell.dataset, load_real(cell.dataset, self.options)
        real = self._real
        protocol = PROTOCOLS.get(cell.protocol)
        shares = [f"set {cell.distill_key}"]
        if untrained_teachers(protocol, real):
            shares.append(f"teacher {protocol.hash} {cell.dataset}")
        method = None if cell.key in self.given else make_method(cell.method, cell.config)
        if method is not None:
            shares += self._preparations(cell, method, real)
        fields = {"distill_seed", "eval_seed", "dataset_fingerprint"}
        makes = sorted({share.partition(" ")[0] for share in shares})
        kind = digest_of({**cell.model_dump(mode="json", exclude=fields), "makes": makes})
        if kind not in self._works:
            phases = self._phases(cell, method, protocol, real, prepares="prepared" in makes or "foundations" in makes)
            threads = self._threads(cell, method, protocol, real)
            self._works[kind] = _Work(phases, InputShape.of(real.info), self.options.devices, threads)
        work = self._works[kind]
        return Job(index, work.needs(self.device), work.flops, tuple(shares))

    def _preparations(self, cell: Cell, method: Method, real: RealDataset) -> list[str]:
        """Return the names of the preparation and the foundations of a cell that are not there yet."""
        prepared = prepared_key(cell.method, method, real.train, 0 if cell.share_prepare else cell.distill_seed)
        keys = [*foundation_keys(method, real.train), *([] if prepared is None else [prepared])]
        return [f"{key.kind} {key.digest}" for key in keys if not is_kept(key)]

    def _threads(self, cell: Cell, method: Method | None, protocol: Protocol, real: RealDataset) -> int:
        """Return those of the phase that is given most."""
        networks = (cell.network, *cell.cross_networks)
        threads = [
            threads_of_students(networks, protocol, cell.ipc, cell.students, real, self.device),
            threads_of_teachers(protocol, real, self.device),
        ]
        if method is not None and method.unsupported(real.train, cell.ipc or 1) is None:
            threads += threads_of_method(method, real, cell.ipc or 1, self.device)
        return max(threads)

    def _phases(
        self, cell: Cell, method: Method | None, protocol: Protocol, real: RealDataset, *, prepares: bool
    ) -> tuple[PhaseWork | None, ...]:
        phases = [evaluation_of(cell, protocol, real, self.device)]
        phases += [
            training_work(network, plan, len(real.train)) for network, plan in untrained_teachers(protocol, real)
        ]
        if method is None:
            return tuple(phases)
        try:
            check_supported(cell.method, method, real, cell.ipc or 1)
        except UnsupportedError:
            return (PhaseWork(),)
        declared = method.work(real.train, cell.ipc or 1)
        if declared is None:
            return (*phases, None)
        return (*phases, declared.distill, *((declared.prepare,) if prepares else ()))


def evaluation_of(cell: Cell, protocol: Protocol, real: RealDataset, device: torch.device) -> PhaseWork:
    """Return the work of judging the set of a cell."""
    networks = [cell.network, *cell.cross_networks]
    chunk = chunk_size(device, protocol.precision)
    return evaluation_work(networks, protocol, cell.ipc, cell.students, real, chunk, cell.network)
