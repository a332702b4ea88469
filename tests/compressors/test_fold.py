"""A vector seen as an array and back, padded where it is shorter."""

import numpy as np
import pytest

from mpi_lowrank.compressors.factors.fold import Fold


@pytest.mark.parametrize("shape", [(3, 4), (2, 2, 4), (5, 4)])
def test_arrays_hold_the_numbers_and_zeros_behind_them(shape):
    fold, x = Fold(12, shape, float), np.arange(1.0, 25).reshape(2, 12)
    fold.prepare(3, 2)
    folded = fold(x)
    assert folded.shape == (2, *shape) and fold.padded == (np.prod(shape) > 12)
    flat = folded.reshape(2, -1)
    np.testing.assert_array_equal(flat[:, :12], x)
    assert not flat[:, 12:].any()
    out = np.full((2, 12), np.nan)
    fold.room(out)[...] = 2 * folded
    fold.cut(out)
    np.testing.assert_array_equal(out, 2 * x)
    assert np.shares_memory(folded, x) != fold.padded


@pytest.mark.parametrize("columns", [4, 5])
def test_a_product_is_written_less_its_padding(columns):
    fold, out = Fold(12, (3, columns), float), np.full(12, np.nan)
    fold.prepare(1, 1)
    left, right = np.arange(6.0).reshape(3, 2), np.ones((2, columns))
    fold.write(out, left, right)
    np.testing.assert_array_equal(out, (left @ right).reshape(-1)[:12])
