"""Numbers as text: the digits of their intervals, and no sign before a zero."""

import pytest

from densitylab.backend.shared.statistics.estimates import Estimate
from densitylab.frontend.analysis.comparison import text
from densitylab.frontend.analysis.formatting import between, fixed, number, ranges, within


@pytest.mark.parametrize("tiny", [-0.0004, 0.0004, -0.0, 0.0])
def test_a_number_that_rounds_to_zero_has_no_sign(tiny):
    assert within(tiny, 0.12) == "0.00 ± 0.12"
    assert between(tiny, -0.12, 0.3).startswith("0.00 (-0.12 to ")
    assert text(Estimate(tiny, tiny - 0.12, tiny + 0.12, 3), signed=True) == "0.00 ± 0.12"
    assert text(Estimate(tiny, tiny - 0.12, tiny + 0.3, 3), signed=True).startswith("0.00 (-0.12 to ")
    assert fixed(100 * tiny, 1, signed=True) == "0.0"


def test_an_end_of_an_interval_that_rounds_to_zero_has_no_sign():
    assert between(0.5, -0.001, 0.7) == "0.50 (0.00 to 0.70)"


def test_other_numbers_keep_their_sign():
    assert text(Estimate(-0.02, -0.14, 0.1, 3), signed=True) == "-0.02 ± 0.12"
    assert text(Estimate(0.02, -0.1, 0.14, 3), signed=True) == "+0.02 ± 0.12"
    assert text(Estimate(0.02, None, None, 1), signed=True) == "+0.020"
    assert text(Estimate(0.0, None, None, 1), signed=True) == "0" == number(-0.0)
    assert fixed(-1.25, 1, signed=True) == "-1.2" and fixed(4.6, 1, signed=True) == "+4.6"


def test_ranges_have_each_number_once():
    assert ranges([0, 1, 0, 1]) == "0–1" and ranges([3, 1, 7, 2, 7]) == "1–3, 7" and ranges([]) == ""
