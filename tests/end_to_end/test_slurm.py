"""examples/slurm: a script in the place of SLURM starts the batch script and sends signals as SLURM does."""

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from densitylab.backend.shared.contracts import Status
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.store import logs, runs
from densitylab.backend.shared.tables import TaskRow
from tests.end_to_end.training_system import ROOT, System, assert_undisturbed, ended, launch, started, step_of, until

EXAMPLE = ROOT / "examples" / "slurm"
KILL_AFTER = 120.0  # seconds from SIGTERM to SIGKILL
STARTS_WITHIN = 300.0  # a worker, on a machine that other tests use too


@dataclass
class Slurm:
    """Accepts jobs by `sbatch`, runs them, and requeues them."""

    folder: Path
    environment: dict[str, str]
    jobs: list[subprocess.Popen] = field(default_factory=list)

    def __post_init__(self) -> None:
        programs = self.folder / "bin"
        programs.mkdir()
        for name in ("sbatch", "scontrol", "squeue"):
            (programs / name).write_text(f'#!/bin/sh\necho "$@" >> {shlex.quote(str(self.folder))}/{name}.calls\n')
            (programs / name).chmod(0o755)
        path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])
        self.environment = {**self.environment, "PATH": path}

    def calls(self, name: str) -> list[str]:
        file = self.folder / f"{name}.calls"
        return file.read_text().splitlines() if file.exists() else []

    def start(self, script: Path, job: int, restart: int) -> subprocess.Popen:
        """Start the one task of a job array as the batch step does, in a process group of its own."""
        environment = {
            **self.environment,
            "SLURM_JOB_ID": str(job),
            "SLURM_ARRAY_JOB_ID": str(job),
            "SLURM_ARRAY_TASK_ID": "0",
            "SLURM_RESTART_COUNT": str(restart),
        }
        with (self.folder / "job.log").open("ab") as log:
            command = ["bash", str(script)]
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, process_group=0)
        self.jobs.append(process)
        return process

    def stop(self) -> None:
        for job in self.jobs:
            with suppress(ProcessLookupError):
                os.killpg(job.pid, signal.SIGKILL)
            job.wait()


def directives(script: Path) -> dict[str, str]:
    """Return the options of the #SBATCH lines, which SLURM reads down to the first command."""
    found = {}
    for line in script.read_text().splitlines()[1:]:
        if line.startswith("#SBATCH "):
            name, _, value = line.removeprefix("#SBATCH --").partition("=")
            found[name] = value
        elif line and not line.startswith("#"):
            break
    return found


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    with started(tmp_path) as system:
        yield system


@pytest.fixture
def slurm(tmp_path: Path, system: System) -> Iterator[Slurm]:
    slurm = Slurm(tmp_path, system.environment)
    yield slurm
    slurm.stop()


def test_the_batch_script_asks_for_what_it_relies_on():
    given = directives(EXAMPLE / "workers.sbatch")
    assert re.fullmatch(r"\d+-\d+", given["array"])
    assert given["signal"] == f"B:TERM@{KILL_AFTER:.0f}"
    assert given["requeue"] == "" and given["open-mode"] == "append"
    subprocess.run(["bash", "-n", str(EXAMPLE / "workers.sbatch")], check=True)


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("why", ["time limit", "preemption"])
def test_a_job_that_must_stop_loses_nothing(system: System, slurm: Slurm, why: str):
    database = Database(system.settings.database_url)
    undisturbed, watch = launch(system.settings, database), launch(system.settings, database)
    assert ended(system.ending_worker("--max-runs", "1", "--idle-seconds", "1"), STARTS_WITHIN) == 0

    commands = "".join(re.findall(r"^```sh\n(.*?)^```$", (EXAMPLE / "README.md").read_text(), re.M | re.S))
    subprocess.run(["bash", "-euo", "pipefail", "-c", commands], env=slurm.environment, cwd=ROOT, check=True)
    (submitted,) = slurm.calls("sbatch")
    script = ROOT / submitted.split()[-1]

    job = slurm.start(script, job=71, restart=0)
    until(lambda records: step_of(records[watch.run]) > 20 and watch.processes, database, [watch], limit=STARTS_WITHIN)
    if why == "time limit":  # --signal=B:TERM: the batch script alone
        job.send_signal(signal.SIGTERM)
    else:  # every process of the job
        os.killpg(job.pid, signal.SIGTERM)
    assert job.wait(KILL_AFTER) == 0
    assert slurm.calls("scontrol") == ["requeue 71"]
    with database.read() as session:
        row = session.get_one(TaskRow, watch.task)
        assert (row.status, row.attempt, row.fruitless) == (Status.QUEUED, 1, 0)
        assert runs.get(session, watch.run).checkpoint_step > 20

    assert slurm.start(script, job=71, restart=1).wait(2 * STARTS_WITHIN) == 0
    with database.read() as session:
        assert runs.get(session, watch.run).attempt == 2
        assert any("continues from the checkpoint" in line.text for line in logs.read(session, watch.run))
    assert slurm.calls("scontrol") == ["requeue 71"], "a job whose queue is empty ends"
    assert_undisturbed(database, system.settings, [watch], undisturbed)
    database.close()
