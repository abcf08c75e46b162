"""Seconds from `densitylab up` until page and API answer, and until Home is drawn then, of two checkouts in turn.

    python -m benchmarks.start BEFORE AFTER [--rounds 5]

BEFORE and AFTER are folders of the repository. Every start but the first of each has a state folder that has been used.
The processor time is that of launcher, broker, page and API until both addresses answer; other work on the machine
changes it less than the seconds. Goal: 3 s on two calm cores.
"""

import argparse
import http.client
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from statistics import median

import psutil
from playwright.sync_api import Page, sync_playwright

from benchmarks.markdown import markdown
from benchmarks.seed_database import free_port

POLL = 0.01
LATER = {"densitylab.worker.main", "densitylab.backend.reconciler"}  # start when both addresses answer
DRAWN = "[data-testid=stApp][data-test-script-state=notRunning] button:has-text('Launch the demo')"


@dataclass
class Start:
    """Seconds of one start."""

    answers: float  # until both addresses answer
    processor: float  # processor time of launcher, broker, page and API until then
    home: float  # from then until Home is drawn in a browser


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    checkouts = {"before": given.before.resolve(), "after": given.after.resolve()}
    starts: dict[str, list[Start]] = {name: [] for name in checkouts}
    with tempfile.TemporaryDirectory(prefix="dl-start-") as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for index in range(given.rounds + 1):
            load = os.getloadavg()[0]
            for name, checkout in checkouts.items():
                tab = browser.new_context().new_page()
                start = measure(checkout, Path(folder) / name, tab)
                tab.context.close()
                if index:
                    starts[name].append(start)
                print(f"{name:<7} load {load:4.1f}  {start}", flush=True)
        browser.close()
    rows = [
        [field.name, *(f"{median(getattr(start, field.name) for start in starts[name]):.2f}" for name in checkouts)]
        for field in fields(Start)
    ]
    print(markdown(["median seconds", *checkouts], rows))


def measure(checkout: Path, home: Path, tab: Page) -> Start:
    """Start the system of a checkout, open Home in the tab, and stop the system."""
    api_port, ui_port = free_port(), free_port()
    settings = {
        "DENSITYLAB_HOME": str(home),
        "DENSITYLAB_API_PORT": str(api_port),
        "DENSITYLAB_UI_PORT": str(ui_port),
        "PYTHONPATH": str(checkout),
    }
    began = time.perf_counter()
    with launched(checkout, settings) as process:
        wait_for(api_port, "/healthz", process)
        wait_for(ui_port, "/_stcore/health", process)
        answers, processor = time.perf_counter() - began, processor_time(process.pid)
        tab.goto(f"http://127.0.0.1:{ui_port}/", wait_until="commit")
        tab.locator(DRAWN).wait_for(timeout=120_000)
        return Start(answers, processor, time.perf_counter() - began - answers)


@contextmanager
def launched(checkout: Path, settings: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-P", "-m", "densitylab", "up"]
    process = subprocess.Popen(
        command, cwd=checkout, env={**os.environ, **settings}, stdout=subprocess.DEVNULL, start_new_session=True
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def wait_for(port: int, path: str, process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=2)) as connection, suppress(OSError):
            connection.request("GET", path)
            if connection.getresponse().status == 200:
                return
        time.sleep(POLL)
    raise SystemExit(f"`densitylab up` ended with status {process.returncode}")


def processor_time(pid: int) -> float:
    """Return the seconds of user and system time of the launcher, the broker, the page and the API."""
    launcher = psutil.Process(pid)
    children = [child for child in launcher.children() if not LATER & set(child.cmdline())]
    times = [process.cpu_times() for process in (launcher, *children)]
    return sum(item.user + item.system for item in times)


if __name__ == "__main__":
    main()
