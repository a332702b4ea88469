from fractions import Fraction

import numpy as np
import pytest
from harness import make

from mpi_lowrank.compressors.levels.dither import Dither, behind
from mpi_lowrank.rounds.randomness import Purpose, Stream

POINT, ROWS, D = 23, 3, 2000


def streams():
    return [Stream(1, Purpose.COMPRESS, worker).at(4) for worker in range(ROWS)]


def rounded(numbers, random=True):
    """The integers that fixed-point `numbers` become."""
    dither, fixed = Dither(D, random), numbers.copy()
    dither.prepare(ROWS, fixed.dtype)
    dither.add(fixed, POINT, lambda at: behind(fixed.reshape(-1)[at], POINT), streams())
    return fixed >> POINT


def test_a_number_goes_up_where_a_uniform_one_of_61_bits_is_below_its_share():
    numbers = np.random.default_rng(0).integers(0, 5 << POINT, (ROWS, D), np.int32)
    numbers[:, ::3] &= ~0x7FFF  # nothing behind the first eight bits
    up = rounded(numbers) - (numbers >> POINT)
    ties = 0
    for row, went, generator in zip(numbers.tolist(), up.tolist(), streams(), strict=True):
        drawn = generator.bit_generator.random_raw(-(-D // 8)).view(np.uint8).tolist()
        for number, byte, one in zip(row, drawn, went, strict=False):
            share = Fraction(number % (1 << POINT), 1 << POINT)
            first = Fraction(255 - byte, 256)
            tied = first <= share < first + Fraction(1, 256)
            more = Fraction(generator.random()) / 256 if tied else 0
            ties += tied
            assert one == (first + more < share)
    assert ties > 10


def test_halves_go_up_where_nothing_is_drawn():
    half = 1 << (POINT - 1)
    numbers = np.tile(np.array([0, half - 1, half, half + 1], np.int32), (ROWS, D // 4))
    np.testing.assert_array_equal(rounded(numbers, random=False)[0, :4], [0, 0, 1, 1])


@pytest.mark.parametrize("spec", ["natural", "qsgd:levels=4", "natural_dithering", "ternary"])
def test_eight_numbers_share_a_draw_of_64_bits(spec):
    """What follows is where the generator stands afterwards."""
    operator, x = make(spec, 800, local=1), np.zeros((1, 800))
    after, reference = streams()[0], streams()[0]
    operator.encode(x, np.zeros((1, operator.nbytes), np.uint8), [after])
    drawn = reference.bit_generator.random_raw(100).view(np.uint8)
    reference.random(np.count_nonzero(drawn == 255))
    assert after.random() == reference.random()
