"""Durations as text."""

import pytest

from densitylab.frontend.client.durations import duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "—"),
        (0.0, "under 1 s"),
        (0.4, "under 1 s"),
        (0.6, "1 s"),
        (59.4, "59 s"),
        (125, "2 min 05 s"),
        (7500, "2 h 05 min"),
    ],
)
def test_durations_are_told_in_two_units(seconds, text):
    assert duration(seconds) == text
