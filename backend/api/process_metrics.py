"""Prometheus metrics of the API's own processes."""

import os
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import Metric, ProcessCollector
from prometheus_client.registry import Collector


class ApiProcesses(Collector):
    """Memory, processor time and open files of every process that serves the API, by its id (Linux).

    Args:
        folder: PROMETHEUS_MULTIPROC_DIR, in which each process has files; None: this process is the only one.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def collect(self) -> Iterator[Metric]:
        families: dict[str, Metric] = {}
        for pid in self._pids():
            for family in ProcessCollector(pid=lambda pid=pid: pid, registry=None).collect():  # type: ignore[misc]
                whole = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                for sample in family.samples:
                    whole.add_sample(sample.name, {"pid": str(pid)}, sample.value)
        yield from families.values()

    def _pids(self) -> set[int]:
        others = () if self._folder is None else self._folder.glob("counter_*.db")
        return {os.getpid(), *(int(file.stem.partition("_")[2]) for file in others)}
