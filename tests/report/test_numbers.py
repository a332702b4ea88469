import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpi_lowrank.report.numbers import BYTE_UNITS, byte_unit, finite, short


@pytest.mark.parametrize(
    ("values", "unit"),
    [
        ([900.0, 5e4], "B"),
        ([1000.0, 5e4], "KB"),
        ([2e6, None, 3e9], "MB"),
        ([0.0, None], "MB"),
        ([1.0, 1e12], "MB"),
        ([0.5], "B"),
    ],
)
def test_the_unit_suits_the_smallest_unless_the_column_spans_too_much(values, unit):
    assert byte_unit(values) == unit


@given(st.lists(st.floats(0.1, 1e14), min_size=1))
def test_no_cell_is_wider_than_nine_characters(values):
    scale = BYTE_UNITS[byte_unit(values)]
    assert all(len(short(value / scale)) <= 9 for value in values if value * 1e5 >= max(values))


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
