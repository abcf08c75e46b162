"""Errors and clients cross from one process to another, as in a process pool or a workflow engine."""

import asyncio
import copy
import importlib
import pickle
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

import densitylab.frontend.client
import densitylab.frontend.client.trackers
import densitylab.frontend.command_line
from densitylab.backend.shared.contracts import Evaluation, FieldError, Misfits, Run, RunSpec, Status
from densitylab.extras import MissingExtra
from densitylab.frontend.client import ApiError, RunCancelled, RunsFailed, WeightsDoNotFit, connect, connect_async
from densitylab.frontend.command_line.outcome import WrongInput


def run(number: int, status: Status) -> Run:
    return Run(
        id=number,
        task=number,
        experiment=1,
        status=status,
        spec=RunSpec(),
        created_at=datetime.now(UTC),
        error="it diverged",
    )


def evaluation(run_id: int, status: Status) -> Evaluation:
    return Evaluation(
        id=9, run=run_id, name="leakage", key="leakage", params={}, task=9, status=status, created_at=datetime.now(UTC)
    )


ERRORS = [
    ApiError(422, "refused", [FieldError(pointer="/spec/epochs", detail="expected a number")], 2.5),
    ApiError(0, "no answer"),
    RunsFailed([run(1, Status.SUCCEEDED), run(2, Status.FAILED), run(3, Status.CANCELLED)]),
    RunsFailed([run(1, Status.SUCCEEDED)], [evaluation(1, Status.CANCELLED)]),
    RunCancelled("Run 4 was cancelled."),
    WeightsDoNotFit("fc.weight does not fit", Misfits(total=1)),
    MissingExtra("`connect` needs the extra `client`"),
    WrongInput("this is no spec"),
]


def exception_classes() -> Iterator[type[BaseException]]:
    """Yield each exception class that the client and the command line define. Of the trackers' modules only those are
    searched whose packages are installed."""
    trackers = f"{densitylab.frontend.client.trackers.__name__}."
    for package in (densitylab.frontend.client, densitylab.frontend.command_line):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            try:
                module = importlib.import_module(found.name)
            except ModuleNotFoundError as missing:
                if not found.name.startswith(trackers) or (missing.name or "").startswith("densitylab"):
                    raise
                continue
            for item in vars(module).values():
                if isinstance(item, type) and issubclass(item, BaseException) and item.__module__ == found.name:
                    yield item


def test_every_error_class_is_tried():
    assert set(exception_classes()) <= {type(error) for error in ERRORS}


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])
def test_an_error_stays_the_same(error: Exception, again):
    error.__notes__ = ["seen in a flow"]
    twin = again(error)
    assert type(twin) is type(error) and str(twin) == str(error) and str(error)
    assert vars(twin) == vars(error)


def test_an_error_says_which_runs_failed():
    error = RunsFailed([run(1, Status.SUCCEEDED), run(2, Status.FAILED), run(3, Status.CANCELLED)])
    assert str(error) == "2 of 3 runs did not succeed: run 2 failed (it diverged), and 1 more."


def test_an_error_says_which_evaluations_failed():
    counts = {Status.SUCCEEDED: 1, Status.CANCELLED: 1}
    trained = run(1, Status.SUCCEEDED).model_copy(update={"evaluation_counts": counts})
    error = RunsFailed([trained, run(2, Status.FAILED)], [evaluation(1, Status.CANCELLED)])
    assert str(error) == (
        "1 of 2 runs did not succeed: run 2 failed (it diverged). "
        "1 of 2 evaluations did not succeed: leakage of run 1 cancelled (no reason given)."
    )


def test_a_client_keeps_address_token_and_patience():
    client = pickle.loads(pickle.dumps(connect("http://127.0.0.1:9/below", "secret", patience=0.5)))
    assert client.url == "http://127.0.0.1:9/below"
    assert client._http.headers["Authorization"] == "Bearer secret"
    assert client.async_routes.patience == 0.5
    assert "secret" not in repr(client)


POOL = """
import multiprocessing, operator, sys
from concurrent.futures import ProcessPoolExecutor
from densitylab import connect

if __name__ == "__main__":
    client, number = connect(sys.argv[1]), int(sys.argv[2])
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        print(pool.submit(operator.methodcaller("run", number), client).result() == client.run(number))
        refused = pool.submit(operator.methodcaller("run", 99999), client).exception()
    print(type(refused).__name__, refused.status, refused)
"""


def test_a_process_pool_gets_the_client_and_gives_the_error(live_api, tmp_path):
    (number,) = live_api.launch({"evaluations": []})
    script = tmp_path / "pool.py"  # of its own: this process has had other tests
    script.write_text(POOL)
    command = [sys.executable, str(script), live_api.url, str(number)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.splitlines() == [
        "True",
        "ApiError 404 run 99999 does not exist; it may have been deleted",
    ]


def test_an_asynchronous_client_connects_anew(live_api):
    async def listed() -> int:
        async with connect_async(live_api.url) as first, pickle.loads(pickle.dumps(first)) as second:
            return len((await second.runs()).items) - len((await first.runs()).items)

    assert asyncio.run(listed()) == 0
