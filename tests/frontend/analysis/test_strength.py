"""Strengths of perturbations in labels."""

import pytest

from densitylab.frontend.analysis.formatting import strength


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2 / 255, "2/255"),
        (8 / 255, "8/255"),
        (0.00784314, "2/255"),  # as it was stored by others
        (0.1, "0.1"),
        (1.0, "1"),
        (0.0123456, "0.0123456"),  # no number of grey levels
        (0.2, "0.2"),  # 51/255 is not how it was written
        (2.5, "2.5"),
        (0.0, "0"),
    ],
)
def test_grey_levels_are_fractions_of_255(value: float, text: str):
    assert strength(value) == text
