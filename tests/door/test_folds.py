"""Sums of high parts: the same bits in any order and grouping, and as exact as they say."""

from math import fsum

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mpi_lowrank.door.folds import FOLDS, high_parts, units

NUMBERS = st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=30)


def _total(parts):
    return np.add.reduce(parts[::-1], axis=0)


def _parts(column, unit):
    out = np.empty((FOLDS, 1))
    high_parts(np.array(column)[:, np.newaxis], unit, out)
    return out


def _unit(column):
    return units(np.abs(column).max(keepdims=True), len(column))


@given(NUMBERS, st.randoms(), st.integers(0, 30))
def test_order_and_grouping_do_not_matter(column, random, cut):
    unit, shuffled = _unit(column), random.sample(column, len(column))
    whole = _parts(column, unit)
    halves = [_parts(part, unit) for part in (shuffled[:cut], shuffled[cut:]) if part]
    assert whole.tobytes() == sum(halves[1:], halves[0]).tobytes()


@given(NUMBERS)
def test_what_is_lost_is_below_the_bound(column):
    largest, count = max(map(abs, column)), len(column)
    lost = abs(_total(_parts(column, _unit(column)))[0] - fsum(column))
    assert lost <= count**3 * 2.0**-104 * largest + abs(fsum(column)) * 2.0**-52


def test_a_sum_in_order_would_have_lost_them():
    column = [1e16, 1.0, -1e16, 1.0]
    assert _total(_parts(column, _unit(column))).tolist() == [2.0] and sum(column) == 1.0


def test_many_columns_are_those_of_each():
    rows = np.random.default_rng(0).standard_normal((3, 2**12 + 5))
    unit, out = units(np.abs(rows).max(axis=0), 3), np.empty((FOLDS, rows.shape[1]))
    high_parts(rows, unit, out)
    np.testing.assert_allclose(_total(out), rows.sum(axis=0), rtol=1e-13, atol=1e-15)
    np.testing.assert_array_equal(_total(out)[-1], _total(_parts(rows[:, -1], unit[:, -1:]))[0])


def test_what_is_not_finite_stays_so_and_the_largest_numbers_do_not_overflow():
    rows = np.array([[np.inf, np.nan, 1e308, 5e-324], [1.0, 1.0, -1e308, 5e-324]])
    largest = np.abs(rows).max(axis=0)
    out = np.empty((FOLDS, 4))
    with np.errstate(invalid="ignore"):
        high_parts(rows, units(np.where(np.isnan(largest), np.inf, largest), 2), out)
    assert not np.isfinite(_total(out)[:2]).any() and _total(out)[2:].tolist() == [0.0, 1e-323]
