"""The OpenAPI document is correct: generated requests give no 5xx and no undeclared status."""

import os
import re
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.core.failures import FailureGroup

from densitylab.backend.api.app import create_app
from densitylab.backend.ops import migrate
from densitylab.backend.reconciler import System
from densitylab.backend.shared.settings import Settings
from tests.servers import free_port

ROOT = Path(__file__).parents[3]
CONFIG = ROOT / "schemathesis.toml"


@pytest.fixture(scope="module")
def api_schema(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Return the schema of the app with its own database and no broker: launches must still be accepted."""
    settings = Settings(home=tmp_path_factory.mktemp("schemathesis"))
    migrate.upgrade(settings)
    app = create_app(settings)
    with TestClient(app):
        config = schemathesis.Config.from_path(CONFIG)
        yield schemathesis.openapi.from_asgi("/openapi.json", app, config=config)


@pytest.mark.timeout(1200)  # two minutes, on a machine that does nothing else
def test_every_operation_answers_as_declared(api_schema: Any):
    told = []
    for result in api_schema.get_all_operations():
        operation = result.ok()
        if operation.path.endswith("/events"):
            continue  # a stream: test_events.py reads those
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            try:
                _check(operation.as_strategy(generation_mode=mode))
            except FailureGroup as failures:
                told.append(f"{operation.label}: " + "; ".join(str(failure) for failure in failures.exceptions))
            except Unsatisfiable:
                assert mode == GenerationMode.NEGATIVE, operation.label  # nothing about it can be wrong
    assert not told, "\n".join(told)


def _check(cases: Any) -> None:
    @hypothesis_settings(
        max_examples=5, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(case=cases)
    def answers_as_declared(case: Any) -> None:
        case.call_and_validate()

    answers_as_declared()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_two_thousand_cases_against_a_running_server(work: Any, system: System, settings: Settings):
    work.prepare()
    for run_id in work.launch(sweep={"seed": [0, 1, 2]})[:2]:
        work.train(run_id)
    port = free_port()
    environment = {
        **os.environ,
        "DENSITYLAB_HOME": str(settings.home),
        "DENSITYLAB_REDIS_URL": settings.redis_url,
        "DENSITYLAB_DATABASE_URL": settings.database_url,
    }
    server = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "uvicorn",
            "--factory",
            "densitylab.backend.api.app:create_app",
            "--port",
            str(port),
            "--log-level",
            "warning",
        ],
        env=environment,
        cwd=ROOT,
    )
    try:
        _wait_for(f"http://127.0.0.1:{port}/healthz")
        tool = Path(sysconfig.get_path("scripts")) / "schemathesis"
        done = subprocess.run(
            [str(tool), "--config-file", str(CONFIG), "run", f"http://127.0.0.1:{port}/openapi.json"],
            capture_output=True,
            text=True,
            timeout=1100,
            cwd=settings.home,
        )
    finally:
        server.terminate()
        server.wait(10)
    assert done.returncode == 0, done.stdout[-8000:]
    cases = re.search(r"([\d,]+) generated", done.stdout)
    assert cases is not None and int(cases.group(1).replace(",", "")) >= 2000, done.stdout[-2000:]


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + 120
    while True:
        try:
            urllib.request.urlopen(url, timeout=1).close()
            return
        except (urllib.error.URLError, TimeoutError):
            assert time.monotonic() < deadline, "the API did not start"
            time.sleep(0.1)
