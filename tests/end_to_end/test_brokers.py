"""A redis-server with a password, with TLS and with a Unix socket: by the URL alone, for API side and workers alike."""

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

from backend import launching, migrate
from backend.delivery import deliver_or_leave
from backend.queue import BrokerDown, Queue
from backend.shared.contracts import QueueName
from backend.shared.database import Database
from backend.shared.settings import Settings
from backend.shared.store import datasets
from tests.servers import free_ports, redis, until

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "pa55word-of-the-broker"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(params=["password", "tls", "unix socket"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Of a server of that kind."""
    port = free_ports(1)[0]
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
            conf = (f"port 0\ntls-port {port}\ntls-cert-file {folder}/cert.pem\ntls-key-file {folder}/key.pem\n"
                    f"tls-ca-cert-file {folder}/cert.pem\ntls-auth-clients no\nrequirepass {PASSWORD}")
            url = f"rediss://:{PASSWORD}@127.0.0.1:{port}/0?ssl_ca_certs={folder}/cert.pem"
        redis(stack, folder, conf, lambda: _pings(url))
        yield url


def test_work_goes_through(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DENSITYLAB_HOME", str(tmp_path))
    monkeypatch.setenv("DENSITYLAB_REDIS_URL", url)
    settings = Settings()
    assert not settings.embedded_broker
    migrate.upgrade(settings)
    database, queue = Database(settings.database_url), Queue(settings.redis_url)
    log = tmp_path / "log.txt"
    with log.open("wb") as output:
        worker = subprocess.Popen([sys.executable, "-m", "worker.main", "prepare"], cwd=ROOT, stdout=output,
                                  stderr=subprocess.STDOUT, env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        until(lambda: queue.workers()[QueueName.PREPARE] == 1, log)
        assert queue.live_workers()[0].name.startswith("prepare-")
        with database.write() as session:
            launching.prepare(session, "blockmnist", {"data_seed": 0})
        deliver_or_leave(database, queue)
        until(lambda: _ready(database), log)
    finally:
        worker.terminate()
        worker.wait(20)
    assert PASSWORD not in log.read_text()
    assert queue.workers()[QueueName.PREPARE] == 0, "it said goodbye"
    queue.close()
    database.close()


@pytest.mark.parametrize("url", ["tls"], indirect=True)
def test_a_certificate_of_nobody_known_and_a_wrong_password_are_said(url: str, tmp_path: Path):
    unknown, refused = url.partition("?")[0], url.replace(PASSWORD, "no")
    for wrong, said in ((unknown, "certificate verify failed"), (refused, "password")):
        queue = Queue(wrong)
        with pytest.raises(BrokerDown, match=said):
            queue.ping()
        queue.close()
        log = tmp_path / "log.txt"
        with log.open("wb") as output:
            worker = subprocess.Popen(
                [sys.executable, "-m", "worker.main", "prepare"], cwd=ROOT, stdout=output, stderr=subprocess.STDOUT,
                env={**os.environ, "DENSITYLAB_HOME": str(tmp_path), "DENSITYLAB_REDIS_URL": wrong},
            )
        try:
            until(lambda log=log, said=said: said in log.read_text(), log)
        finally:
            worker.kill()
            worker.wait()
        assert log.read_text().count(said) == 1 and PASSWORD not in log.read_text()


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
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ))
