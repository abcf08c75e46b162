"""What the browser tests do with charts."""

from playwright.sync_api import Locator


def bring_near(chart: Locator) -> None:
    """Scrolls to a chart, which is drawn as it comes near; again where the page has just put it anew."""
    while not chart.evaluate("chart => { chart.scrollIntoView({block: 'center'}); return chart.isConnected; }"):
        pass
