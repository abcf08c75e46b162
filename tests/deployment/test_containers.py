"""docker-compose.yml in a real Docker engine: the images are built, everything runs, is stopped and updated.

The base images are stand-ins of Debian's packages, as `stand_ins/Dockerfile` says. At the end a table has the figures.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deployment import engine as engines
from tests.deployment.engine import Engine, debootstrap

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = [name for name, service in COMPOSE["services"].items() if "profiles" not in service]
ONE_OFF = ("migrate", "object-store-folder")
RUNNING = [name for name in SERVICES if name not in ONE_OFF]
BUILT = {"api": "backend", "worker": "worker", "page": "page"}  # a service of each image that runs without a GPU
SECRETS = {
    "REDIS_PASSWORD": "br0kerword",
    "POSTGRES_PASSWORD": "databaseword",
    "S3_PASSWORD": "st0reword",
    "DENSITYLAB_API_TOKEN": "t0ken-of-the-compose-file",
}
GPU_IMAGE = "densitylab-worker-gpu"
IMAGES = {*(f"densitylab-{image}" for image in BUILT.values()), GPU_IMAGE}
UP = ("up", "--detach", "--wait", "--no-build", "--pull", "never")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(5400)]


class Composed:
    """The project in an engine, and the figures that are printed at the end."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.torch = ""  # PyTorch's build of the workers without a GPU
        self.figures: list[tuple[str, str]] = []

    def compose(self, *argv: str, check: bool = True) -> str:
        files = ("-f", "docker-compose.yml", "-f", "/build.json")
        return self.engine.inside("docker", "compose", *files, *argv, cwd="/project", check=check).stdout.strip()

    def shell(self, service: str, script: str, *argv: str, shell: str = "sh") -> str:
        """Run a script in a service's container."""
        return self.compose("exec", "-T", service, shell, "-c", script, shell, *argv)

    def container(self, service: str) -> dict[str, Any]:
        return json.loads(self.engine.docker("inspect", self.compose("ps", "--all", "--quiet", service)))[0]

    def session(self, step: str) -> dict[str, Any]:
        """Run `session.py` where the ports are published."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "DENSITYLAB_API_TOKEN": SECRETS["DENSITYLAB_API_TOKEN"]}
        done = subprocess.run(
            [*self.engine.enter("--net"), sys.executable, str(Path(__file__).with_name("session.py")), step],
            env=environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{done.stderr[-4000:]}\n{self.compose('logs', '--tail', '30')}"
        return json.loads(done.stdout)

    def timed(self, label: str, started: float) -> None:
        self.figures.append((label, f"{time.monotonic() - started:.0f} s"))


def project(folder: Path) -> None:
    """Copy what git knows or would add, and write the secrets beside it."""
    folder.mkdir()
    copy = f"git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -d -t {folder}"
    subprocess.run(copy, shell=True, cwd=ROOT, check=True)
    (folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in SECRETS.items()))


def index_arguments() -> list[str]:
    """Return the build's arguments that name this machine's package indices, where its settings name some."""
    settings = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True).stdout
    names = {"PIP_INDEX_URL": "index-url", "PIP_EXTRA_INDEX_URL": "extra-index-url"}
    found = {name: re.search(rf"\.{key}='(https?://[^']+)'", settings) for name, key in names.items()}
    return [word for name, match in found.items() if match for word in ("--build-arg", f"{name}={match[1]}")]


def torch_build() -> str:
    """Return "cpu"; empty, which is the build with CUDA, where PyTorch's own index cannot be reached."""
    argv = ["uv", "pip", "install", "--dry-run", "--no-deps", "--reinstall-package", "torch", "--torch-backend", "cpu"]
    constraints = str(ROOT / "constraints.txt")
    done = subprocess.run(
        [sys.executable, "-m", *argv, "--python", sys.executable, "--constraint", constraints, "torch"],
        capture_output=True,
    )
    return "cpu" if done.returncode == 0 else ""


def build_settings(torch: str) -> dict[str, Any]:
    """Return a compose file that is added for the builds: PyTorch's build of the workers without a GPU, and no bridge,
    so that this machine's network stays as it is."""
    builds: dict[str, dict[str, Any]] = {
        name: {"network": "host"} for name, service in COMPOSE["services"].items() if "build" in service
    }
    builds["worker"]["args"] = {"TORCH": torch}
    return {"services": {name: {"build": build} for name, build in builds.items()}}


def stand_ins(composed: Composed, folder: Path) -> None:
    """Make an image for each one that the project takes from a registry."""
    for suite in ("bookworm", "trixie"):
        debootstrap(suite, folder / suite)
        with subprocess.Popen(["tar", "-C", str(folder / suite), "-c", "."], stdout=subprocess.PIPE) as tar:
            assert tar.stdout is not None
            composed.engine.inside("docker", "import", "-", f"densitylab-test-{suite}", stdin=tar.stdout.fileno())
    names = {service["image"] for service in COMPOSE["services"].values()} - IMAGES
    for dockerfile in ROOT.glob("*/Dockerfile"):
        names |= set(re.findall(r"^FROM (\S+)", dockerfile.read_text(), re.MULTILINE))
    for name in sorted(names):
        stage = name.rpartition("/")[2].partition(":")[0]
        composed.engine.docker(
            "build", "--network=host", *index_arguments(), f"--target={stage}", f"--tag={name}",
            "/project/tests/deployment/stand_ins",
        )  # fmt: skip
        label = composed.engine.docker("image", "inspect", "--format", '{{index .Config.Labels "stand-in"}}', name)
        composed.figures.append((f"image {name}", f"stand-in: {label}"))


@pytest.fixture(scope="module")
def composed(request: pytest.FixtureRequest) -> Iterator[Composed]:
    """Everything up, with images that were built here."""
    if reason := engines.obstacle():
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="dl-engine-") as name:
        folder = Path(name)
        engine = Engine(folder / "engine")
        composed = Composed(engine)
        try:
            started = time.monotonic()
            debootstrap(engines.SUITE, engine.folder, engines.PACKAGES)
            fake_gpus(engine.folder)
            project(engine.folder / "project")
            composed.torch = torch_build()
            composed.figures.append(
                ("PyTorch's build of the workers", composed.torch or "CUDA: its index is out of reach")
            )
            (engine.folder / "build.json").write_text(json.dumps(build_settings(composed.torch)))
            engine.start(own_network=False)
            version = engine.docker("version", "--format", "{{.Server.Version}}")
            composed.figures.append(
                ("Docker Engine, Compose", f"{version}, {engine.docker('compose', 'version', '--short')}")
            )
            stand_ins(composed, folder)
            composed.timed("engine and stand-ins installed in", started)
            started = time.monotonic()
            composed.compose("--profile", "gpus", "build", *index_arguments())
            composed.timed("four images built in", started)
            engine.stop()
            engine.start(own_network=True)
            started = time.monotonic()
            composed.compose(*UP)
            composed.timed("everything up and healthy in", started)
            yield composed
        finally:
            engine.stop()
            width = max((len(label) for label, _ in composed.figures), default=0)
            with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
                print("", *(f"{label:<{width}}  {figure}" for label, figure in composed.figures), sep="\n")


def fake_gpus(root: Path) -> None:
    """Let the engine reserve GPUs: it asks whether NVIDIA's hook is there, which would put their devices in place."""
    hook = root / "usr/bin/nvidia-container-runtime-hook"
    hook.write_text("#!/bin/sh\nexec cat > /dev/null\n")
    hook.chmod(0o755)


def test_all_services_are_up(composed: Composed):
    for name in RUNNING:
        assert composed.container(name)["State"]["Health"]["Status"] == "healthy", name
    for name in ONE_OFF:
        state = composed.container(name)["State"]
        assert (state["Status"], state["ExitCode"]) == ("exited", 0), name


@pytest.mark.parametrize("service", RUNNING)
def test_a_service_has_no_rights(composed: Composed, service: str):
    status = dict(re.findall(r"^(\w+):\s+(.*)$", composed.shell(service, "cat /proc/1/status"), re.MULTILINE))
    user = composed.shell(service, "id -u")
    assert status["Uid"].split() == [user] * 4 and user != "0"
    for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[kind], 16) == 0, kind
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
    (mount,) = [line for line in composed.shell(service, "cat /proc/mounts").splitlines() if line.split()[1] == "/"]
    assert "ro" in mount.split()[3].split(",")
    assert composed.container(service)["HostConfig"]["PidsLimit"] == 1024
    written = composed.shell(
        service, "for folder in / /app /etc /usr/local /var; do touch $folder/probe; done 2>&1; true"
    )
    assert written.count("Read-only file system") + written.count("No such file") == 5, written
    composed.figures.append((f"{service}: user", f"{user}; root read-only, no capabilities, no new privileges"))


@pytest.mark.parametrize("service", RUNNING)
def test_files_in_volumes_belong_to_the_user_and_secrets_are_hidden(composed: Composed, service: str):
    for mount in composed.container(service)["Mounts"]:
        if mount["Type"] == "volume":
            folder = mount["Destination"]
            assert composed.shell(service, f'find {folder} ! -user "$(id -u)"') == ""
            assert composed.shell(service, f"touch {folder}/probe && rm {folder}/probe && echo written") == "written"
    told = composed.shell(service, "cat /proc/[0-9]*/cmdline") + composed.compose("logs", service)
    assert not [name for name, secret in SECRETS.items() if secret in told]


def test_the_files_with_passwords_are_for_their_user_alone(composed: Composed):
    assert composed.shell("redis", "stat -c %a /tmp/redis.conf") == "600"
    assert composed.shell("object-store", "stat -c %a /data/accounts/users.json") == "600"


def test_the_page_reaches_the_api_alone(composed: Composed):
    script = "exec 3<>/dev/tcp/$1/$2 && echo open"
    reach = {
        name: composed.compose("exec", "-T", "page", "bash", "-c", script, "bash", name, port, check=False)
        for name, port in (("api", "8000"), ("redis", "6379"), ("postgres", "5432"), ("object-store", "9000"))
    }
    assert reach == {"api": "open", "redis": "", "postgres": "", "object-store": ""}
    assert composed.shell("api", script, "postgres", "5432", shell="bash") == "open"


def test_the_command_is_in_every_image(composed: Composed):
    for service in BUILT:
        assert re.fullmatch(r"densitylab \d+\.\d+\.\d+", composed.shell(service, "densitylab --version"))


def test_each_image_is_built_once(composed: Composed):
    names = composed.engine.docker("image", "ls", "--all", "--format", "{{.Repository}}").splitlines()
    assert sorted(name for name in names if name == "<none>" or name in IMAGES) == sorted(IMAGES)


def test_sizes_of_the_images(composed: Composed):
    sizes = {
        name: int(composed.engine.docker("image", "inspect", "--format", "{{.Size}}", name)) / 1e6
        for name in ("python:3.11-slim", *IMAGES)
    }
    base = sizes.pop("python:3.11-slim")
    most = {
        GPU_IMAGE: 8000,
        "densitylab-worker": 1350 if composed.torch else 8000,
    }  # 1.5 GB with the official base image
    for name, size in sorted(sizes.items()):
        composed.figures.append((f"{name}: size", f"{size - base:,.0f} MB beside the base image's {base:,.0f} MB"))
        assert size - base < most.get(name, 1000), name


def test_an_experiment_with_evaluations_and_maps(composed: Composed):
    answer = composed.session("complete")
    assert answer["degraded"] == [] and answer["page"] == 200 and answer["maps"][:2] == [2, 2]
    assert len(answer["runs"]) == 2
    for run in answer["runs"].values():
        assert run["status"] == "succeeded" and {"accuracy.accuracy", "leakage.share"} <= set(run["results"]), run
    composed.figures.append(("experiment of two runs with two evaluations", f"{answer['seconds']:.0f} s; maps of both"))


def test_health_checks_are_cheap(composed: Composed):
    total = 0.0
    for service in RUNNING:
        kind, *check = composed.container(service)["Config"]["Healthcheck"]["Test"]
        argv = ["sh", "-c", *check] if kind == "CMD-SHELL" else check
        script = 'n=20; while [ $n -gt 0 ]; do "$@" > /dev/null || exit 1; n=$((n - 1)); done; times'
        minutes_and_seconds = re.findall(r"(\d+)m\s*([\d.]+)s", composed.shell(service, script, *argv))
        cost = sum(60 * float(minutes) + float(seconds) for minutes, seconds in minutes_and_seconds) / 20
        assert len(minutes_and_seconds) == 4 and cost < 0.05, (service, cost)
        composed.figures.append((f"{service}: a health check", f"{1000 * cost:.1f} ms of processor"))
        total += 6 * cost
    before = composed.engine.processor_seconds()
    time.sleep(60)
    engine = composed.engine.processor_seconds() - before
    composed.figures.append(
        (
            "all health checks, each minute",
            f"{total:.2f} s of processor; {engine:.1f} s with the engine that starts them",
        )
    )


def test_each_gpu_has_a_worker(composed: Composed):
    services = ("worker-gpu-0", "worker-gpu-1")
    composed.compose("--profile", "gpus", *UP, "--scale", "worker=0")
    for number, service in enumerate(services):
        environment = composed.shell(service, "tr '\\0' '\\n' < /proc/1/environ").splitlines()
        assert f"NVIDIA_VISIBLE_DEVICES={number}" in environment, environment
        composed.figures.append((f"{service}: NVIDIA_VISIBLE_DEVICES", f"{number} (no GPU: NVIDIA's hook is a fake)"))
    assert composed.compose("ps", "--quiet", "worker") == ""
    composed.compose("rm", "--stop", "--force", *services)
    composed.compose(*UP)


def test_an_update_keeps_everything_and_interrupts_no_run(composed: Composed):
    before = composed.session("begin")["runs"]
    images = {service: composed.container(service)["Image"] for service in BUILT}
    started = time.monotonic()
    composed.compose("stop")
    composed.timed("stopped, while a run trained, in", started)
    for service in RUNNING:
        assert composed.container(service)["State"]["ExitCode"] in (0, 143), service  # 137: it had to be killed
    composed.compose("down")
    for file in ("README.md", "densitylab/cli.py"):
        with (composed.engine.folder / "project" / file).open("a") as text:
            text.write("\n# a new version\n")
    started = time.monotonic()
    composed.compose("--profile", "gpus", "build")  # without a network, thus without an installation
    composed.timed("built again after a change of the code in", started)
    composed.compose(*UP)
    for service, image in images.items():
        assert composed.container(service)["Image"] != image
        assert "a new version" in composed.shell(service, "tail -n 1 /app/densitylab/cli.py")
    after = composed.session("end")["runs"]
    assert {number: after[number] for number in before} == before
    (interrupted,) = [run for number, run in after.items() if number not in before]
    assert interrupted["status"] == "succeeded" and interrupted["attempts"] == 2
    again = composed.session("complete")["runs"]
    assert len(again) == len(after) + 2 and all(run["status"] == "succeeded" for run in again.values())
    composed.figures.append(("updated", "the volumes' runs as before; the interrupted run at its 2nd attempt"))
