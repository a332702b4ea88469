from itertools import pairwise
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpi_lowrank.errors import OptionError
from mpi_lowrank.problems.batch import Batch, Batches

SAMPLES = np.array([6, 9, 2, 7])


def drawn(batch):
    """The samples of each worker, without padding."""
    return [rows[:size].tolist() for rows, size in zip(batch.rows, batch.sizes, strict=True)]


@pytest.mark.parametrize("size", [1, 4, 9, 12])
def test_each_worker_has_different_samples_of_its_shard_and_no_more_than_there_are(size):
    for t in range(20):
        batch = Batches(0, range(4), SAMPLES, size).at(t)
        assert batch.rows.shape == batch.weights.shape == (4, size)
        batch.check(SAMPLES)  # padding too
        for rows, samples in zip(drawn(batch), SAMPLES, strict=True):
            assert len(set(rows)) == len(rows) == min(size, samples)


def test_weights_are_those_of_a_mean_and_0_in_the_padding():
    weights = Batches(0, range(4), SAMPLES, 4).at(0).weights
    np.testing.assert_array_equal(weights[[0, 1, 3]], 0.25)
    np.testing.assert_array_equal(weights[2], [0.5, 0.5, 0, 0])


@given(
    cuts=st.sets(st.integers(1, 3)),
    rounds=st.permutations([0, 1, 5, 10**9]),
    seed=st.integers(0, 2**63),
)
def test_draws_are_the_same_on_any_ranks_and_in_any_order(cuts, rounds, seed):
    whole = Batches(seed, range(4), SAMPLES, 3)
    expected = {t: drawn(whole.at(t)) for t in sorted(rounds)}
    ends = [0, *sorted(cuts), 4]
    for begin, end in pairwise(ends):
        mine = Batches(seed, range(begin, end), SAMPLES[begin:end], 3)
        for t in rounds:
            assert drawn(mine.at(t)) == expected[t][begin:end]


def test_seeds_rounds_and_workers_draw_differently():
    samples = np.full(2, 10**6)
    found = [drawn(Batches(s, range(2), samples, 1).at(t)) for s in (0, 1) for t in (0, 1)]
    assert len(np.unique(found)) == 8


def test_every_set_of_samples_is_equally_likely():
    batches, rounds = Batches(0, range(1), SAMPLES[:1], 3), 4000
    sets = [tuple(sorted(batches.at(t).rows[0].tolist())) for t in range(rounds)]
    _, counts = np.unique(sets, axis=0, return_counts=True)
    assert len(counts) == comb(6, 3)
    expected = rounds / len(counts)
    # Chi square with 19 degrees of freedom: mean 19, standard deviation sqrt(38).
    assert ((counts - expected) ** 2 / expected).sum() < 19 + 5 * np.sqrt(38)


def test_a_batch_without_samples_is_refused():
    with pytest.raises(OptionError, match="size = 0: allowed is an integer from 1"):
        Batches(0, range(4), SAMPLES, 0)


@pytest.mark.parametrize("wrong", [-1, 2])
def test_a_number_that_is_no_sample_is_refused(wrong):
    rows = np.zeros((4, 3), int)
    rows[2, 1] = wrong
    with pytest.raises(IndexError):
        Batch(rows, np.full(4, 3)).check(SAMPLES)
