"""Fixtures of all tests: settings that come from the tests alone, no proxy, and a real browser."""

from __future__ import annotations

import os
import shutil
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.hookimpl(tryfirst=True)  # before the selection by markers
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Make the cases slow that the marker `few` leaves out."""
    cases: defaultdict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        if item.get_closest_marker("few") is not None:
            cases[item.nodeid.partition("[")[0]].append(item)
    for test in cases.values():
        marker = test[0].get_closest_marker("few")
        assert marker is not None
        chosen = {index * len(test) // marker.args[0] for index in range(marker.args[0])}
        for index, item in enumerate(test):
            if index not in chosen:
                item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session", autouse=True)
def only_test_settings() -> Iterator[None]:
    """Remove the developer's own DENSITYLAB_* variables: no test may depend on them or use a real state folder."""
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            if name.startswith("DENSITYLAB_") and name != "DENSITYLAB_REQUIRE_BROWSER":
                patch.delenv(name)
        patch.setenv("DENSITYLAB_RATE_LIMIT", "0")  # the tests of the limit set their own
        patch.setenv("DENSITYLAB_ALLOWED_HOSTS", "testserver")  # the host name of Starlette's TestClient
        yield


@pytest.fixture(scope="session", autouse=True)
def no_proxy() -> Iterator[None]:
    """Remove the developer's proxies: the tests ask servers on this machine alone."""
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            if name.lower() in ("http_proxy", "https_proxy", "all_proxy"):
                patch.delenv(name)
        yield


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Point the proxies at a port without a server, so that nothing can be downloaded."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setattr(urllib.request, "_opener", None)  # it keeps the proxies of the process's first request


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start a headless Chromium for the tests of one file.

    Playwright's event loop runs in the thread of the tests until it ends, where `asyncio.run` would fail meanwhile.
    Where there is none the test is skipped, or fails if DENSITYLAB_REQUIRE_BROWSER is set.
    """
    path = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if path is None:
        report = pytest.fail if os.environ.get("DENSITYLAB_REQUIRE_BROWSER") else pytest.skip
        report(f"no browser on this machine (looked for {', '.join(_BROWSERS)})")
    from playwright.sync_api import sync_playwright  # part of the `dev` extra, which most tests do without

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()
