"""Seconds until each page is usable in a real browser, on a database of 1,000 runs and 100,000 metric points.

    python -m benchmarks.page_speed [--times 5] [--json FILE]

Usable: the page's own content stands (its table, its first charts drawn, its form) and its script has ended; charts
further down are drawn as they come near the window. Each page is measured twice: opened by its link, which loads the
whole application anew from the browser's cache, and reached from another page of the open application. One load of each
kind goes before and is not counted: warm is what is asked for.
"""

import argparse
import json
import shutil
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from backend import migrate
from backend.shared.database import Database
from backend.shared.settings import Settings
from benchmarks.filled import api, broker, create, fill, free_port, ids_of_runs, page

GOAL = 1.0  # seconds
CHART = ".densitylab-chart[data-points]"
COMPARE, FAR = "compare?experiment=2", ".densitylab-chart[aria-label*=' of 60 runs']"
# Address -> what has to be there
PAGES = {
    "": "[data-testid=stMetric]",
    "launch": "button:has-text('Launch 1 run')",
    "experiments": "text=experiment 2",
    "experiment?experiment=2": CHART,
    "runs": "[data-testid=stDataFrame] canvas",
    "run?run=2": CHART,
    COMPARE: CHART,
    "saliency?runs=1,2": "text=Test images",
    "datasets": "text=BlockMNIST",
    "system": "[data-testid=stMetric]",
}
ENDED = "[data-testid=stApp][data-test-script-state=notRunning]"
# As a click on a link does: the application asks for the page without being loaded anew
GO = """path => {
    history.pushState({}, '', '/' + path);
    window.dispatchEvent(new PopStateEvent('popstate', {state: {}}));
}"""


@dataclass
class Timing:
    """Median seconds of one page."""

    page: str
    opened: float  # by its link
    reached: float  # within the open application


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=5, help="loads of each kind; the median counts")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dl-pages-") as folder:
        timings, far = measure(Settings(home=Path(folder), api_port=free_port(), ui_port=free_port()), arguments.times)
    print(f"{'page':<28}{'by its link':>14}{'from within':>14}  seconds, goal {GOAL:g}")
    for item in timings:
        print(f"{item.page or 'home':<28}{item.opened:>14.2f}{item.reached:>14.2f}")
    print(f"The comparison's curves of 60 runs are drawn {far:.2f} s after one scrolls to them")
    if arguments.json:
        content = {"pages": [asdict(item) for item in timings], "curves_scrolled_to": far}
        arguments.json.write_text(json.dumps(content, indent=2) + "\n")


def measure(settings: Settings, times: int) -> tuple[list[Timing], float]:
    """The pages, and the seconds from scrolling to a chart far down until it is drawn."""
    migrate.upgrade(settings)
    with broker(settings), api(settings) as (http, _), page(settings) as (root, _), sync_playwright() as playwright:
        list(create(http))
        database = Database(settings.database_url)
        fill(database, ids_of_runs(http))
        database.close()
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        tab = browser.new_context(viewport={"width": 1400, "height": 1000}).new_page()
        timings = [
            Timing(path, statistics.median([opened(tab, root, path) for _ in range(times + 1)][1:]),
                   statistics.median([reached(tab, path) for _ in range(times + 1)][1:]))
            for path in PAGES
        ]
        far = statistics.median([scrolled(tab) for _ in range(times)])
        browser.close()
    return timings, far


def opened(tab: Page, root: str, path: str) -> float:
    began = time.perf_counter()
    tab.goto(f"{root}/{path}", wait_until="commit")
    return until_usable(tab, path, began)


def reached(tab: Page, path: str) -> float:
    """From the System page; from the home page, if it is that one."""
    away = "" if path == "system" else "system"
    tab.evaluate(GO, away)
    tab.wait_for_timeout(300)
    until_usable(tab, away, 0.0)
    began = time.perf_counter()
    tab.evaluate(GO, path)
    return until_usable(tab, path, began)


def scrolled(tab: Page) -> float:
    reached(tab, COMPARE)
    began = time.perf_counter()
    tab.locator(FAR).first.scroll_into_view_if_needed()
    tab.locator(f"{FAR}[data-points]").first.wait_for()
    return time.perf_counter() - began


def until_usable(tab: Page, path: str, began: float) -> float:
    """Seconds since `began`."""
    tab.locator(PAGES[path]).first.wait_for()
    tab.locator(ENDED).wait_for()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
