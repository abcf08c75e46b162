"""Brokers with a password, with TLS and on a Unix socket: API and workers need only the URL."""

import datetime
import ipaddress
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from redis import Redis
from redis.exceptions import RedisError

from densitylab.backend.broker.delivery import try_deliver
from densitylab.backend.broker.queue import BrokerUnavailable, Queue
from densitylab.backend.ops import migrate
from densitylab.backend.services.datasets import prepare
from densitylab.backend.shared.contracts import QueueName
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.settings import Settings
from densitylab.backend.shared.store import datasets
from tests.servers import free_port, redis, until

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "pa55word-of-the-broker"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(params=["password", "tls", "unix socket"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Start a server of this kind and yield its URL."""
    port = free_port()
    # Not below tmp_path: a socket's path may have 107 bytes
    with tempfile.TemporaryDirectory(prefix="dl-") as name, ExitStack() as stack:
        folder = Path(name)
        if request.param == "password":
            conf, url = f"port {port}\nrequirepass {PASSWORD}", f"redis://:{PASSWORD}@127.0.0.1:{port}/0"
        elif request.param == "unix socket":
            conf = f"port 0\nunixsocket {folder}/redis.sock\nunixsocketperm 700\nrequirepass {PASSWORD}"
            url = f"unix://:{PASSWORD}@{folder}/redis.sock?db=0"
        else:
            _make_certificate(folder)
            conf = (
                f"port 0\ntls-port {port}\ntls-cert-file {folder}/cert.pem\ntls-key-file {folder}/key.pem\n"
                f"tls-ca-cert-file {folder}/cert.pem\ntls-auth-clients no\nrequirepass {PASSWORD}"
            )
            url = f"rediss://:{PASSWORD}@127.0.0.1:{port}/0?ssl_ca_certs={folder}/cert.pem"
        redis(stack, folder, conf, lambda: _pings(url))
        yield url


def test_a_task_is_delivered_and_done(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DENSITYLAB_HOME", str(tmp_path))
    monkeypatch.setenv("DENSITYLAB_REDIS_URL", url)
    settings = Settings()
    assert not settings.embedded_broker
    migrate.upgrade(settings)
    database = Database(settings.database_url)
    queue = Queue(settings.redis_url, database)
    log = tmp_path / "log.txt"
    with log.open("wb") as output:
        worker = subprocess.Popen(
            [sys.executable, "-m", "densitylab.worker.main", "prepare"],
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
    try:
        until(lambda: queue.workers()[QueueName.PREPARE] == 1, log)
        assert queue.live_workers()[0].name.startswith("prepare-")
        with database.write() as session:
            prepare(session, "blockmnist", {"data_seed": 0})
        try_deliver(database, queue)
        until(lambda: _ready(database), log)
    finally:
        worker.terminate()
        worker.wait(20)
    assert PASSWORD not in log.read_text()
    assert queue.workers()[QueueName.PREPARE] == 0, "it unregistered"
    queue.close()
    database.close()


@pytest.mark.parametrize("url", ["tls"], indirect=True)
def test_an_unknown_certificate_and_a_wrong_password_are_reported(url: str, tmp_path: Path):
    settings = Settings(home=tmp_path)
    migrate.upgrade(settings)
    database = Database(settings.database_url)
    unknown, refused = url.partition("?")[0], url.replace(PASSWORD, "no")
    for wrong, message in ((unknown, "certificate verify failed"), (refused, "password")):
        queue = Queue(wrong, database)
        with pytest.raises(BrokerUnavailable, match=message):
            queue.ping()
        queue.close()
        log = tmp_path / "log.txt"
        with log.open("wb") as output:
            worker = subprocess.Popen(
                [sys.executable, "-m", "densitylab.worker.main", "prepare"],
                cwd=ROOT,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "DENSITYLAB_HOME": str(tmp_path), "DENSITYLAB_REDIS_URL": wrong},
            )
        try:
            until(lambda log=log, message=message: message in log.read_text(), log)
        finally:
            worker.kill()
            worker.wait()
        assert log.read_text().count(message) == 1 and PASSWORD not in log.read_text()
    database.close()


def _ready(database: Database) -> bool:
    with database.read() as session:
        row = datasets.get(session, "blockmnist", {"data_seed": 0})
        return row is not None and row.ready


def _pings(url: str) -> bool:
    try:
        return bool(Redis.from_url(url).ping())
    except RedisError:
        return False


def _make_certificate(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "broker of a test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
