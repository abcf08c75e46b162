"""Files in an S3-compatible store (moto's server, a real one over HTTP), by settings and environment alone."""

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from densitylab.backend.shared.artifacts import ArtifactStore
from tests.servers import S3_KEYS, free_port, fresh_connections, object_store

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        object_store(stack, tmp_path_factory.mktemp("moto"), port)
        for name, value in {**S3_KEYS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}.items():
            patch.setenv(name, value)
        stack.enter_context(fresh_connections())
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def store(endpoint: str, request: pytest.FixtureRequest) -> ArtifactStore:
    bucket = request.node.name.replace("_", "-").lower()[:40].strip("-")
    store = ArtifactStore(f"s3://{bucket}/lab")
    store.make_root()
    return store


def test_files_go_round(store: ArtifactStore, tmp_path: Path):
    assert store.shared
    store.check()  # an empty bucket is none that is missing
    assert store.everything() == store.locations("runs/1") == [] and store.size_tree("runs/1") == 0
    assert store.write("runs/1/checkpoints/1-2.pt", b"weights") == 7
    store.write_from("runs/1/large.npz", io.BytesIO(b"0" * 6 * 2**20))
    assert store.read("runs/1/checkpoints/1-2.pt") == b"weights"
    store.read_to("runs/1/large.npz", tmp_path / "large.npz")
    assert (tmp_path / "large.npz").stat().st_size == 6 * 2**20
    assert sorted(store.locations("runs/1")) == ["runs/1/checkpoints/1-2.pt", "runs/1/large.npz"]
    assert store.size_tree("runs/1") == 7 + 6 * 2**20
    store.check()


def test_what_is_deleted_is_gone_and_may_be_deleted_again(store: ArtifactStore):
    for location in ("runs/1/a", "runs/1/deep/b", "runs/2/c"):
        store.write(location, b"x")
    store.delete("runs/1/a")
    store.delete("runs/1/a")
    assert store.locations("runs/1") == ["runs/1/deep/b"]
    store.delete_tree("runs/1")
    store.delete_tree("runs/1")
    assert store.everything() == ["runs/2/c"]
    with pytest.raises(FileNotFoundError):
        store.read("runs/1/a")


def test_what_another_process_writes_is_seen(store: ArtifactStore, request: pytest.FixtureRequest):
    assert store.locations("runs/1") == []
    bucket = store._root
    code = (
        "from densitylab.backend.shared.artifacts import ArtifactStore; "
        f"ArtifactStore('s3://{bucket}').write('runs/1/a', b'x')"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert store.locations("runs/1") == ["runs/1/a"]


def test_a_missing_bucket_is_one_sentence(endpoint: str):
    store = ArtifactStore("s3://nowhere/lab")
    with pytest.raises(OSError, match=r"^the store has no bucket 'nowhere'$"):
        store.check()
    with pytest.raises(OSError, match="bucket does not exist"):
        store.write("runs/1/a", b"x")


@pytest.mark.parametrize("command", [["densitylab", "migrate"], ["densitylab.backend.reconciler"]])
def test_a_store_that_nothing_reaches_is_refused_in_one_line(command: list[str], tmp_path: Path):
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "DENSITYLAB_HOME": str(tmp_path),
        "DENSITYLAB_ARTIFACTS_URL": "nosuch://bucket",
    }
    said = subprocess.run(
        [sys.executable, "-m", *command], env=environment, cwd=ROOT, capture_output=True, text=True, timeout=240
    )
    assert said.returncode == 1 and len(said.stderr.strip().splitlines()) == 1, said.stderr
    assert "DENSITYLAB_ARTIFACTS_URL begins with nosuch://" in said.stderr


@pytest.mark.parametrize("missing", ["keys", "server"])
def test_migrate_says_why_the_bucket_can_not_be_made(endpoint: str, missing: str, tmp_path: Path):
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "DENSITYLAB_HOME": str(tmp_path),
        "DENSITYLAB_ARTIFACTS_URL": "s3://made-by-migrate/lab",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    }
    if missing == "keys":
        del environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"]
    else:
        environment |= {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}", "AWS_MAX_ATTEMPTS": "1"}
    said = subprocess.run(
        [sys.executable, "-m", "densitylab", "migrate"],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert said.returncode == 1 and len(said.stderr.strip().splitlines()) == 1, said.stderr
    assert "s3://made-by-migrate/lab, cannot be created: " in said.stderr
    for value in S3_KEYS.values():
        assert value == "us-east-1" or value not in said.stderr
