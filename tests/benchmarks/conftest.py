"""The served API of the page's tests."""

from tests.frontend.conftest import live_api

__all__ = ["live_api"]
