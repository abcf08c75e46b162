"""The load of the machines of the workers, in words."""

from collections.abc import Sequence
from dataclasses import dataclass

from densitylab.backend.shared.contracts import Worker
from densitylab.frontend.analysis.formatting import counted


@dataclass(frozen=True)
class MachineLoad:
    """The load of a machine."""

    host: str
    load: float  # processes that compute or wait for a processor, mean of a minute
    cores: int
    tasks: int  # that its workers execute

    @property
    def others(self) -> float:
        """The load of other processes, if each task takes one processor; tasks of several threads are part of it."""
        return max(0.0, self.load - self.tasks)


def machine_loads(workers: Sequence[Worker]) -> list[MachineLoad]:
    """Return the load of each machine, by host name; its workers report at different times, and the mean is taken."""
    hosts: dict[str, list[Worker]] = {}
    for worker in workers:
        hosts.setdefault(worker.host, []).append(worker)
    loads = []
    for host, own in sorted(hosts.items()):
        reported = [(worker.load, worker.cores) for worker in own if worker.load is not None and worker.cores]
        if reported:
            mean = sum(load for load, _ in reported) / len(reported)
            tasks = sum(worker.task is not None for worker in own)
            loads.append(MachineLoad(host, mean, reported[0][1], tasks))
    return loads


def load_text(machine: MachineLoad) -> str:
    """Return the load in a sentence, and what it means for runs."""
    busy = machine.load > machine.cores
    state = "busy" if busy else "idle" if machine.load < 0.5 else "not all in use"
    text = f"{machine.host}: load {machine.load:.1f} on {counted(machine.cores, 'processor core')}, {state}"
    shares = []
    if machine.tasks:
        shares.append(f"{counted(machine.tasks, 'task')} of its workers")
    if machine.others >= 0.5:
        shares.append(f"about {machine.others:.1f} of other processes")
    if shares:
        text += f": {' and '.join(shares)}"
    return f"{text}. Runs are slower while the load is above the number of cores." if busy else f"{text}."
