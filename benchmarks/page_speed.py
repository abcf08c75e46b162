"""Seconds until each page is usable in a real browser, on a database of 1,000 runs and 100,000 metric points.

    python -m benchmarks.page_speed [--times 5] [--json FILE]

A page is visible when its own content is (its table, first chart or form), and complete when its script has ended
too; charts further down are drawn when they come near the window. Each page is measured in two ways: opened by its
link, which reloads the application from the browser's cache, and reached from another page of the open application. One
load of each kind goes first and is not counted.
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
COMPARE = "compare?experiment=2"  # of 500 runs
MAIN = "[data-testid=stMain]"
# Address -> selector of the content, and words that it has
PAGES = {
    "": (MAIN, "Recent runs"),
    "launch": (".st-key-launch-button button", ""),
    "experiments": ("[data-testid=stPageLink]", "e1"),
    "experiment?experiment=2": (CHART, ""),
    "runs": ("[data-testid=stDataFrame] canvas", ""),
    "run?run=2": (CHART, ""),
    COMPARE: (".densitylab-groups a", ""),
    "saliency?runs=1,2": (MAIN, "has no trained model"),
    "studies": (MAIN, "Feature leakage"),
    "models": (MAIN, "Import a model"),
    "datasets": (MAIN, "BlockMNIST"),
    "system": ("[data-testid=stMetric]", ""),
}
ENDED = ("[data-testid=stApp][data-test-script-state=notRunning]", "")
# Asked at every frame: Playwright's own waiting looks at most twice a second after a while
VISIBLE = """([selector, words]) => [...document.querySelectorAll(selector)].some(
    element => element.getClientRects().length && element.textContent.includes(words))"""
# Like a click on a link: the application opens the page without a reload
GO = """path => {
    history.pushState({}, '', '/' + path);
    window.dispatchEvent(new PopStateEvent('popstate', {state: {}}));
}"""


@dataclass
class Timing:
    """Median seconds of one page."""

    page: str
    opened: tuple[float, float]  # by its link: visible, complete
    reached: tuple[float, float]  # within the open application


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=5, help="loads of each kind; the median is reported")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dl-pages-") as folder:
        settings = Settings(home=Path(folder), api_port=free_port(), ui_port=free_port())
        timings, curves = measure(settings, arguments.times)
    print(f"{'':<28}{'by its link':>22}{'from within':>22}")
    print(f"{'page':<28}{'visible':>11}{'complete':>11}{'visible':>11}{'complete':>11}  seconds, goal {GOAL:g}")
    for item in timings:
        print(f"{item.page or 'home':<28}" + "".join(f"{value:>11.2f}" for value in (*item.opened, *item.reached)))
    print(f"The comparison's training curves are drawn {curves:.2f} s after their tab is opened")
    if arguments.json:
        content = {"pages": [asdict(item) for item in timings], "training_curves": curves}
        arguments.json.write_text(json.dumps(content, indent=2) + "\n")


def measure(settings: Settings, times: int) -> tuple[list[Timing], float]:
    """Return the timings, and the seconds from opening the tab of the comparison's training curves until the first is
    drawn."""
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
                medians([opened(tab, root, path) for _ in range(times + 1)][1:]),
                medians([reached(tab, path) for _ in range(times + 1)][1:]),
            )
            for path in PAGES
        ]
        curves = statistics.median([curves_drawn(tab) for _ in range(times)])
        browser.close()
    return timings, curves


def medians(loads: list[tuple[float, float]]) -> tuple[float, float]:
    visible, complete = zip(*loads, strict=True)
    return statistics.median(visible), statistics.median(complete)


def opened(tab: Page, root: str, path: str) -> tuple[float, float]:
    began = time.perf_counter()
    tab.goto(f"{root}/{path}", wait_until="commit")
    return until_usable(tab, path, began)


def reached(tab: Page, path: str) -> tuple[float, float]:
    """Open the page from the System page; open the System page from Home."""
    away = "" if path == "system" else "system"
    tab.evaluate(GO, away)
    tab.wait_for_timeout(300)
    until_usable(tab, away, 0.0)
    began = time.perf_counter()
    tab.evaluate(GO, path)
    return until_usable(tab, path, began)


def curves_drawn(tab: Page) -> float:
    reached(tab, COMPARE)
    began = time.perf_counter()
    tab.get_by_role("tab", name="Training curves").click()
    wait_for(tab, (CHART, ""))
    return time.perf_counter() - began


def until_usable(tab: Page, path: str, began: float) -> tuple[float, float]:
    """Return the seconds from `began` until the page is visible, and complete."""
    wait_for(tab, PAGES[path])
    visible = time.perf_counter() - began
    wait_for(tab, ENDED)
    return visible, time.perf_counter() - began


def wait_for(tab: Page, content: tuple[str, str]) -> None:
    tab.wait_for_function(VISIBLE, arg=list(content), polling="raf")


if __name__ == "__main__":
    main()
