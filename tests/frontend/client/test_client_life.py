"""Both clients against a served API: listings over all pages, waiting, events, arrays."""

import asyncio
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from densitylab.backend.shared.contracts import PRUNED, EvaluationSpec, Event, Flag, Progress, Status
from densitylab.backend.shared.store import runs
from densitylab.frontend.client import ApiClient, ApiError, RunsFailed, WaitState, connect, connect_async

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.timeout(240)


def test_every_run_comes_over_all_pages(live_api):
    run_ids = live_api.launch({"evaluations": []}, {"seed": [0, 1, 2, 3, 4]})
    client, experiment = live_api.client, live_api.client.run(run_ids[0]).experiment
    assert [run.id for run in client.every(client.runs, experiment=experiment, limit=2)] == run_ids[::-1]
    assert [run.id for run in islice(client.every(client.runs, experiment=experiment, limit=2), 3)] == run_ids[:1:-1]
    assert [run.id for run in client.runs_of(experiment)] == run_ids
    assert list(client.every(client.runs, experiment=experiment, status=Status.FAILED)) == []

    async def listed() -> list[int]:
        async with connect_async(live_api.url) as client:
            return [run.id async for run in client.every(client.runs, experiment=experiment, limit=2)]

    assert asyncio.run(listed()) == run_ids[::-1]


def test_many_requests_of_one_async_client_at_once(live_api):
    run_ids = live_api.launch({"evaluations": []}, {"seed": list(range(20))})

    async def asked() -> list[int]:
        async with connect_async(live_api.url) as client:
            runs = await asyncio.gather(*(client.run(run_id) for run_id in run_ids * 3), client.catalog())
            return [run.id for run in runs[:-1]]

    assert asyncio.run(asked()) == run_ids * 3


def test_the_blocking_client_works_inside_an_event_loop(live_api):
    """As in a notebook, whose cells run in one."""

    async def cell() -> int:
        (run_id,) = live_api.launch({"evaluations": []})
        return live_api.client.run(run_id).id - run_id

    assert asyncio.run(cell()) == 0


def test_threads_share_a_client(live_api):
    run_ids = live_api.launch({"evaluations": []}, {"seed": list(range(8))})
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda run_id=run_id: found.append(live_api.client.run(run_id).id))
        for run_id in run_ids
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == run_ids


def test_waiting_tells_how_far_it_is_and_returns_failures(live_api):
    good, bad = live_api.launch({"evaluations": []}, {"seed": [0, 1]})
    experiment = live_api.client.run(good).experiment

    def work() -> None:
        time.sleep(0.6)
        live_api.finish(good, accuracy__accuracy=0.9)
        time.sleep(0.6)
        live_api.fail(bad, "out of memory")

    worker = threading.Thread(target=work)
    worker.start()
    seen: list[WaitState] = []
    runs = live_api.client.wait(experiment, poll_seconds=0.1, expected_seconds=60, progress=seen.append)
    worker.join()
    assert [(run.id, run.status, run.error) for run in runs] == [
        (good, Status.SUCCEEDED, None),
        (bad, Status.FAILED, "out of memory"),
    ]
    assert runs[0].results["accuracy.accuracy"].value == 0.9  # measured too, not only trained
    done = [state.done for state in seen]
    assert done == sorted(done) and done[0] < 1 and done[-1] == 1.0
    assert seen[0].remaining_seconds == pytest.approx(60, abs=30)
    assert str(seen[-1]) == "100%  1 of 2 trained, 1 failed or cancelled"
    with pytest.raises(RunsFailed, match=rf"1 of 2 runs did not succeed: run {bad} failed \(out of memory\)"):
        live_api.client.wait(runs=[bad, good], check=True)
    assert [run.id for run in live_api.client.wait(runs=[good], check=True)] == [good]


def test_a_run_that_a_search_pruned_is_no_error_of_a_checked_wait(live_api):
    cancelled, pruned = live_api.launch({"evaluations": []}, {"seed": [0, 1]})
    with live_api.database.write() as session:
        runs.add_flags(session, pruned, [Flag(key=PRUNED, text="Pruned after epoch 2.")])
    for run_id in (cancelled, pruned):
        live_api.client.cancel_run(run_id)
    assert [run.pruned for run in live_api.client.wait(runs=[pruned], check=True)] == [True]
    with pytest.raises(RunsFailed) as failed:
        live_api.client.wait(runs=[cancelled, pruned], check=True)
    assert str(failed.value) == f"1 of 2 runs did not succeed: run {cancelled} cancelled (no reason given)."


def test_an_evaluation_that_failed_is_an_error_of_a_checked_wait(live_api):
    good, bad = live_api.launch({"evaluations": []}, {"seed": [0, 1]})
    for run_id in (good, bad):
        live_api.finish(run_id, accuracy__accuracy=0.9)
        live_api.client.evaluate(run_id, EvaluationSpec(key="leakage"))
    live_api.measure(good, leakage__share=0.4)
    live_api.fail_evaluation(bad, "leakage", "out of memory")
    with pytest.raises(RunsFailed) as failed:
        live_api.client.wait(runs=[good, bad], check=True)
    assert str(failed.value) == f"1 of 4 evaluations did not succeed: leakage of run {bad} failed (out of memory)."
    assert [(item.run, item.name) for item in failed.value.evaluations] == [(bad, "leakage")]
    assert [run.id for run in failed.value.runs] == [good, bad]
    first, second = live_api.client.wait(runs=[good, bad])
    assert "leakage.share" in first.results and second.evaluation_counts[Status.FAILED] == 1
    assert live_api.client.wait(runs=[good], check=True) == [first]


def test_waiting_has_an_end(live_api):
    (run_id,) = live_api.launch({"evaluations": []})
    began = time.monotonic()
    with pytest.raises(TimeoutError, match="1 of 1 runs are not done"):
        live_api.client.wait(runs=[run_id], timeout=0.5, poll_seconds=60)
    assert time.monotonic() - began < 30
    assert live_api.client.run(run_id).status is Status.QUEUED
    live_api.client.cancel_run(run_id)
    (run,) = live_api.client.wait(runs=[run_id])
    assert run.status is Status.CANCELLED


def test_what_is_not_there_is_not_waited_for(live_api):
    for wanted in ({"experiment": 99999}, {"runs": [99999]}):
        with pytest.raises(ApiError, match="99999"):
            live_api.client.wait(**wanted)
    with pytest.raises(ValueError, match="an experiment, or runs"):
        live_api.client.wait()
    with pytest.raises(ValueError, match="an experiment, or runs"):
        live_api.client.wait(1, runs=[1])


def test_waiting_asynchronously(live_api):
    first, second = live_api.launch({"evaluations": []}, {"seed": [0, 1]})

    async def waited() -> list[Status]:
        async with connect_async(live_api.url) as client:
            both = asyncio.gather(
                client.wait(runs=[first], poll_seconds=0.1), client.wait(runs=[second], poll_seconds=0.1)
            )
            await client.cancel_run(second)
            await asyncio.to_thread(live_api.finish, first)
            return [run.status for runs in await both for run in runs]

    assert asyncio.run(waited()) == [Status.SUCCEEDED, Status.CANCELLED]


def test_the_arrays_that_a_measure_kept(live_api):
    (run_id,) = live_api.launch({"evaluations": []})
    live_api.finish(run_id)
    live_api.keep_predictions(run_id, [0, 1, 5])
    arrays = live_api.client.artifact_arrays(run_id, "accuracy.npz")
    np.testing.assert_array_equal(arrays["correct"], [True, True, False])
    with pytest.raises(ValueError, match="not an NPZ file"):
        live_api.client.artifact_arrays(run_id, "checkpoint.pt")
    with pytest.raises(ApiError, match="absent"):
        live_api.client.artifact_arrays(run_id, "absent.npz")


class Cable:
    """A TCP connection to the API that can be cut, again and again."""

    def __init__(self, url: str) -> None:
        self._to = ("127.0.0.1", int(url.rpartition(":")[2]))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        for end in self._open:
            with suppress(OSError):  # is cut already
                end.shutdown(socket.SHUT_RDWR)
        self._open = []

    def close(self) -> None:
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            far = socket.create_connection(self._to)
            self._open += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(source, sink), daemon=True).start()

    @staticmethod
    def _carry(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


@pytest.fixture
def cable(live_api) -> Iterator[Cable]:
    cable = Cable(live_api.url)
    yield cable
    cable.close()


def _life(client: ApiClient, run_id: int, after: int) -> Iterator[str]:
    for item in client.events(run_id, after=after):
        if isinstance(item, Event):
            yield item.type


def test_events_go_on_where_the_stream_was_cut(live_api, cable):
    (run_id,) = live_api.launch({"evaluations": []})
    client = connect(cable.url)
    life = _life(client, run_id, 0)
    assert next(life) == "run.queued"
    cable.cut()
    live_api.finish(run_id)
    assert list(islice(life, 2)) == ["run.running", "run.succeeded"]
    cable.cut()
    assert list(islice(life, 2)) == ["evaluation.running", "evaluation.succeeded"]
    life.close()
    assert cable.connections >= 2
    assert client.run(run_id).id == run_id  # the client is whole


def test_progress_comes_between_the_events(live_api):
    (run_id,) = live_api.launch({"evaluations": []})
    live_api.start(run_id)
    items = live_api.client.events(run_id, after=0)
    found = next(item for item in items if isinstance(item, Progress))
    assert 0 <= found.progress <= 1
    items.close()


def test_events_asynchronously_of_every_run_and_end_with_a_deletion(live_api, cable):
    async def told() -> tuple[list[str], list[str]]:
        async with connect_async(cable.url) as client:
            names: list[str] = []
            listening = asyncio.Event()

            async def listen(run_id: int) -> None:
                async for item in client.events(run_id, after=0):
                    if isinstance(item, Event):
                        names.append(item.type)
                    listening.set()

            experiment = await client.launch({"spec": {"evaluations": []}})
            run_id = experiment.runs[0]
            task = asyncio.create_task(listen(run_id))
            await listening.wait()
            cable.cut()
            await client.cancel_run(run_id)
            while "evaluation.cancelled" not in names:
                await asyncio.sleep(0.05)
            everything = []
            async for item in client.events(after=0):
                everything.append(item.type)
                if item.type == "run.cancelled":
                    break
            await client.delete_run(run_id)
            await asyncio.wait_for(task, 60)  # ends by itself
            return names, everything

    names, everything = asyncio.run(told())
    assert names == ["run.queued", "run.cancelled", "evaluation.cancelled"]
    assert "run.queued" in everything


def test_a_stream_of_what_is_not_there_is_refused(live_api):
    with pytest.raises(ApiError, match="99999"):
        next(live_api.client.events(99999))
    with pytest.raises(ApiError, match="does not answer"):
        next(connect("http://127.0.0.1:9", patience=0).events())


def test_an_address_that_is_none_is_refused_at_once():
    with pytest.raises(ApiError, match="begins with http"):
        connect("127.0.0.1:8000")


def test_the_client_loads_neither_streamlit_nor_pandas():
    code = (
        "import densitylab.frontend.client, sys; "
        "print([name for name in ('streamlit', 'pandas', 'plotly', 'torch') if name in sys.modules])"
    )
    outcome = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (outcome.stdout.strip(), outcome.stderr) == ("[]", "")


@pytest.mark.slow
def test_both_clients_are_typed(tmp_path: Path):
    """mypy knows what each method gives, and that the one is to be awaited."""
    file = tmp_path / "typed.py"
    file.write_text(
        "from collections.abc import AsyncIterator, Iterator\n"
        "from typing import assert_type\n"
        "from densitylab.backend.shared.contracts import Event, Progress, Run\n"
        "from densitylab.frontend.client import ApiClient, AsyncApiClient, Listing\n"
        "def plain(client: ApiClient) -> None:\n"
        "    assert_type(client.run(1), Run)\n"
        "    assert_type(client.runs(limit=3), Listing[Run])\n"
        "    assert_type(client.wait(3), list[Run])\n"
        "    assert_type(client.events(), Iterator[Event | Progress])\n"
        "    assert_type(client.every(client.runs, tag='a'), Iterator[Run])\n"
        "async def awaited(client: AsyncApiClient) -> None:\n"
        "    assert_type(await client.run(1), Run)\n"
        "    assert_type(await client.wait(runs=[3]), list[Run])\n"
        "    assert_type(client.events(), AsyncIterator[Event | Progress])\n"
        "    assert_type(client.every(client.runs, tag='a'), AsyncIterator[Run])\n"
        "def wrong(client: ApiClient) -> None:\n"
        "    client.run('1')\n"
        "    client.runs(taag='a')\n"
    )
    outcome = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), str(file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
    )
    lines = [line for line in outcome.stdout.splitlines() if ": error:" in line]
    assert [line.partition("typed.py:")[2].partition(":")[0] for line in lines] == ["17", "18"], outcome.stdout
