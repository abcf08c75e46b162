"""Addresses that users copy or open name DENSITYLAB_PUBLIC_URL where it is set."""

import pytest

from densitylab.frontend.client import connect
from densitylab.frontend.command_line.demo import page_url


def test_without_a_public_address_the_local_ones_are_named(monkeypatch: pytest.MonkeyPatch):
    assert connect("http://api:8000").public_url == "http://api:8000"
    assert page_url() == "http://127.0.0.1:8501"
    monkeypatch.setenv("DENSITYLAB_UI_PORT", "9000")
    assert page_url() == "http://127.0.0.1:9000"


def test_the_public_address_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DENSITYLAB_PUBLIC_URL", "https://example.org/lab/")
    client = connect("http://api:8000")
    assert client.public_url == page_url() == "https://example.org/lab"
    assert client.url == "http://api:8000"
