"""The load of the workers' machines in words."""

from datetime import UTC, datetime

import pytest

from densitylab.backend.shared.contracts import QueueName, Worker
from densitylab.frontend.analysis.machine_load import MachineLoad, load_text, machine_loads


def worker(name: str, host: str, load: float | None, cores: int | None) -> Worker:
    return Worker(name=name, host=host, queues=[QueueName.TRAIN], since=datetime.now(UTC), load=load, cores=cores)


def test_a_machine_is_named_once_with_the_mean_of_its_workers():
    workers = [worker("a", "two", 2.0, 4), worker("b", "one", 1.0, 2), worker("c", "one", 2.0, 2)]
    silent = [worker("d", "three", None, None)]  # of an earlier version
    assert machine_loads([*workers, *silent]) == [MachineLoad("one", 1.5, 2, 0), MachineLoad("two", 2.0, 4, 0)]


@pytest.mark.parametrize(
    ("machine", "text"),
    [
        (MachineLoad("vm", 0.1, 2, 0), "vm: load 0.1 on 2 processor cores, idle."),
        (MachineLoad("vm", 1.2, 2, 1), "vm: load 1.2 on 2 processor cores, not all in use: 1 task of its workers."),
        (
            MachineLoad("vm", 5.4, 2, 2),
            "vm: load 5.4 on 2 processor cores, busy: 2 tasks of its workers and about 3.4 of other processes. "
            "Runs are slower while the load is above the number of cores.",
        ),
    ],
)
def test_the_load_says_who_uses_the_processors(machine, text):
    assert load_text(machine) == text
