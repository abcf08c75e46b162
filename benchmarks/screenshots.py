"""Make the README's screenshots of the Saliency, Stability and Density pages, from the gallery's runs.

    python -m benchmarks.screenshots [--out FOLDER]

Needs chromium and a running system (DENSITYLAB_API_URL, DENSITYLAB_UI_HOST, DENSITYLAB_UI_PORT) on which `make gallery`
has run.
"""

import argparse
import shutil
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from benchmarks.gallery.requests import REQUEST, SEEDS, SHOWN
from benchmarks.launched import launched
from densitylab.backend.shared.settings import Settings
from densitylab.frontend.analysis.formatting import joined
from densitylab.frontend.client import connect

WIDTH = 1400  # room for two images with three runs side by side
CARD, CHART = ".dl-card", ".densitylab-chart[data-points]"
ENDED = "[data-testid=stApp][data-test-script-state=notRunning]"
# Name -> (query after the runs, selector to wait for, top of the picture, height of the window)
PAGES = {
    "saliency": ("samples=0,1,2,4&outline=True&clip=95.0", CARD, 0, 1300),
    "stability": ("samples=2&perturbation=attack&strength=0.1", CARD, 0, 1400),
    "density": ("samples=0&direction=gradient", CHART, 0, 1100),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    client, settings = connect(), Settings()
    runs = [
        run.id
        for run in client.runs_of(launched(client, REQUEST).id)
        if run.spec.lambda_ in SHOWN and run.spec.seed == SEEDS[0]
    ]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, (query, ready, top, height) in PAGES.items():
            tab = browser.new_context(viewport={"width": WIDTH, "height": height}, color_scheme="light").new_page()
            tab.set_default_timeout(120_000)
            tab.goto(f"http://{settings.ui_host}:{settings.ui_port}/{name}?runs={joined(sorted(runs))}&{query}")
            settled(tab, ready)
            tab.screenshot(path=out / f"{name}.png", clip={"x": 0, "y": top, "width": WIDTH, "height": height - top})
        browser.close()


def settled(tab: Page, ready: str) -> None:
    tab.locator(ready).first.wait_for()
    tab.locator(ENDED).wait_for()
    for skeleton in tab.locator("[data-testid=stSkeleton]").all():
        skeleton.wait_for(state="detached")
    tab.wait_for_timeout(3000)  # layout changes after the script has ended


if __name__ == "__main__":
    main()
