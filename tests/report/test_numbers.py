import math

import pytest

from mpi_lowrank.report.numbers import finite, short


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0.0, "0"),
        (1234.5, "1234"),
        (12.34, "12.3"),
        (0.01234, "0.0123"),
        (-2.5, "-2.50"),
        (4.408e29, "4.41e+29"),
        (3.6e-301, "3.60e-301"),
    ],
)
def test_short_keeps_three_digits_and_no_exponent(value, text):
    assert short(value) == text


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_json_has_no_word_for_is_none(value):
    assert finite(value) is None


@pytest.mark.parametrize("value", [0.0, 1, "text", True, None])
def test_all_else_stays_as_it_is(value):
    assert finite(value) is value
