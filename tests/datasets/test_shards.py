import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpi_lowrank.datasets import Data, assign, load, shard_rows, split_test
from mpi_lowrank.errors import UserError


def test_mushrooms_over_20_workers_are_406_rows_each_and_410_on_the_last():
    shards = shard_rows(load("mushrooms").labels, 20, "contiguous", 0)
    assert [len(rows) for rows in shards] == [406] * 19 + [410]
    assert shards[0][0] == 0 and shards[-1][-1] == 8123


@given(
    st.integers(1, 60),
    st.integers(1, 60),
    st.sampled_from(["contiguous", "shuffled", "by_label"]),
    st.integers(0, 3),
)
def test_every_row_goes_to_one_worker(rows, workers, order, seed):
    labels = np.random.default_rng(0).choice([-1, 1], rows)
    if workers > rows:
        with pytest.raises(UserError, match=f"workers = {workers}"):
            shard_rows(labels, workers, order, seed)
        return
    shards = shard_rows(labels, workers, order, seed)
    assert sorted(np.concatenate(shards)) == list(range(rows))
    assert {len(shard) for shard in shards[:-1]} <= {rows // workers} and len(shards) == workers


def test_an_unknown_order_is_refused_with_the_known_ones():
    with pytest.raises(UserError, match="order = sorted: allowed is contiguous, shuffled, by_"):
        shard_rows(np.ones(4), 2, "sorted", 0)


def test_a_shuffle_belongs_to_its_seed():
    labels = np.ones(100)
    first, again, other = (shard_rows(labels, 3, "shuffled", seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first[1], again[1])
    assert not np.array_equal(first[1], other[1])


def test_rows_sorted_by_label_keep_their_order_within_one():
    labels = load("mushrooms").labels
    first, *_, last = shard_rows(labels, 4, "by_label", 0)
    np.testing.assert_array_equal(first, np.flatnonzero(labels == -1)[:2031])
    np.testing.assert_array_equal(last, np.flatnonzero(labels == 1)[-2031:])


def test_the_seed_draws_the_held_out_rows():
    first, again, other = (split_test(100, 0.2, seed)[1] for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other) and first[-1] >= 50


@given(st.integers(1, 200), st.floats(0, 0.99), st.integers(0, 3))
def test_held_out_rows_are_the_asked_share_and_nobody_s_else(rows, fraction, seed):
    train, test = split_test(rows, fraction, seed)
    assert len(test) == round(rows * fraction)
    assert sorted([*train, *test]) == list(range(rows))
    assert (np.diff(train) > 0).all() and (np.diff(test) > 0).all()


@given(
    st.integers(1, 60), st.integers(1, 60), st.sampled_from([0.01, 0.3, 100.0]), st.integers(0, 3)
)
def test_dirichlet_shards_share_all_rows_and_nobody_has_none(rows, workers, alpha, seed):
    labels = np.random.default_rng(0).choice([0, 1, 2], rows)
    if workers > rows:
        return
    shards = shard_rows(labels, workers, "dirichlet", seed, alpha)
    assert sorted(np.concatenate(shards)) == list(range(rows))
    assert len(shards) == workers and min(map(len, shards)) >= 1


def labels_per_worker(alpha, seed=0, workers=20):
    labels = load("digits").labels
    data = Data("digits", "dirichlet", alpha, test_fraction=0.2)
    shards = [train for train, _ in zip(*assign(labels, data, workers, seed), strict=True)]
    assert sum(map(len, shards)) == 1797 - 359
    return np.mean([len(np.unique(labels[rows])) for rows in shards]), shards


def test_the_smaller_alpha_the_fewer_labels_a_worker_has():
    found = [labels_per_worker(alpha)[0] for alpha in (0.01, 0.1, 1.0, 1000.0)]
    assert found == sorted(found) and found[0] < 2.5 and found[-1] == 10


def test_with_a_large_alpha_shards_are_alike_and_a_draw_belongs_to_its_seed():
    _, even = labels_per_worker(1e5)
    sizes = [len(shard) for shard in even]
    assert max(sizes) - min(sizes) <= 10
    first, again, other = (labels_per_worker(0.3, seed)[1] for seed in (1, 1, 2))
    assert all(np.array_equal(*pair) for pair in zip(first, again, strict=True))
    assert not all(np.array_equal(*pair) for pair in zip(first, other, strict=True))
