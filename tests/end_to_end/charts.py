"""What the browser tests do with charts."""

import time
from re import Pattern

from playwright.sync_api import Locator, expect


def bring_near(chart: Locator) -> None:
    """Scrolls to a chart, which is drawn as it comes near; again where the page has just put it anew."""
    while not chart.evaluate("chart => { chart.scrollIntoView({block: 'center'}); return chart.isConnected; }"):
        pass


def expect_points(chart: Locator, points: Pattern[str], timeout: float) -> None:
    """Waits, for `timeout` seconds at most, until the chart has that many points. It is kept near meanwhile: figures
    that come in above move it away."""
    deadline = time.monotonic() + timeout
    while True:
        bring_near(chart)
        try:
            expect(chart).to_have_attribute("data-points", points, timeout=2_000)
            return
        except AssertionError:
            if time.monotonic() > deadline:
                raise
