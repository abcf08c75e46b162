"""Helpers of the browser tests for charts."""

import time
from re import Pattern

from playwright.sync_api import Locator, expect


def bring_near(chart: Locator) -> None:
    """Scroll to a chart so that the page draws it, and repeat if the page has just replaced it."""
    while not chart.evaluate("chart => { chart.scrollIntoView({block: 'center'}); return chart.isConnected; }"):
        pass


def expect_points(chart: Locator, points: Pattern[str], timeout: float) -> None:
    """Wait at most `timeout` seconds until the chart has this many points.

    Keep it in view meanwhile: charts that appear above move it away.
    """
    deadline = time.monotonic() + timeout
    while True:
        bring_near(chart)
        try:
            expect(chart).to_have_attribute("data-points", points, timeout=2_000)
            return
        except AssertionError:
            if time.monotonic() > deadline:
                raise
