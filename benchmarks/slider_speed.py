"""Seconds from a move of the λ slider to the first frame with the new maps, in a real browser on a running system.

    python -m benchmarks.slider_speed [--times 20] [--runs 1,4,7,10]

Shows 8 images under 4 runs, one run at a time. The maps are cached, so only the page is timed: from the key press that
moves the slider to the first frame after the new maps are on the page and decoded. API and page are at
DENSITYLAB_API_URL, DENSITYLAB_UI_HOST and DENSITYLAB_UI_PORT or their default addresses.
"""

import argparse
import shutil
import statistics

from playwright.sync_api import Page, sync_playwright

from benchmarks.launched import launched
from densitylab.backend.shared.contracts import ExperimentRequest
from densitylab.backend.shared.settings import Settings
from densitylab.frontend.analysis.formatting import joined
from densitylab.frontend.client import connect
from densitylab.frontend.command_line.progress_line import ProgressLine

GOAL = 0.3  # seconds
IMAGES = 8
REQUEST = ExperimentRequest(
    name="Slider speed",
    spec={"epochs": 1, "train_samples": 1000, "evaluations": []},
    sweep={"lambda_": [0, 0.01, 0.1, 1]},
    tags=["benchmark"],
)
# Milliseconds until the maps have changed, their pictures are decoded, and a frame has been painted
TIMED = """() => new Promise((resolve, reject) => {
    const maps = () => [...document.querySelectorAll('.dl-card img[data-values]')];
    const shown = () => maps().map((image) => image.dataset.name).join();
    const before = shown();
    let began = null;
    const giveUp = setTimeout(() => reject(new Error('no new map within 20 s')), 20000);
    document.addEventListener('keydown', () => { began ??= performance.now(); }, {capture: true, once: true});
    const observer = new MutationObserver(async () => {
        if (began === null || shown() === before || maps().length === 0) return;
        observer.disconnect();
        clearTimeout(giveUp);
        await Promise.all(maps().map((image) => image.decode()));
        requestAnimationFrame(() => setTimeout(() => resolve(performance.now() - began)));
    });
    observer.observe(document.body, {subtree: true, childList: true, attributes: true, attributeFilter: ['data-name']});
})"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--runs", help="ids of runs of one data set, with commas; default: train four short runs")
    given = parser.parse_args()
    runs = [int(item) for item in given.runs.split(",")] if given.runs else trained()
    settings = Settings()
    address = (
        f"http://{settings.ui_host}:{settings.ui_port}/saliency?runs={joined(runs)}"
        f"&samples={joined(range(IMAGES))}&layout=one+run+at+a+time&at={runs[0]}"
    )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        tab = browser.new_context(viewport={"width": 1400, "height": 1400}).new_page()
        tab.set_default_timeout(60_000)
        tab.goto(address)
        tab.locator(".dl-card").first.wait_for()
        tab.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()
        keys = ["ArrowRight"] * (len(runs) - 1) + ["ArrowLeft"] * (len(runs) - 1)
        for key in keys:  # warm-up
            moved(tab, key)
        taken = [moved(tab, keys[turn % len(keys)]) for turn in range(given.times)]
        browser.close()
    print(
        f"slider: median of {len(taken)} {statistics.median(taken):.3f} s, slowest {max(taken):.3f} s "
        f"(goal: under {GOAL:g} s; {IMAGES} images, {len(runs)} runs)"
    )


def trained() -> list[int]:
    client = connect()
    return [run.id for run in client.wait(launched(client, REQUEST).id, progress=ProgressLine())]


def moved(tab: Page, key: str) -> float:
    """Move the slider by one run and return the seconds."""
    thumb = tab.get_by_role("slider").last
    thumb.focus()
    tab.evaluate(f"window.dlTimed = ({TIMED})(); 0")
    thumb.press(key)
    return float(tab.evaluate("window.dlTimed")) / 1000


if __name__ == "__main__":
    main()
