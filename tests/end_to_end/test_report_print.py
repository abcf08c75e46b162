"""The report printed by a real browser: landscape, nothing cut, no tool bars, charts whole."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from densitylab.frontend.report.experiment_report import report

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]
# Of 297 mm with margins of 11 mm, at 96 pixels per inch
_PRINTED_WIDTH, _PRINTED_HEIGHT = 1039, 710


def test_the_report_fits_a_landscape_page(browser: Browser, running_system, tmp_path: Path):
    client = running_system.client
    spec = {"epochs": 1, "train_samples": 200, "evaluations": [{"key": "leakage"}]}
    launched = client.launch({"name": "printed", "spec": spec, "sweep": {"lambda_": [0, 1], "seed": [0, 1]}})
    client.wait(launched.id, timeout=240)
    file = tmp_path / "report.html"
    file.write_text(report(client, launched.id), encoding="utf-8")
    assert file.stat().st_size < 1_000_000
    page = browser.new_page(viewport={"width": _PRINTED_WIDTH, "height": _PRINTED_HEIGHT})
    page.goto(file.as_uri())
    page.emulate_media(media="print")
    wide, tall, tables = page.evaluate(
        """() => [
          [...document.querySelectorAll("body *")].filter((e) => e.getBoundingClientRect().right > innerWidth + 1)
            .length,
          [...document.querySelectorAll("figure")].filter((e) => e.getBoundingClientRect().height > innerHeight).length,
          document.querySelectorAll("table").length,
        ]"""
    )
    assert (wide, tall) == (0, 0) and tables > 3
    assert page.locator(".modebar").count() == 0 and page.locator("figure svg").count() > 3
    pdf = page.pdf(prefer_css_page_size=True, print_background=True)
    assert b"/MediaBox [0 0 841" in pdf
    page.close()
