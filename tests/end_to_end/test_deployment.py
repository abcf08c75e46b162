"""docker-compose.yml without a container engine: its schema, each service's command and environment as processes on
real Redis and PostgreSQL with moto's server as the object store, and each Dockerfile's install line.

Only host names, ports and folders are replaced. `tests/deployment` has the engine, where it can run.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import check_jsonschema
import httpx
import jsonschema
import pytest
import s3fs
import yaml

from densitylab.backend.ops import launcher
from densitylab.backend.shared.contracts import Status
from densitylab.backend.shared.settings import Settings
from densitylab.frontend.client import connect
from tests.servers import free_ports, object_store, postgresql, until

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SECRETS = {
    "REDIS_PASSWORD": "br0kerword",
    "POSTGRES_PASSWORD": "databaseword",
    "S3_PASSWORD": "st0reword",
    "DENSITYLAB_API_TOKEN": "t0ken-of-the-compose-file",
}
RUN = {
    "epochs": 1,
    "train_samples": 200,
    "device": "cpu",
    "model": {"key": "mlp", "params": {"hidden": 16}},
    "evaluations": [{"key": "leakage", "params": {"samples": 20}}],
}
BUILT = {service["image"]: service["build"] for service in COMPOSE["services"].values() if "build" in service}
OURS = ("api", "reconciler", "worker", "interactive", "prepare", "page")


def test_the_compose_file_is_valid():
    schemas = Path(check_jsonschema.__file__).parent / "builtin_schemas" / "vendor"
    schema = json.loads((schemas / "compose-spec.json").read_text())
    jsonschema.validators.validator_for(schema)(schema).validate(COMPOSE)
    with pytest.raises(jsonschema.ValidationError):  # the schema does judge
        jsonschema.validate(COMPOSE | {"services": {"api": {"imagine": "x"}}}, schema)


def test_every_service_is_what_it_should_be():
    services = COMPOSE["services"]
    for name, service in services.items():
        one_off = name in ("migrate", "object-store-folder")
        assert one_off or "healthcheck" in service, name
        if service["image"] in BUILT:
            dockerfile = (ROOT / BUILT[service["image"]]["dockerfile"]).read_text()
            assert re.search(r"^USER (?!root)", dockerfile, re.MULTILINE), name
        else:
            assert one_off or service.get("user") not in (None, "root", "0"), name
        for volume in service.get("volumes", []):
            assert volume.partition(":")[0] in COMPOSE["volumes"], name
        told = json.dumps([service.get("command"), service.get("healthcheck")])
        assert not re.search(r"\$\{?(REDIS|POSTGRES|S3)_PASSWORD|API_TOKEN", told), f"{name}: a secret in an argument"
    for number in ("0", "1"):
        gpu = services[f"worker-gpu-{number}"]
        (device,) = gpu["deploy"]["resources"]["reservations"]["devices"]
        assert device["capabilities"] == ["gpu"] and device["device_ids"] == [number] and gpu["profiles"]


def test_one_service_builds_each_image_and_the_others_never_pull_it():
    services = COMPOSE["services"].values()
    assert len([service for service in services if "build" in service]) == len(BUILT) == 4
    for service in services:
        assert service.get("pull_policy") == ("never" if service["image"] in BUILT else None)
        assert service["image"] in BUILT or not service["image"].startswith("densitylab")


def compose(*argv: str, file: Path = ROOT / "docker-compose.yml") -> dict[str, Any]:
    """Return what Docker Compose makes of the file; skip where it is missing. It needs no engine for that."""
    if (
        shutil.which("docker") is None
        or subprocess.run(["docker", "compose", "version"], capture_output=True).returncode
    ):
        pytest.skip("no Docker Compose on this machine: on Debian 13, apt-get install docker-cli docker-compose")
    command = ["docker", "compose", "--file", str(file), *argv, "config", "--format", "json"]
    done = subprocess.run(command, env={**os.environ, **SECRETS}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["services"]


@pytest.mark.parametrize(
    ("profiles", "gpus"),
    [((), set()), (("--profile", "gpu"), {"worker-gpu-0"}), (("--profile", "gpus"), {"worker-gpu-0", "worker-gpu-1"})],
    ids=["default", "gpu", "gpus"],
)
def test_compose_takes_pytorch_for_cpus_and_with_a_profile_for_cuda(profiles: tuple[str, ...], gpus: set[str]):
    services = compose(*profiles)
    assert services.keys() == {name for name, given in COMPOSE["services"].items() if "profiles" not in given} | gpus
    for name, service in services.items():
        if "worker" in service["image"]:
            assert service["image"] == ("densitylab-worker-gpu" if name in gpus else "densitylab-worker")
            assert ("deploy" in service) == (name in gpus)
    builds = {name: service["build"].get("args", {}) for name, service in services.items() if "build" in service}
    assert builds == {"migrate": {}, "worker": {}, "page": {}} | ({"worker-gpu-0": {"TORCH": ""}} if gpus else {})
    assert re.search(r"^ARG TORCH=cpu$", (ROOT / "worker" / "Dockerfile").read_text(), re.M)


def test_services_are_hardened_and_the_page_reaches_the_api_alone():
    services = COMPOSE["services"]
    for name, service in services.items():
        if name == "object-store-folder":
            assert service["network_mode"] == "none"
            continue
        assert service["read_only"] and service["cap_drop"] == ["ALL"] and service["pids_limit"], name
        assert service["security_opt"] == ["no-new-privileges:true"] and "/tmp" in service["tmpfs"], name
    beside = {name for name, service in services.items() if set(service.get("networks", ())) & {"page"}}
    assert beside == {"api", "page"} and services["page"]["networks"] == ["page"]


def test_the_page_is_started_as_the_launcher_does():
    argv = launcher._page(Settings(ui_host="0.0.0.0", api_token="x")).argv
    assert [word.removeprefix(f"{ROOT}/") for word in argv[2:]] == COMPOSE["services"]["page"]["command"][1:]


CHECKS = {
    **{
        f"compose {name}": service["healthcheck"]["test"][-1]
        for name, service in COMPOSE["services"].items()
        if "/state/" in str(service.get("healthcheck"))
    },
    **{
        f"kubernetes {file.stem}": found[0]
        for file in sorted((ROOT / "examples/kubernetes/base").glob("*.yaml"))
        if (found := re.findall(r"- (test -n .*\.alive.*)", file.read_text()))
    },
}


@pytest.mark.parametrize("name", CHECKS)
def test_a_health_check_wants_a_file_that_was_touched_in_the_last_two_minutes(name: str, tmp_path: Path):
    check = CHECKS[name].replace("$$", "$")
    (file,) = re.findall(r"/\S+\.alive", check)
    own = tmp_path / Path(file).name
    check = check.replace(file, str(own))

    def healthy() -> bool:
        return subprocess.run(["sh", "-c", check], capture_output=True).returncode == 0

    assert not healthy()
    own.touch()
    assert healthy()
    for seconds in (-3600, 3600):  # also one of the future, touched before the clock was set back
        os.utime(own, (time.time() + seconds,) * 2)
        assert not healthy()


class Composed:
    """The services as processes, each at a port of its own on this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # 6379 → the one of this test, and so on: hosts and ports as they stand in the file
        self.ports = dict(zip(("6379", "5432", "9000", "8000", "8501"), free_ports(5), strict=True))
        self.names = {"redis": "6379", "postgres": "5432", "object-store": "9000", "api": "8000"}

    def here(self, text: str) -> str:
        text = re.sub(r"\$\{(\w+)(:[?-][^}]*)?\}", lambda found: SECRETS.get(found[1], ""), str(text))
        text = text.replace("$$", "$")
        for name, port in self.names.items():
            text = re.sub(rf"(?<=[@/]){name}:{port}\b", f"127.0.0.1:{self.ports[port]}", text)
        for port, own in self.ports.items():
            text = re.sub(rf"\b{port}\b", str(own), text)
        text = re.sub(r"(?<![\w/])/(data|state|tmp)\b", rf"{self.folder}/\1", text)
        return text.replace("0.0.0.0", "127.0.0.1")

    def environment(self, service: dict[str, Any]) -> dict[str, str]:
        kept = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH")  # and nothing of the developer's own
        binaries = [*sorted(Path("/usr/lib/postgresql").glob("*/bin")), Path(sys.executable).parent]
        given = {name: self.here(value) for name, value in service.get("environment", {}).items()}
        image = {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"} if service["image"] in BUILT else {}
        return {
            **{name: os.environ[name] for name in kept if name in os.environ},
            "OMP_NUM_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": "",
            **image,
            **given,
            "PATH": os.pathsep.join([*map(str, binaries), os.environ["PATH"]]),
        }

    def argv(self, service: dict[str, Any]) -> list[str]:
        words = [self.here(word) for word in service["command"]]
        return [sys.executable, *words[1:]] if words[0] == "python" else words

    def healthy(self, name: str) -> bool:
        """Return the output of the service's own health check."""
        service = COMPOSE["services"][name]
        kind, *words = [self.here(word) for word in service["healthcheck"]["test"]]
        argv = ["sh", "-c", *words] if kind == "CMD-SHELL" else words
        argv = [sys.executable if word == "python" else word for word in argv]
        return subprocess.run(argv, env=self.environment(service), cwd=ROOT, capture_output=True).returncode == 0

    def start(self, name: str) -> subprocess.Popen[bytes]:
        service = COMPOSE["services"][name]
        with (self.folder / f"{name}.log").open("wb") as log:
            return subprocess.Popen(
                self.argv(service), env=self.environment(service), cwd=ROOT, stdout=log, stderr=subprocess.STDOUT
            )


@pytest.fixture
def composed(tmp_path: Path) -> Iterator[Composed]:
    system = Composed(tmp_path)
    for name in ("data", "state", "tmp", "postgres", "moto"):
        (tmp_path / name).mkdir()
    with ExitStack() as stack:
        if shutil.which("redis-server") is None:
            pytest.skip("no redis-server on this machine")
        postgresql(stack, tmp_path / "postgres", system.ports["5432"], password=SECRETS["POSTGRES_PASSWORD"])
        object_store(stack, tmp_path / "moto", system.ports["9000"])
        broker = system.start("redis")
        stack.callback(lambda: (broker.kill(), broker.wait()))
        yield system


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_all_services_run_a_run(composed: Composed):
    for name in ("redis", "postgres"):
        until(lambda name=name: composed.healthy(name), composed.folder / f"{name}.log")
    migrate = composed.start("migrate")
    assert migrate.wait(300) == 0, (composed.folder / "migrate.log").read_text()
    started = {name: composed.start(name) for name in OURS}
    try:
        for name in OURS:
            until(lambda name=name: composed.healthy(name), composed.folder / f"{name}.log", 400)
        client = connect(f"http://127.0.0.1:{composed.ports['8000']}", SECRETS["DENSITYLAB_API_TOKEN"])
        answer = httpx.post(
            f"http://127.0.0.1:{composed.ports['8000']}/api/v1/experiments",
            json={"name": "composed", "spec": RUN},
            headers={"Authorization": f"Bearer {SECRETS['DENSITYLAB_API_TOKEN']}"},
            timeout=60,
        )
        assert answer.status_code == 202, answer.text
        until(lambda: client.run(1).status.final, composed.folder / "worker.log", 400)
        run = client.run(1)
        assert run.status == Status.SUCCEEDED, run.error
        until(lambda: client.run(1).results, composed.folder / "worker.log", 400)
        assert client.readiness().degraded == []
        files = s3fs.S3FileSystem(
            key="densitylab",
            secret=SECRETS["S3_PASSWORD"],
            endpoint_url=f"http://127.0.0.1:{composed.ports['9000']}",
        ).find("densitylab/artifacts/runs/1")
        assert any(file.endswith(".pt") for file in files), files
        assert not (composed.folder / "state" / "artifacts").exists()
        for name in OURS:
            assert composed.healthy(name), f"{name} at the end"
    finally:
        for process in reversed(started.values()):
            process.terminate()
        for process in started.values():
            process.wait(60)
    assert not composed.healthy("worker") and not composed.healthy("page"), "a health check that can not fail"
    for file in composed.folder.glob("*.log"):
        for secret in SECRETS.values():
            assert secret not in file.read_text(), f"{secret} in {file.name}"


@pytest.mark.parametrize("service", ["backend", "frontend", "worker"])
def test_the_cache_of_an_image_is_where_pip_looks(service: str):
    before, _, install = (ROOT / service / "Dockerfile").read_text().partition("RUN --mount=type=cache,")
    assert install.startswith("target=/root/.cache/pip ")
    assert not re.search(r"\b(HOME|XDG_CACHE_HOME|PIP_CACHE_DIR|PIP_NO_CACHE_DIR)\b", before)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("service", "needed", "absent"),
    [
        (
            "backend",
            "densitylab.backend.api.app, densitylab.backend.reconciler, densitylab.backend.ops.migrate, s3fs",
            "torch",
        ),
        ("frontend", "densitylab.frontend.client, densitylab.frontend.charts.figures, streamlit", "torch"),
        ("worker", "densitylab.worker.main, s3fs", "fastapi"),
    ],
)
def test_the_install_line_of_each_dockerfile(service: str, needed: str, absent: str, tmp_path: Path):
    lines = (ROOT / service / "Dockerfile").read_text().splitlines()
    install = next(line for line in lines if "touch README.md LICENSE" in line).partition(" && pip ")[2]
    copied = [shlex.split(line)[1:] for line in lines if line.startswith("COPY")]
    (tmp_path / "app").mkdir()
    for *names, _ in [words for words in copied if words[-1] == "./"]:
        for name in names:
            shutil.copy(ROOT / name, tmp_path / "app" / name)
    for name in ("README.md", "LICENSE"):
        (tmp_path / "app" / name).touch()
    venv.create(tmp_path / "venv", with_pip=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    subprocess.run([python, "-m", "pip", *shlex.split(install)], cwd=tmp_path / "app", check=True)
    for name, target in [words for words in copied if words[-1] != "./"]:
        shutil.copytree(ROOT / name, tmp_path / "app" / target, symlinks=True)
    # Nothing beside what the Dockerfile copies is to be found
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path / "app"), "HOME": str(tmp_path)}
    code = f"import importlib.util, {needed}; print(importlib.util.find_spec({absent!r}))"
    said = subprocess.run(
        [python, "-c", code], cwd=tmp_path / "app", env=environment, check=True, capture_output=True, text=True
    )
    assert said.stdout.splitlines()[-1] == "None"
