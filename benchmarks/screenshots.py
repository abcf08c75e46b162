"""Screenshots of the Saliency, Stability and Density pages on the gallery's runs, for README.

    python -m benchmarks.screenshots [--out FOLDER]

Needs a running system (DENSITYLAB_API_URL, DENSITYLAB_UI_HOST, DENSITYLAB_UI_PORT) on which `make gallery` has run, and
chromium.
"""

import argparse
import shutil
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from backend.shared.settings import Settings
from benchmarks.gallery.asked import REQUEST, SEEDS, SHOWN
from benchmarks.launched import launched
from frontend.client import connect
from frontend.words import joined

WIDTH = 1400  # two images with three runs stand side by side
CARD, CHART = ".dl-card", ".densitylab-chart[data-points]"
ENDED = "[data-testid=stApp][data-test-script-state=notRunning]"
# Name -> (words of the link after the runs, what has to be there, where the picture begins, height of the window)
PAGES = {
    "saliency": ("samples=0,1,2,4&outline=True&clip=95.0", CARD, 735, 1600),
    "stability": ("samples=2&perturbation=attack&strength=0.1", CARD, 0, 2000),
    "density": ("samples=0&direction=gradient", CHART, 0, 1400),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    client, settings = connect(), Settings()
    runs = [run.id for run in client.runs_of(launched(client, REQUEST).id)
            if run.spec.lambda_ in SHOWN and run.spec.seed == SEEDS[0]]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, (words, there, top, height) in PAGES.items():
            tab = browser.new_context(viewport={"width": WIDTH, "height": height}, color_scheme="light").new_page()
            tab.set_default_timeout(120_000)
            tab.goto(f"http://{settings.ui_host}:{settings.ui_port}/{name}?runs={joined(sorted(runs))}&{words}")
            settled(tab, there)
            tab.screenshot(path=out / f"{name}.png", clip={"x": 0, "y": top, "width": WIDTH, "height": height - top})
        browser.close()


def settled(tab: Page, there: str) -> None:
    tab.locator(there).first.wait_for()
    tab.locator(ENDED).wait_for()
    for place in tab.locator("[data-testid=stSkeleton]").all():
        place.wait_for(state="detached")
    tab.wait_for_timeout(3000)  # what the page moves after its script has ended


if __name__ == "__main__":
    main()
