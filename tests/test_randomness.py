from itertools import product

import numpy as np
import pytest

from mpi_lowrank.rounds.randomness import SHARED, Purpose, Stream


@pytest.mark.parametrize("purpose", Purpose)
@pytest.mark.parametrize(
    ("seed", "worker", "round", "call"),
    [(0, 0, 0, 0), (3, 19, 7, 2), (2**63, SHARED, 10**9, 0)],
)
def test_a_stream_is_philox_of_the_key_and_of_the_place(seed, purpose, worker, round, call):
    key = np.array([seed, purpose], np.uint64)
    counter = np.array([0, call, worker, round], np.uint64)
    expected = np.random.Generator(np.random.Philox(key=key, counter=counter)).random(100)
    drawn = Stream(seed, purpose, worker).at(round, call).random(100)
    np.testing.assert_array_equal(drawn, expected)


def test_a_round_is_the_same_whatever_was_drawn_before():
    stream = Stream(5, Purpose.COMPRESS, 2)
    first = stream.at(4).standard_normal(7)
    stream.at(9).random(3, np.float32)  # leaves half a word behind
    np.testing.assert_array_equal(stream.at(4).standard_normal(7), first)


def test_no_two_of_seed_purpose_worker_round_and_call_draw_alike():
    keys = list(product((0, 1), Purpose, (0, 1, SHARED), (0, 1), (0, 1)))
    drawn = {Stream(s, p, w).at(r, call).random() for s, p, w, r, call in keys}
    assert len(drawn) == len(keys)


def test_numbers_that_were_drawn_before_are_drawn_again():
    drawn = [Stream(1, purpose, 3).at(5).random() for purpose in Purpose]
    assert drawn == [
        0.18515612769361411,
        0.7345165685901788,
        0.1810566543944916,
        0.06994411358951502,
        0.29139332038902055,
    ]
    assert Stream(1, Purpose.COMPRESS, SHARED).at(5).random() == 0.7519886753532701
