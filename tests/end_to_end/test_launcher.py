"""The real launcher with all its services: up, down, killed, in the way of another, beside another."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import psutil
import pytest

from benchmarks.whole_system import belonging
from densitylab.backend.ops import devices, launcher
from tests.servers import broker_and_database, free_port, free_ports
from tests.small_disk import small_disk

PATIENCE = 180.0  # seconds for what takes a few on an idle machine
pytestmark = pytest.mark.timeout(600)


class Lab:
    """A DensityLab in a folder of its own, on ports of its own."""

    def __init__(self, folder: Path, servers: dict[str, str] | None = None) -> None:
        self.home = folder / "home"
        self.log = folder / "log.txt"
        self.api_port, self.ui_port = free_ports(2)
        self.api = f"http://127.0.0.1:{self.api_port}"
        self.page = f"http://127.0.0.1:{self.ui_port}"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("DENSITYLAB_")},
            "DENSITYLAB_HOME": str(self.home),
            "DENSITYLAB_API_PORT": str(self.api_port),
            "DENSITYLAB_UI_PORT": str(self.ui_port),
            "CUDA_VISIBLE_DEVICES": "",
            **(servers or {}),
        }
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def embedded(self) -> bool:
        """Return whether the broker is one of the launcher's children."""
        return "DENSITYLAB_REDIS_URL" not in self.environment

    def start(self) -> float:
        """Start it unless it runs, and wait for its announcement. Returns the seconds that took."""
        if self.process is not None and self.process.poll() is None:
            return 0.0
        began = time.monotonic()
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                launcher_command(), env=self.environment, cwd=self.home.parent, stdout=log, stderr=subprocess.STDOUT
            )
        wait_for(
            lambda: "DensityLab is up" in self.log.read_text() or self.process.poll() is not None, PATIENCE, self.log
        )
        assert self.process.poll() is None, self.log.read_text()
        return time.monotonic() - began

    def refused(self, **environment: str) -> str:
        """Return the one line with which another launcher gives up."""
        outcome = subprocess.run(
            launcher_command(),
            env=self.environment | environment,
            cwd=self.home.parent,
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert outcome.returncode == 1
        assert outcome.stdout == ""
        assert len(outcome.stderr.strip().splitlines()) == 1, outcome.stderr
        return outcome.stderr

    def end(self, number: signal.Signals) -> float:
        """Send the launcher a signal. Returns the seconds until it has ended."""
        assert self.process is not None
        began = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(timeout=30)
        return time.monotonic() - began

    def processes(self) -> list[psutil.Process]:
        """Every living process that was started for this state folder, whoever its parent is by now."""
        return belonging(self.home)

    def children(self, *words: str) -> list[psutil.Process]:
        """The children of the launcher that have these words in their command line."""
        assert self.process is not None
        return [
            child
            for child in psutil.Process(self.process.pid).children()
            if child.status() != psutil.STATUS_ZOMBIE and all(word in " ".join(child.cmdline()) for word in words)
        ]

    def child(self, *words: str) -> psutil.Process:
        """The first of them."""
        return self.children(*words)[0]

    def launch(self, **spec: object) -> int:
        """Launch one run. Returns its id."""
        answer = httpx.post(f"{self.api}/api/v1/experiments", json={"name": "launcher test", "spec": spec})
        assert answer.status_code in (201, 202), answer.text
        experiment = answer.json()["id"]
        runs = httpx.get(f"{self.api}/api/v1/runs", params={"experiment": experiment}).json()["items"]
        return int(runs[0]["id"])

    def run(self, run: int) -> dict:
        return httpx.get(f"{self.api}/api/v1/runs/{run}").raise_for_status().json()


def launcher_command() -> list[str]:
    return [sys.executable, "-P", "-m", "densitylab", "up"]


def is_said_by(child: str, word: str, line: str) -> bool:
    name, _, text = line.partition("|")
    return name.strip() == child and word in text


def wait_for(condition: Callable[[], bool], seconds: float, log: Path) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain\n{log.read_text()[-4000:]}"
        time.sleep(0.05)


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """With TEST_SERVERS on a Redis and a PostgreSQL of its own."""
    with ExitStack() as stack:
        servers = {}
        if os.environ.get("TEST_SERVERS"):
            _, servers = broker_and_database(stack, tmp_path_factory.mktemp("servers"))
        lab = Lab(tmp_path_factory.mktemp("lab"), servers)
        yield lab
        if lab.process is not None and lab.process.poll() is None:
            lab.end(signal.SIGKILL)


def test_the_addresses_are_printed_when_they_answer(lab: Lab):
    lab.start()
    said = lab.log.read_text()
    assert answers(f"{lab.api}/healthz")
    assert answers(lab.page)
    assert lab.page in said and lab.api in said
    training = [f"training-{index}" for index in range(min(devices.cores(), devices.memory() // 2**31, 64))]
    for worker in (*training, "interactive", "prepare"):  # they import torch meanwhile; their lines have their names
        wait_for(
            lambda worker=worker: any(is_said_by(worker, "ready", line) for line in lab.log.open()), PATIENCE, lab.log
        )
    children = psutil.Process(lab.process.pid).children()
    # broker, API, reconciler, page, and the workers
    assert len(children) == len(training) + (6 if lab.embedded else 5)
    assert lab.child("densitylab.worker.main", "training").nice() == 10
    assert lab.child("densitylab.worker.main", "interactive").nice() == 0


def test_nothing_is_open_to_other_machines(lab: Lab):
    lab.start()
    listening = []
    for process in lab.processes():
        with suppress(psutil.NoSuchProcess):  # a job that has ended
            listening += [item.laddr for item in process.net_connections("inet") if item.status == psutil.CONN_LISTEN]
    assert {address.port for address in listening} == {lab.api_port, lab.ui_port}
    assert {address.ip for address in listening} == {"127.0.0.1"}
    if lab.embedded:
        assert (lab.home / "broker").stat().st_mode & 0o777 == 0o700


def test_a_state_folder_in_use_is_said_in_one_line(lab: Lab):
    lab.start()
    api_port, ui_port = free_ports(2)
    said = lab.refused(DENSITYLAB_API_PORT=str(api_port), DENSITYLAB_UI_PORT=str(ui_port))
    assert str(lab.home) in said and f"process {lab.process.pid}" in said and "DENSITYLAB_HOME" in said


def test_a_port_in_use_is_said_in_one_line(lab: Lab, tmp_path: Path):
    lab.start()
    said = lab.refused(DENSITYLAB_HOME=str(tmp_path / "other"))
    assert str(lab.api_port) in said and "DENSITYLAB_API_PORT" in said
    free = str(free_port())
    said = lab.refused(DENSITYLAB_HOME=str(tmp_path / "other"), DENSITYLAB_API_PORT=free)
    assert str(lab.ui_port) in said and "DENSITYLAB_UI_PORT" in said


def test_unsafe_settings_and_a_bad_folder_are_said_in_one_line(lab: Lab, tmp_path: Path):
    assert "DENSITYLAB_API_TOKEN" in lab.refused(DENSITYLAB_API_HOST="0.0.0.0")
    file = tmp_path / "file"
    file.touch()
    assert "DENSITYLAB_HOME" in lab.refused(DENSITYLAB_HOME=str(file))


def test_a_full_state_folder_is_said_in_one_line(lab: Lab, tmp_path: Path):
    api_port, ui_port = free_ports(2)
    with small_disk(tmp_path / "small", kib=64) as disk:
        disk.fill()
        ports = {"DENSITYLAB_API_PORT": str(api_port), "DENSITYLAB_UI_PORT": str(ui_port)}
        assert "No space left" in lab.refused(DENSITYLAB_HOME=str(disk.folder), **ports)
        disk.empty()
        (disk.folder / "lock").write_text("1\n")
        disk.fill()
        assert "is full: free some space" in lab.refused(DENSITYLAB_HOME=str(disk.folder), **ports)


def test_services_do_not_ask_this_machine_through_a_proxy():
    assert launcher._without_proxy({"NO_PROXY": "example.org"})["no_proxy"] == "example.org,localhost,127.0.0.1,::1"
    assert launcher._without_proxy({})["NO_PROXY"] == "localhost,127.0.0.1,::1"
    assert launcher._without_proxy({"no_proxy": "*"}) == {"no_proxy": "*", "NO_PROXY": "*"}


@pytest.mark.parametrize(
    "words",
    [
        ("valkey",),
        ("densitylab.backend.api.server",),
        ("densitylab.backend.reconciler",),
        ("densitylab.worker.main", "training"),
        ("densitylab.frontend.page_server",),
    ],
    ids=lambda words: words[-1],
)
def test_a_child_that_dies_is_restarted(lab: Lab, words: tuple[str, ...]):
    if words == ("valkey",) and not lab.embedded:
        pytest.skip("the broker is not the launcher's")
    lab.start()
    before = {child.pid for child in lab.children()}
    lab.child(*words).kill()

    def is_back() -> bool:
        try:
            return any(child.pid not in before for child in lab.children(*words))
        except psutil.NoSuchProcess:  # the one that was killed went while it was looked at
            return False

    wait_for(is_back, PATIENCE, lab.log)
    wait_for(lambda: answers(f"{lab.api}/healthz") and answers(f"{lab.page}/_stcore/health"), PATIENCE, lab.log)
    assert "SIGKILL, starts again" in lab.log.read_text()


@pytest.mark.slow
def test_two_processes_serve_one_port_are_counted_together_and_stand_in_for_each_other(tmp_path: Path):
    lab = Lab(tmp_path)
    lab.environment["DENSITYLAB_API_PROCESSES"] = "2"

    def asked() -> None:
        for _ in range(40):  # a connection each, which the kernel gives to either
            assert httpx.get(f"{lab.api}/api/v1/catalog").status_code == 200

    def worked(server: psutil.Process) -> float:
        return sum(server.cpu_times()[:2])

    try:
        lab.start()
        servers = [
            child
            for child in psutil.Process(lab.process.pid).children()
            if "densitylab.backend.api.server" in " ".join(child.cmdline())
        ]
        assert len(servers) == 2
        before = [worked(server) for server in servers]
        asked()
        assert all(worked(server) > earlier for server, earlier in zip(servers, before, strict=True))
        line = 'densitylab_request_seconds_count{method="GET",route="/api/v1/catalog",status="200"} %.1f'
        for _ in range(10):
            assert line % 40 in httpx.get(f"{lab.api}/metrics").text
        servers[0].kill()
        wait_for(lambda: not servers[0].is_running(), 5, lab.log)  # and has been buried
        asked()
        assert line % 80 in httpx.get(f"{lab.api}/metrics").text
    finally:
        lab.end(signal.SIGKILL)


@pytest.mark.slow
def test_two_stand_side_by_side_and_a_broker_that_is_named_is_not_started(lab: Lab, tmp_path: Path):
    lab.start()
    other = Lab(tmp_path)
    other.environment["DENSITYLAB_REDIS_URL"] = (
        f"unix://{lab.home / 'broker' / 'valkey.sock'}?db=1"
        if lab.embedded
        else lab.environment["DENSITYLAB_REDIS_URL"].removesuffix("/0") + "/1"
    )
    try:
        other.start()
        names = [process.name() for process in psutil.Process(other.process.pid).children()]
        assert len(names) == len(lab.children()) - lab.embedded and not any("valkey" in name for name in names)
        assert answers(f"{other.api}/healthz") and answers(f"{lab.api}/healthz")
        assert {p.pid for p in lab.processes()}.isdisjoint(p.pid for p in other.processes())
        other.end(signal.SIGINT)
        assert other.processes() == []
        assert answers(f"{lab.api}/healthz")
    finally:
        if other.process.poll() is None:
            other.end(signal.SIGKILL)


def test_stopped_in_ten_seconds_and_started_again_with_everything_kept(lab: Lab):
    lab.start()
    run = lab.launch(epochs=60, evaluations=[])
    wait_for(lambda: lab.run(run)["progress"] > 0.02, PATIENCE, lab.log)
    before = lab.run(run)
    stopped = lab.end(signal.SIGTERM)
    assert lab.process.returncode == 0
    assert stopped < 10
    assert lab.processes() == []
    assert "killed" not in lab.log.read_text().split("stopping")[-1]  # all ended on request

    lab.start()
    assert answers(f"{lab.api}/healthz") and answers(lab.page)
    assert lab.run(run)["spec"] == before["spec"]
    assert lab.run(run)["progress"] >= before["progress"]
    wait_for(lambda: lab.run(run)["progress"] > before["progress"] + 0.02, PATIENCE, lab.log)  # it goes on by itself


def test_killed_outright_it_leaves_nothing(lab: Lab):
    lab.start()
    run = lab.launch(epochs=200, evaluations=[])
    wait_for(lambda: any(lab.run(other)["status"] == "running" for other in range(1, run + 1)), PATIENCE, lab.log)
    training = lab.children("densitylab.worker.main", "training")
    wait_for(lambda: any(worker.children() for worker in training), PATIENCE, lab.log)  # the process of the job
    lab.end(signal.SIGKILL)
    wait_for(lambda: lab.processes() == [], 2, lab.log)
