"""Seconds until each page is usable in a real browser, on a database of 1,000 runs and 100,000 metric points.

    python -m benchmarks.page_speed [--times 5] [--json FILE]

A page is usable when its own content is visible (its table, first charts or form) and its script has ended; charts
further down are drawn when they come near the window. Each page is measured in two ways: opened by its link, which
reloads the application from the browser's cache, and reached from another page of the open application. One load of
each kind goes first and is not counted.
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

from benchmarks.seed_database import api, broker, create, fill, free_port, ids_of_runs, page
from densitylab.backend.ops import migrate
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.settings import Settings

GOAL = 1.0  # seconds
CHART = ".densitylab-chart[data-points]"
COMPARE, FAR = "compare?experiment=2", ".densitylab-chart[aria-label*=' of 60 runs']"
# Address -> selector of the content
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
# Like a click on a link: the application opens the page without a reload
GO = """path => {
    history.pushState({}, '', '/' + path);
    window.dispatchEvent(new PopStateEvent('popstate', {state: {}}));
}"""


@dataclass
class Timing:
    """Median seconds of one page."""

    page: str
    opened: float  # opened by its link
    reached: float  # reached within the open application


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=5, help="loads of each kind; the median is reported")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dl-pages-") as folder:
        timings, far = measure(Settings(home=Path(folder), api_port=free_port(), ui_port=free_port()), arguments.times)
    print(f"{'page':<28}{'by its link':>14}{'from within':>14}  seconds, goal {GOAL:g}")
    for item in timings:
        print(f"{item.page or 'home':<28}{item.opened:>14.2f}{item.reached:>14.2f}")
    print(f"The comparison's curves of 60 runs are drawn {far:.2f} s after scrolling to them")
    if arguments.json:
        content = {"pages": [asdict(item) for item in timings], "curves_scrolled_to": far}
        arguments.json.write_text(json.dumps(content, indent=2) + "\n")


def measure(settings: Settings, times: int) -> tuple[list[Timing], float]:
    """Return the timings, and the seconds from scrolling to a chart far down until it is drawn."""
    migrate.upgrade(settings)
    with broker(settings), api(settings) as (http, _), page(settings) as (root, _), sync_playwright() as playwright:
        list(create(http))
        database = Database(settings.database_url)
        fill(database, ids_of_runs(http))
        database.close()
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        tab = browser.new_context(viewport={"width": 1400, "height": 1000}).new_page()
        timings = [
            Timing(
                path,
                statistics.median([opened(tab, root, path) for _ in range(times + 1)][1:]),
                statistics.median([reached(tab, path) for _ in range(times + 1)][1:]),
            )
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
    """Open the page from the System page; open the System page from Home."""
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
    """Return the seconds since `began`."""
    tab.locator(PAGES[path]).first.wait_for()
    tab.locator(ENDED).wait_for()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
