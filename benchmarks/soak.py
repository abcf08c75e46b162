"""Server cost of live pages: one page for a minute, then twenty sessions and two real browsers for five minutes.

    python -m benchmarks.soak [--alone 60] [--together 300] [--json FILE]

All of them show one run whose curves grow twice a second, and each page refreshes once a second. The twenty sessions
are raw clients of Streamlit's websocket protocol: they request every refresh that a browser would request, and draw
nothing. A session is live if its refreshes arrive; a browser is live if its chart has grown in every minute.
"""

import argparse
import asyncio
import json
import shutil
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil
import websockets
from playwright.async_api import Page, async_playwright
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from benchmarks.seed_database import CURVES, api, broker, free_port, page
from densitylab.backend.ops import migrate
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.settings import Settings
from densitylab.backend.shared.store import metrics, runs, tasks

SESSIONS, BROWSERS = 20, 2
SAMPLE_SECONDS = 10.0
SETTLING_SECONDS = 30.0  # until all pages are loaded; memory is compared from then on
DRAWN = "() => Number(document.querySelector('.densitylab-chart').dataset.points)"
HEAP = "() => performance.memory.usedJSHeapSize / 1e6"


@dataclass
class Outcome:
    """Shares of one core, megabytes, and refreshes per second."""

    alone_page: float = 0.0
    alone_api: float = 0.0
    alone_refreshes: float = 0.0
    together_page: float = 0.0
    together_api: float = 0.0
    page_megabytes: list[float] = field(default_factory=list)  # every ten seconds
    browser_megabytes: list[list[float]] = field(default_factory=list)  # per browser, every minute
    browser_points: list[list[float]] = field(default_factory=list)
    slowest_session: float = 0.0  # refreshes a second
    fastest_session: float = 0.0


class Session:
    """One websocket session that shows the run."""

    def __init__(self, url: str, query: str) -> None:
        self.url, self.query = url, query
        self.refreshed = 0
        self._page = ""
        self._timer: asyncio.Task[None] | None = None
        self._idle = asyncio.Event()  # no refresh is under way

    async def live(self) -> None:
        """Request the page, then its live part at the interval that the server sets, until cancelled."""
        async with websockets.connect(self.url, subprotocols=["streamlit"], max_size=None) as socket:  # type: ignore[list-item]
            await self._ask(socket)
            async for data in socket:
                message = ForwardMsg.FromString(data)  # type: ignore[arg-type]
                kind = message.WhichOneof("type")
                if kind == "new_session":
                    self._page = message.new_session.page_script_hash
                elif kind == "auto_rerun" and self._timer is None:
                    part = message.auto_rerun
                    self._timer = asyncio.create_task(self._again(socket, part.fragment_id, part.interval))
                elif kind == "script_finished":
                    self.refreshed += message.script_finished == ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY
                    self._idle.set()

    async def _again(self, socket: websockets.ClientConnection, fragment: str, interval: float) -> None:
        """Request a refresh every interval, or when the previous one has ended, as a browser does."""
        due = time.monotonic()
        while True:
            due = max(due + interval, time.monotonic())
            await asyncio.sleep(due - time.monotonic())
            await self._idle.wait()
            self._idle.clear()
            await self._ask(socket, fragment)

    async def _ask(self, socket: websockets.ClientConnection, fragment: str = "") -> None:
        message = BackMsg()
        state = message.rerun_script
        state.query_string, state.page_script_hash, state.fragment_id = self.query, self._page, fragment
        state.is_auto_rerun = bool(fragment)
        if not fragment:
            state.page_name = "run"
        await socket.send(message.SerializeToString())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--alone", type=float, default=60, help="seconds with one session")
    parser.add_argument("--together", type=float, default=300, help="seconds with all")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dl-soak-") as folder:
        settings = Settings(home=Path(folder), api_port=free_port(), ui_port=free_port())
        outcome = measure(settings, arguments.alone, arguments.together)
    print(
        f"one page, {outcome.alone_refreshes:.2f} refreshes a second: {outcome.alone_page:.1%} of a core in the "
        f"page's server, {outcome.alone_api:.1%} in the API"
    )
    print(
        f"{SESSIONS} sessions and {BROWSERS} browsers: {outcome.together_page:.0%} and {outcome.together_api:.0%}; "
        f"refreshes a second of a session: {outcome.slowest_session:.2f} to {outcome.fastest_session:.2f}"
    )
    memory = outcome.page_megabytes
    print(
        f"memory of the page's server: {memory[0]:.0f} MB after loading, {memory[-1]:.0f} MB at the end, "
        f"{max(memory):.0f} MB at most"
    )
    for number, (heap, points) in enumerate(zip(outcome.browser_megabytes, outcome.browser_points, strict=True), 1):
        print(
            f"browser {number}, minute by minute: heap {[round(value) for value in heap]} MB, points drawn "
            f"{[round(value) for value in points]}"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(asdict(outcome), indent=2) + "\n")


def measure(settings: Settings, alone: float, together: float) -> Outcome:
    migrate.upgrade(settings)
    with broker(settings), api(settings) as (http, api_server), page(settings) as (root, page_server):
        run = http.post("/experiments", json={"spec": {"evaluations": []}}).raise_for_status().json()["runs"][0]
        database, ended = Database(settings.database_url), threading.Event()
        trainer = threading.Thread(target=train, args=(database, run, ended))
        trainer.start()
        try:
            return asyncio.run(watch(root, f"run={run}", page_server, api_server, alone, together))
        finally:
            ended.set()
            trainer.join()
            database.close()


def train(database: Database, run_id: int, ended: threading.Event) -> None:
    """Write two points of each curve, twice a second, as a training worker does."""
    with database.write() as session:
        held = tasks.claim(session, runs.train_task(session, run_id) or 0, worker="soak", lease_seconds=3600)
        runs.set_started(session, run_id, device="cpu", data_hash="0" * 64, provenance={})
    assert held is not None
    step = 0
    while not ended.wait(0.5):
        with database.write() as session:
            tasks.fence(session, held)
            metrics.append(
                session,
                run_id,
                [
                    metrics.Point(
                        name=name, step=step + more, epoch=step / 36, value=1 / (step + more + 1), seconds=step
                    )
                    for name in CURVES
                    for more in range(2)
                ],
            )
        step += 2


async def watch(
    root: str, query: str, page_server: psutil.Process, api_server: psutil.Process, alone: float, together: float
) -> Outcome:
    outcome = Outcome()
    sessions = [Session(f"{root.replace('http', 'ws')}/_stcore/stream", query) for _ in range(SESSIONS)]
    at_work = [asyncio.create_task(sessions[0].live())]
    await asyncio.sleep(10)
    first, began = sessions[0].refreshed, time.monotonic()
    outcome.alone_page, outcome.alone_api = await shares(alone, page_server, api_server)
    outcome.alone_refreshes = (sessions[0].refreshed - first) / (time.monotonic() - began)
    at_work += [asyncio.create_task(session.live()) for session in sessions[1:]]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        tabs = [await (await browser.new_context()).new_page() for _ in range(BROWSERS)]
        for tab in tabs:
            tab.set_default_timeout(120_000)  # a busy machine
            await tab.goto(f"{root}/run?{query}")
            await tab.locator(".densitylab-chart[data-points]").first.wait_for()
        await asyncio.sleep(SETTLING_SECONDS)
        before = [session.refreshed for session in sessions]
        began = time.monotonic()
        looking = asyncio.create_task(look(outcome, tabs, page_server))
        outcome.together_page, outcome.together_api = await shares(together, page_server, api_server)
        passed = time.monotonic() - began
        looking.cancel()
        await browser.close()
    rates = [(session.refreshed - first) / passed for session, first in zip(sessions, before, strict=True)]
    outcome.slowest_session, outcome.fastest_session = min(rates), max(rates)
    for task in at_work:
        if task.done():
            task.result()  # a lost session reports the reason
        task.cancel()
    return outcome


async def shares(seconds: float, *servers: psutil.Process) -> list[float]:
    """Return the share of one core that each server uses over this time."""
    before, began = [sum(server.cpu_times()[:2]) for server in servers], time.monotonic()
    await asyncio.sleep(seconds)
    passed = time.monotonic() - began
    return [(sum(server.cpu_times()[:2]) - first) / passed for server, first in zip(servers, before, strict=True)]


async def look(outcome: Outcome, tabs: list[Page], page_server: psutil.Process) -> None:
    """Record the server's memory every ten seconds, and the browsers' memory and points every minute."""
    outcome.browser_megabytes = [[] for _ in tabs]
    outcome.browser_points = [[] for _ in tabs]
    with suppress(asyncio.CancelledError):
        for count in range(10**6):
            outcome.page_megabytes.append(page_server.memory_info().rss / 1e6)
            if count % round(60 / SAMPLE_SECONDS) == 0:
                for number, tab in enumerate(tabs):
                    outcome.browser_megabytes[number].append(await tab.evaluate(HEAP))
                    outcome.browser_points[number].append(await tab.evaluate(DRAWN))
            await asyncio.sleep(SAMPLE_SECONDS)


if __name__ == "__main__":
    main()
