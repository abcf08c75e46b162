"""Images by digest: `.ci/pin` on our own files, with a real registry in place of those that the images come from."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.servers import Server, free_ports

ROOT = Path(__file__).parents[1]
FILES = ("docker-compose.yml", "backend/Dockerfile", "worker/Dockerfile", "frontend/Dockerfile")
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
OURS = {"densitylab-backend", "densitylab-worker", "densitylab-worker-gpu", "densitylab-page"}
BASES = {service["image"] for service in COMPOSE["services"].values()} - OURS | {
    image for file in FILES[1:] for image in re.findall(r"^FROM (\S+)", (ROOT / file).read_text(), re.M)
}
BUILT = "ghcr.io/somebody/densitylab:v0.3.0"
RELEASED = {name: f"ghcr.io/somebody/{name}:v0.3.0" for name in OURS}
TYPE = "application/vnd.oci.image.{}.v1+json".format


class Registry:
    """A registry on this machine that programs with `environment` find in place of docker.io and ghcr.io."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.address = folder, f"127.0.0.1:{port}"
        self.environment = {**os.environ, "HOME": str(folder)}  # skopeo looks for its configuration there
        configuration = folder / ".config" / "containers" / "registries.conf"
        configuration.parent.mkdir(parents=True)
        mirrors = (
            f'prefix = "{host}"\nlocation = "{self.address}"\ninsecure = true' for host in ("docker.io", "ghcr.io")
        )
        configuration.write_text("".join(f"[[registry]]\n{mirror}\n" for mirror in mirrors))
        settings = {
            "version": "0.1",
            "storage": {"filesystem": {"rootdirectory": str(folder / "images")}},
            "http": {"addr": self.address},
        }
        (folder / "registry.yml").write_text(yaml.safe_dump(settings))

    def answers(self) -> bool:
        try:
            return httpx.get(f"http://{self.address}/v2/").status_code == 200
        except httpx.HTTPError:
            return False

    def push(self, image: str, *, platforms: int) -> None:
        """Push an image without files, with a manifest of its own for each platform where it has several."""
        layout = self.folder / "layout"
        blobs = layout / "blobs" / "sha256"
        blobs.mkdir(parents=True)

        def stored(kind: str, content: dict[str, Any]) -> dict[str, Any]:
            data = json.dumps(content).encode()
            name = hashlib.sha256(data).hexdigest()
            (blobs / name).write_bytes(data)
            return {"mediaType": TYPE(kind), "digest": f"sha256:{name}", "size": len(data)}

        manifests = []
        for architecture in ("amd64", "arm64")[:platforms]:
            platform = {"os": "linux", "architecture": architecture}
            empty = {"rootfs": {"type": "layers", "diff_ids": []}, "config": {"Labels": {"image": image}}}
            config = stored("config", {**platform, **empty})
            manifest = {"schemaVersion": 2, "mediaType": TYPE("manifest"), "config": config, "layers": []}
            manifests.append({**stored("manifest", manifest), "platform": platform})
        if platforms > 1:
            index = {"schemaVersion": 2, "mediaType": TYPE("index"), "manifests": manifests}
            manifests = [stored("index", index)]
        (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": manifests}))
        (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        argv = ["skopeo", "--insecure-policy", "copy", "--quiet", "--all", "--dest-tls-verify=false", f"oci:{layout}"]
        done = subprocess.run([*argv, f"docker://{self.address}/{':'.join(self.place(image))}"], stderr=subprocess.PIPE)
        assert done.returncode == 0, done.stderr
        shutil.rmtree(layout)

    def place(self, image: str) -> tuple[str, str]:
        """Return the image's path and tag in this registry."""
        name, _, tag = image.removeprefix("ghcr.io/").rpartition(":")
        return (name if "/" in name else f"library/{name}"), tag

    def digest(self, image: str) -> str:
        """Return what the registry itself says."""
        path, tag = self.place(image)
        accept = ", ".join(map(TYPE, ("index", "manifest")))
        answer = httpx.head(f"http://{self.address}/v2/{path}/manifests/{tag}", headers={"Accept": accept})
        answer.raise_for_status()
        return answer.headers["Docker-Content-Digest"]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    missing = [program for program in ("docker-registry", "skopeo") if shutil.which(program) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not installed: on Debian, apt-get install docker-registry skopeo")
    with ExitStack() as stack:
        registry = Registry(tmp_path_factory.mktemp("registry"), *free_ports(1))
        argv = ["docker-registry", "serve", str(registry.folder / "registry.yml")]
        server = Server(argv, registry.answers, registry.folder / "registry.log")
        stack.callback(server.stop)
        server.start()
        for number, image in enumerate(sorted(BASES | set(RELEASED.values()))):
            registry.push(image, platforms=1 + number % 2)
        yield registry


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def pin(registry: Registry, folder: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    command = [ROOT / ".ci" / "pin", *argv]
    return subprocess.run(command, cwd=folder, env=registry.environment, capture_output=True, text=True)


def test_a_release_names_every_image_by_its_digest(registry: Registry, copied: Path):
    made = pin(registry, copied, *FILES)
    assert made.returncode == 0, made.stderr
    digests = {image: f"{image}@{registry.digest(image)}" for image in BASES}
    assert len(set(digests.values())) == len(BASES) == 5 and set(made.stdout.split()) == set(digests.values())
    for name in FILES[1:]:
        before, after = (ROOT / name).read_text(), (copied / name).read_text()
        assert after == before.replace("FROM python:3.11-slim\n", f"FROM {digests['python:3.11-slim']}\n") != before
    # What is built stays, until it has been
    images = {name: service["image"] for name, service in COMPOSE["services"].items()}
    between = yaml.safe_load((copied / FILES[0]).read_text())["services"]
    assert {name: service["image"] for name, service in between.items()} == {
        name: digests.get(image, image) for name, image in images.items()
    }
    made = pin(registry, copied, "--built", BUILT, FILES[0])
    assert made.returncode == 0, made.stderr
    digests |= {name: f"{image}@{registry.digest(image)}" for name, image in RELEASED.items()}
    after = yaml.safe_load((copied / FILES[0]).read_text())
    assert after["services"] == {
        name: {key: value for key, value in service.items() if key not in ("build", "pull_policy")}
        | {"image": digests[service["image"]]}
        for name, service in COMPOSE["services"].items()
    }
    assert {key: after[key] for key in ("name", "networks", "volumes")} == {
        key: COMPOSE[key] for key in ("name", "networks", "volumes")
    }


def test_a_name_with_a_digest_stays(registry: Registry, copied: Path):
    assert pin(registry, copied, *FILES).returncode == 0
    before = [(copied / name).read_text() for name in FILES]
    made = pin(registry, copied, *FILES)
    assert (made.returncode, made.stdout) == (0, "") and [(copied / name).read_text() for name in FILES] == before


@pytest.mark.parametrize(
    ("image", "reason"),
    [("redis:0.0-never", "manifest unknown"), ("127.0.0.1:9/nobody/redis:7.4", "connection refused")],
    ids=["unknown tag", "unreachable"],
)
def test_an_image_without_a_digest_is_named_and_nothing_is_written(
    registry: Registry, copied: Path, image: str, reason: str
):
    compose = copied / FILES[0]
    compose.write_text(compose.read_text().replace("redis:7.4", image))
    before = [(copied / name).read_text() for name in FILES]
    made = pin(registry, copied, *FILES)
    *lines, last = made.stderr.splitlines()
    assert made.returncode == 1 and made.stdout == "" and last == "Nothing was written"
    assert len(lines) == 1 and lines[0].startswith(f"{image} has no digest: ") and reason in lines[0]
    assert [(copied / name).read_text() for name in FILES] == before


def test_without_skopeo_a_sentence_says_so(copied: Path):
    before = (copied / FILES[0]).read_text()
    argv = [sys.executable, str(ROOT / ".ci" / "pin"), FILES[0]]
    made = subprocess.run(argv, cwd=copied, env={"PATH": ""}, capture_output=True, text=True)
    assert made.returncode == 1 and "redis:7.4: skopeo is missing" in made.stderr
    assert (copied / FILES[0]).read_text() == before
