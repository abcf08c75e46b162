"""`densitylab.log_run` against a served API, also one that is away, in forks and in copies."""

import copy
import math
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch

import densitylab
from densitylab.backend.shared.contracts import Run, Status
from densitylab.frontend.client import ApiClient, ApiError, LoggedRun, RunCancelled, connect, log_run
from tests.servers import free_port

ROOT = Path(__file__).parents[3]


def logged(client: ApiClient, **fields: Any) -> LoggedRun:
    return log_run("mine", dataset="blockmnist", client=client, **fields)


def curve(client: ApiClient, run: int, name: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for item in client.metrics(run, names=[name]) for point in item.points]


def test_a_loop_from_its_first_step_to_its_end(live_api):
    client = live_api.client
    settings = {"lr": 0.1, "net": {"width": np.int64(8)}, "path": Path("/data"), "bad": math.nan, "none": None}
    with logged(client, lambda_=0.5, epochs=2, params=settings, model={"key": "cnn"}, tags=["own"]) as run:
        for step in range(1, 5):
            run.log({"validation/accuracy": np.float32(0.5)}, step=step, epoch=step / 2, loss=1 / step)
    found: Run = client.run(run.id)
    assert (found.status, found.progress, found.lambda_, found.tags) == (Status.SUCCEEDED, 1.0, 0.5, ["own"])
    assert found.provenance["params"] == {"lr": 0.1, "net.width": 8, "path": "/data", "bad": "nan", "none": None}
    assert curve(client, run.id, "loss") == [(step, 1 / step) for step in range(1, 5)]
    assert curve(client, run.id, "validation/accuracy") == [(step, 0.5) for step in range(1, 5)]
    seconds = [point.seconds for item in client.metrics(run.id, names=["loss"]) for point in item.points]
    assert seconds == sorted(seconds) and seconds[-1] < 60
    assert run.finish().status is Status.SUCCEEDED
    with pytest.raises(ValueError, match="is finished"):
        run.log(loss=1.0)


def test_a_loss_that_has_gradients_is_logged_without_a_warning(live_api, recwarn):
    loss = (torch.ones(2, requires_grad=True) * 0.25).sum()
    with logged(live_api.client) as run:
        run.log(step=1, loss=loss)
    assert curve(live_api.client, run.id, "loss") == [(1, 0.5)]
    assert not [item for item in recwarn if "requires_grad" in str(item.message)]


def test_steps_are_counted_if_they_are_not_given(live_api):
    run = logged(live_api.client)
    run.log(loss=3.0)
    run.log(loss=2.0, step=10)
    run.log(loss=1.0)
    run.log({"loss": math.inf, "other": math.nan})
    run.finish()
    assert curve(live_api.client, run.id, "loss") == [(0, 3.0), (10, 2.0), (11, 1.0)]
    (flag,) = live_api.client.run(run.id).flags
    assert flag.text.startswith("loss was not a finite number at step 12")


@pytest.mark.slow
def test_the_loop_is_not_delayed_by_a_hundred_thousand_points(live_api):
    run = logged(live_api.client)
    began = time.perf_counter()
    for step in range(100_000):
        run.log(loss=1 / (step + 1), step=step)
    seconds = time.perf_counter() - began
    assert run.finish().status is Status.SUCCEEDED
    assert seconds < 20
    (series,) = live_api.client.metrics(run.id, max_points=100)
    assert (series.total, series.points[-1].step) == (100_000, 99_999)


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ({"step": -1, "loss": 1.0}, ValueError, "step is -1: expected a whole number from 0"),
        ({"step": 1.5, "loss": 1.0}, ValueError, "step is 1.5"),
        ({"step": math.nan, "loss": 1.0}, ValueError, "step is nan"),
        ({"epoch": -1, "loss": 1.0}, ValueError, "epoch is -1"),
        ({"loss": "low"}, TypeError, "loss is a str: expected one number"),
        ({"loss": np.zeros(2)}, TypeError, "loss is a ndarray: expected one number"),
        ({"loss": None}, TypeError, "loss is a NoneType"),
        ({"x" * 65: 1.0}, ValueError, "is no name of a curve"),
    ],
)
def test_a_wrong_call_is_one_sentence(live_api, arguments: dict[str, Any], error: type[Exception], sentence: str):
    run = logged(live_api.client)
    with pytest.raises(error, match=sentence):
        run.log(**arguments)
    with pytest.raises(ValueError, match="is no name of a curve"):
        run.log({"two words": 1.0})
    run.log(loss=1.0)
    run.finish()
    assert curve(live_api.client, run.id, "loss") == [(0, 1.0)]


def test_a_wrong_run_is_refused_with_its_field(live_api):
    with pytest.raises(ApiError) as refused:
        log_run("mine", dataset="mnits", client=live_api.client)
    assert refused.value.errors[0].pointer == "/dataset/key"


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (ValueError("shapes differ"), Status.FAILED, "ValueError: shapes differ"),
        (KeyError(), Status.FAILED, "KeyError"),
        (MemoryError("x" * 5000), Status.FAILED, "MemoryError: xxx"),
        (KeyboardInterrupt(), Status.CANCELLED, None),
    ],
)
def test_an_error_in_the_block_ends_the_run(live_api, error: BaseException, status: Status, reason: str | None):
    with pytest.raises(type(error)), logged(live_api.client) as run:
        run.log(loss=1.0)
        raise error
    found = live_api.client.run(run.id)
    assert found.status is status
    assert (found.error or "").startswith(reason or "") and (found.error is None) == (reason is None)
    assert curve(live_api.client, run.id, "loss") == [(0, 1.0)]


def test_a_cancelled_run_stops_its_loop(live_api):
    with pytest.raises(RunCancelled), logged(live_api.client) as run:
        for step in range(600):
            run.log(loss=1.0, step=step)
            if step == 3:
                live_api.client.cancel_run(run.id)
            time.sleep(0.1)
    assert run.should_stop and live_api.client.run(run.id).status is Status.CANCELLED


def test_a_deleted_run_warns_once_and_the_loop_goes_on(live_api):
    run = logged(live_api.client)
    other = logged(live_api.client)
    live_api.client.finish_logged_run(run.id)
    live_api.client.delete_run(run.id)
    with pytest.warns(UserWarning, match="takes no more points"):
        run.log(loss=1.0)
        deadline = time.monotonic() + 30
        while run._sender is not None and time.monotonic() < deadline:
            time.sleep(0.05)
    run.log(loss=1.0)
    with pytest.raises(ApiError):
        run.finish()
    other.finish()


@pytest.mark.slow
def test_copies_in_other_processes_log_to_the_same_run(live_api, monkeypatch):
    # Streamlit's driver leaves the path of its last script here, which a spawned process would run
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)
    run = logged(live_api.client)
    run.log(loss=0.0, step=0)
    for method, step in (("fork", 1), ("spawn", 2)):
        process = multiprocessing.get_context(method).Process(target=log_in_child, args=(run, step))
        process.start()
        process.join(120)
        assert process.exitcode == 0
    twin = pickle.loads(pickle.dumps(run))
    twin.log(loss=3.0, step=3)
    assert twin.flush(30)
    copy.copy(run).log(loss=3.0, step=3)  # the same point: stored once
    run.log(loss=4.0, step=4)
    assert run.finish().status is Status.SUCCEEDED
    assert curve(live_api.client, run.id, "loss") == [(step, float(step)) for step in range(5)]
    assert repr(run) == f"<LoggedRun {run.id} at {live_api.client.url}>"


def test_a_fork_that_leaves_the_block_does_not_end_the_run(live_api):
    with logged(live_api.client) as run:
        child = os.fork()
        if child == 0:
            try:
                with run:  # as the frames of the parent, which the child has too
                    raise SystemExit(1)
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        run.log(loss=1.0)
    assert live_api.client.run(run.id).status is Status.SUCCEEDED


def log_in_child(run: LoggedRun, step: int) -> None:
    run.log(loss=float(step), step=step)


def test_the_last_points_are_sent_when_the_process_ends(live_api, tmp_path: Path):
    script = textwrap.dedent("""
        import densitylab
        run = densitylab.log_run("mine", dataset="blockmnist")
        print(run.id)
        run.log(loss=1.0)
    """)
    environment = {**os.environ, "DENSITYLAB_API_URL": live_api.url}
    outcome = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert outcome.returncode == 0, outcome.stderr
    assert curve(live_api.client, int(outcome.stdout), "loss") == [(0, 1.0)]
    assert live_api.client.run(int(outcome.stdout)).status is Status.RUNNING


def test_ctrl_c_cancels_the_run(live_api, tmp_path: Path):
    script = textwrap.dedent("""
        import signal, time, densitylab
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with densitylab.log_run("mine", dataset="blockmnist") as run:
            print(run.id, flush=True)
            for step in range(600):
                run.log(loss=1.0, step=step)
                time.sleep(0.1)
    """)
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "DENSITYLAB_API_URL": live_api.url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    number = int(process.stdout.readline())
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert "KeyboardInterrupt" in errors
    assert live_api.client.run(number).status is Status.CANCELLED


@pytest.fixture
def own_api(live_api) -> Iterator["OwnApi"]:
    """An API of a second process, over the database of the first, that can be stopped and started."""
    api = OwnApi(Path(live_api.database.engine.url.database).parent)
    api.start()
    yield api
    api.stop()


class OwnApi:
    def __init__(self, home: Path) -> None:
        self.port = free_port()
        self.home = home
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        arguments = ["--factory", "densitylab.backend.api.app:create_app", "--port", str(self.port), "--no-access-log"]
        environment = {**os.environ, "DENSITYLAB_HOME": str(self.home)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", *arguments], cwd=ROOT, env=environment, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 120
        while True:
            try:
                httpx.get(f"{self.url}/healthz").raise_for_status()
                return
            except httpx.TransportError:
                assert self.process.poll() is None and time.monotonic() < deadline, "the API did not start"
                time.sleep(0.1)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(20)


@pytest.mark.slow
def test_an_api_that_is_away_loses_and_doubles_nothing(own_api: OwnApi):
    with connect(own_api.url) as client:
        run = logged(client)
        for step in range(300):
            run.log(loss=float(step), step=step)
            if step in (50, 150):
                own_api.stop()
            if step in (100, 200):
                own_api.start()
            time.sleep(0.02)
        assert run.finish().status is Status.SUCCEEDED
        assert curve(client, run.id, "loss") == [(step, float(step)) for step in range(300)]
        own_api.stop()
        lost = copy.copy(run)
        lost.log(loss=1.0)
        client.close()  # the run has a connection of its own
        assert not lost.flush(1)
        with pytest.raises(ApiError, match="does not answer: 1 points of run"):
            lost.finish(timeout=1)


def test_the_front_door_has_it():
    assert densitylab.log_run is log_run and densitylab.RunCancelled is RunCancelled
