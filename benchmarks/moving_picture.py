"""Make the README's moving picture: the λ slider over the runs of one experiment.

    python -m benchmarks.moving_picture EXPERIMENT [--image 0] [--out docs/screenshots/lambda.webp]

Needs chromium and a running system (DENSITYLAB_UI_HOST, DENSITYLAB_UI_PORT).
"""

import argparse
import io
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from benchmarks.screenshots import settled
from densitylab.backend.shared.settings import Settings

WIDTH, HEIGHT = 1280, 720  # of the window
STEP, END = 700, 2000  # milliseconds of a picture, and of the first and the last


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("experiment", type=int)
    parser.add_argument("--image", type=int, default=0, help="index of the test image")
    parser.add_argument("--out", type=Path, default=Path("docs/screenshots/lambda.webp"))
    arguments = parser.parse_args()
    settings = Settings()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        tab = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light").new_page()
        tab.set_default_timeout(120_000)
        link = f"lambda?experiment={arguments.experiment}&image={arguments.image}"
        tab.goto(f"http://{settings.ui_host}:{settings.ui_port}/{link}")
        settled(tab, ".densitylab-lambda img")
        save(pictures(tab), arguments.out)
        browser.close()


def pictures(tab: Page) -> list[Image.Image]:
    """Return the page at each λ."""
    shown = []
    for _ in range(int(tab.get_by_role("slider", name="λ").get_attribute("max") or 0) + 1):
        shown.append(Image.open(io.BytesIO(tab.screenshot())).convert("RGB"))
        tab.keyboard.press("ArrowRight")
    return shown


def save(shown: list[Image.Image], path: Path) -> None:
    """Write the pictures as a lossless WebP that repeats forever."""
    durations = [END, *[STEP] * (len(shown) - 2), END]
    shown[0].save(path, save_all=True, append_images=shown[1:], duration=durations, loop=0, lossless=True)


if __name__ == "__main__":
    main()
