"""Three "hosts" in network namespaces: API, PostgreSQL, Redis and the object store on one, one worker on each other.

The workers' hosts have separate host names and files, and cannot see the folder of the first host. The test runs a
sweep of 24 runs undisturbed. Then it repeats the sweep, disconnects a worker's host during a run, and stops broker and
database for 20 s each. No run is lost, none is done twice, and all weights are the same.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import func, select

from densitylab.backend.shared.contracts import Run, Status
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.store import experiments, logs, metrics, runs
from densitylab.backend.shared.tables import EventRow, TaskRow
from tests.servers import S3_KEYS, Server, object_store, postgresql, redis, until

ROOT = Path(__file__).resolve().parents[2]
CENTRE = "10.77.0.1"
OUTAGE = 20.0  # seconds
TOKEN = "token-of-the-hosts"
SPEC = {
    "model": {"key": "mlp", "params": {"hidden": 64, "activation": "silu"}},
    "epochs": 80,
    "device": "cpu",
    "train_samples": 1200,
    "regularizer": {"key": "marginal_density", "params": {"estimator": "random_projection"}},
    "evaluations": [],
}
SWEEP = {"lambda_": [0.01, 0.1, 1.0, 3.0], "seed": [0, 1, 2, 3, 4, 5]}
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(2400),
    pytest.mark.skipif(
        os.getuid() != 0 or shutil.which("ip") is None, reason="network namespaces need root and iproute2"
    ),
]
# For a worker's host: set the host name, hide the centre's folder, run the command
_AS_A_HOST = 'hostname "$1" && mount -t tmpfs tmpfs "$2" && shift 2 && exec "$@"'
_HASHES = """
import hashlib, io, json, torch
from densitylab.backend.shared.artifacts import ArtifactStore
from densitylab.backend.shared.settings import Settings
store, hashes = ArtifactStore(Settings().artifacts_url), dict()
for run in {runs}:
    (location,) = store.locations(f"runs/{{run}}/checkpoints")
    weights = torch.load(io.BytesIO(store.read(location)), weights_only=True)["weights"]
    content = b"".join(weights[name].numpy().tobytes() for name in sorted(weights))
    hashes[run] = hashlib.sha256(content).hexdigest()
print(json.dumps(hashes))
"""


@dataclass
class Hosts:
    """The hosts `centre`, `a` and `b`."""

    folder: Path
    name: str
    stack: ExitStack
    servers: dict[str, Server] = field(default_factory=dict)

    def inside(self, host: str) -> list[str]:
        return ["ip", "netns", "exec", f"{self.name}{host}"]

    def connect(self) -> None:
        for host in ("centre", "a", "b"):
            made = subprocess.run(["ip", "netns", "add", f"{self.name}{host}"], capture_output=True, text=True)
            if made.returncode:
                pytest.skip(f"no network namespaces here: {made.stderr.strip()}")
            self.stack.callback(subprocess.run, ["ip", "netns", "del", f"{self.name}{host}"], check=False)
            self._ip(host, "link", "set", "lo", "up")
        self._ip("centre", "link", "add", "bridge", "type", "bridge")
        self._ip("centre", "addr", "add", f"{CENTRE}/24", "dev", "bridge")
        self._ip("centre", "link", "set", "bridge", "up")
        for number, host in enumerate(("a", "b"), 2):
            self._ip(
                "centre",
                "link",
                "add",
                f"to-{host}",
                "type",
                "veth",
                "peer",
                "name",
                "cable",
                "netns",
                f"{self.name}{host}",
            )
            self._ip("centre", "link", "set", f"to-{host}", "master", "bridge", "up")
            self._ip(host, "addr", "add", f"10.77.0.{number}/24", "dev", "cable")
            self._ip(host, "link", "set", "cable", "up")

    def cable(self, host: str, state: str) -> None:
        self._ip(host, "link", "set", "cable", state)

    def _ip(self, host: str, *words: str) -> None:
        subprocess.run(["ip", "-n", f"{self.name}{host}", *words], check=True)

    def environment(self, host: str) -> dict[str, str]:
        home = self.folder / host
        (home / "home").mkdir(parents=True, exist_ok=True)
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "DENSITYLAB_HOME": str(home / "home"),
            "DENSITYLAB_REDIS_URL": f"redis://{CENTRE}:6379/0",
            "DENSITYLAB_DATABASE_URL": f"postgresql://densitylab@{CENTRE}:5432/densitylab",
            "DENSITYLAB_ARTIFACTS_URL": "s3://hosts/lab",
            "AWS_ENDPOINT_URL": f"http://{CENTRE}:9000",
            **S3_KEYS,
            "DENSITYLAB_THREADS": "1",
            "OMP_NUM_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": "",
            "DENSITYLAB_RATE_LIMIT": "0",
        }

    def start(self, host: str, *module: str, **environment: str) -> subprocess.Popen[bytes]:
        argv = [sys.executable, "-m", *module]
        if host != "centre":
            hidden = str(self.folder / "centre")
            argv = ["unshare", "--uts", "sh", "-c", _AS_A_HOST, "sh", f"host-{host}", hidden, *argv]
        with (self.folder / f"{host}-{module[0]}.log").open("wb") as log:
            process = subprocess.Popen(
                [*self.inside(host), *argv],
                env={**self.environment(host), **environment},
                cwd=ROOT,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.stack.callback(process.wait)
        self.stack.callback(process.kill)
        return process

    def at_the_centre(self, code: str) -> str:
        """Run Python code on the centre and return its output."""
        done = subprocess.run(
            [*self.inside("centre"), sys.executable, "-c", code],
            env=self.environment("centre"),
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def launch(self, name: str) -> int:
        """Launch the sweep through the API and return the id of the experiment."""
        body = {"name": name, "spec": SPEC, "sweep": SWEEP}
        url, headers = f"http://{CENTRE}:8000/api/v1/experiments", {"Authorization": f"Bearer {TOKEN}"}
        return int(
            json.loads(
                self.at_the_centre(
                    f"import httpx; answer = httpx.post({url!r}, timeout=60, json={body!r}, headers={headers!r}); "
                    "print(answer.raise_for_status().text)"
                )
            )["id"]
        )


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    with ExitStack() as stack:
        hosts = Hosts(tmp_path, f"dl{os.getpid()}", stack)
        hosts.connect()
        for name in ("redis", "postgres", "moto"):
            (tmp_path / "centre" / name).mkdir(parents=True)
        inside, centre = hosts.inside("centre"), tmp_path / "centre"
        ping = [*inside, "redis-cli", "-h", CENTRE, "ping"]
        hosts.servers = {
            "broker": redis(
                stack,
                centre / "redis",
                f"bind {CENTRE}\nprotected-mode no",
                lambda: b"PONG" in subprocess.run(ping, capture_output=True).stdout,
                inside,
            ),
            "database": postgresql(stack, centre / "postgres", 5432, CENTRE, inside=inside),
            "store": object_store(stack, centre / "moto", 9000, CENTRE, inside),
        }
        assert hosts.start("centre", "densitylab", "migrate").wait(240) == 0
        hosts.start("centre", "densitylab.backend.api.server", DENSITYLAB_API_HOST=CENTRE, DENSITYLAB_API_TOKEN=TOKEN)
        hosts.start("centre", "densitylab.backend.reconciler")
        for host in ("a", "b"):
            hosts.start(host, "densitylab.worker.main", "training")
            log = tmp_path / f"{host}-worker.main.log"
            until(lambda log=log: "ready for" in log.read_text(), log, 400)
        yield hosts


def test_a_disconnected_host_and_stopped_servers_change_no_result(hosts: Hosts):
    # This process shares the file system with the centre, but not its network: use the socket
    socket = hosts.servers["database"].data
    database = Database(f"postgresql+psycopg://densitylab@/densitylab?host={socket}")
    undisturbed = hosts.launch("undisturbed")
    _until_ended(database, undisturbed)
    names = {run.provenance["host"] for run in _runs(database, undisturbed)}
    assert names == {"host-a", "host-b"}

    disturbed = hosts.launch("disturbed")
    until(lambda: _working_on(database, disturbed, "host-a") is not None)
    victim = _working_on(database, disturbed, "host-a")
    hosts.cable("a", "down")
    print(f"host a is disconnected during run {victim.id} at {victim.progress:.0%}")
    for name in ("broker", "database"):
        waiting = [run.id for run in _runs(database, disturbed) if not run.status.final]
        assert waiting, f"the sweep was over before the {name} was stopped"
        print(f"the {name} is stopped with {len(waiting)} of 24 runs to go")
        hosts.servers[name].stop()
        time.sleep(OUTAGE)
        hosts.servers[name].start()
        database.close()  # its connections are broken
    until(lambda: _holder(database, victim.id) == "host-b" or _run(database, victim.id).status.final, None, 600)
    hosts.cable("a", "up")
    _until_ended(database, disturbed)

    first, again = _runs(database, undisturbed), _runs(database, disturbed)
    assert len(first) == len(again) == 24
    assert {run.status for run in [*first, *again]} == {Status.SUCCEEDED}
    with database.read() as session:
        attempts = [line.text for line in logs.read(session, victim.id) if line.text.startswith("attempt ")]
        ended = dict(
            session.execute(
                select(EventRow.run_id, func.count())
                .group_by(EventRow.run_id)
                .where(EventRow.kind == "train", EventRow.status == Status.SUCCEEDED)
            ).all()
        )
    assert "host-a" in attempts[0] and "host-b" in attempts[-1], attempts
    assert _run(database, victim.id).provenance["host"] == "host-b"
    assert ended == {run.id: 1 for run in [*first, *again]}, "each run ended once"
    hashes = json.loads(hosts.at_the_centre(_HASHES.format(runs=[run.id for run in [*first, *again]])))
    for left, right in zip(first, again, strict=True):
        assert (left.spec.lambda_, left.spec.seed) == (right.spec.lambda_, right.spec.seed)
        assert hashes[str(left.id)] == hashes[str(right.id)], f"weights of runs {left.id} and {right.id}"
        assert _points(database, left.id) == _points(database, right.id)

    third = hosts.launch("host a is back")
    until(lambda: _working_on(database, third, "host-a") is not None, hosts.folder / "a-worker.main.log")
    database.close()


def _until_ended(database: Database, experiment: int) -> None:
    until(lambda: all(run.status.final for run in _runs(database, experiment)), None, 900)


def _runs(database: Database, experiment: int) -> list[Run]:
    with database.read() as session:
        records = runs.many(session, experiments.run_ids(session, experiment))
    return [records[run] for run in sorted(records)]


def _run(database: Database, run: int) -> Run:
    with database.read() as session:
        return runs.get(session, run)


def _holder(database: Database, run: int) -> str | None:
    """Return the host whose worker trains the run."""
    with database.read() as session:
        task = session.get_one(TaskRow, runs.train_task(session, run))
        return task.worker.split("-", 1)[1].rsplit("-", 2)[0] if task.worker and task.status == Status.RUNNING else None


def _working_on(database: Database, experiment: int, host: str) -> Run | None:
    """Return a run in the middle of its training on this host."""
    return next(
        (
            run
            for run in _runs(database, experiment)
            if 0.1 < run.progress < 0.5 and run.status == Status.RUNNING and _holder(database, run.id) == host
        ),
        None,
    )


def _points(database: Database, run: int) -> set[tuple[str, int, float]]:
    with database.read() as session:  # throughput depends on the clock
        return {
            (curve.name, point.step, point.value)
            for curve in metrics.read(session, run)
            for point in curve.points
            if curve.name != "throughput"
        }
