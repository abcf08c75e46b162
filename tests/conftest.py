"""What all tests share: no settings from outside, and a real browser for those who ask for one."""

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session", autouse=True)
def no_settings_from_outside() -> Iterator[None]:
    """The developer's own DENSITYLAB_* must not decide what the tests see, nor the tests touch a real state folder."""
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            if name.startswith("DENSITYLAB_") and name != "DENSITYLAB_REQUIRE_BROWSER":
                patch.delenv(name)
        patch.setenv("DENSITYLAB_RATE_LIMIT", "0")  # tests that hurry; those of the limit set one
        patch.setenv("DENSITYLAB_ALLOWED_HOSTS", "testserver")  # as Starlette's TestClient calls itself
        yield


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium; where there is none the test is skipped, or fails if DENSITYLAB_REQUIRE_BROWSER is set."""
    path = next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        say = pytest.fail if os.environ.get("DENSITYLAB_REQUIRE_BROWSER") else pytest.skip
        say(f"no browser on this machine (looked for {', '.join(_NAMES)})")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()
