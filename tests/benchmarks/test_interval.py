"""The interval of a median against binomial values, and repeats that end for the stated reason."""

from math import comb

import numpy as np
import pytest

from mpi_lowrank.benchmarks import repeats
from mpi_lowrank.benchmarks.interval import interval, uncertainty
from mpi_lowrank.benchmarks.repeats import Limits, repeat
from mpi_lowrank.door import Alone


def coverage(count, rank):
    """The chance that the median lies between the rank-th sample from either end."""
    outside = sum(comb(count, k) for k in range(rank))
    return 1 - 2 * outside / 2**count


# Conover 1999, "Practical nonparametric statistics", and every table of the sign test.
@pytest.mark.parametrize(
    "count, rank", [(6, 1), (8, 1), (9, 2), (10, 2), (15, 4), (20, 6), (25, 8), (50, 18), (100, 40)]
)
def test_the_interval_is_the_one_that_tables_have(count, rank):
    samples = np.random.default_rng(0).permutation(np.arange(1.0, count + 1))
    assert interval(samples) == (rank, count + 1 - rank)


@pytest.mark.parametrize("count", range(6, 200))
def test_it_covers_at_least_what_it_says_and_the_next_narrower_one_does_not(count):
    low, high = interval(np.arange(1.0, count + 1))
    assert high == count + 1 - low
    assert coverage(count, int(low)) >= 0.95 > coverage(count, int(low) + 1)


def test_five_samples_have_none():
    assert interval(np.arange(5.0)) is None and interval(np.empty(0)) is None
    assert uncertainty(np.ones(5)) == np.inf and uncertainty(np.ones(6)) == 0


def test_it_reaches_as_far_as_its_further_end():
    assert uncertainty(np.array([9.0, 10, 10, 10, 10, 14])) == pytest.approx(0.4)
    assert uncertainty(np.array([7.0, 10, 10, 10, 10, 11])) == pytest.approx(0.3)


def ended(values, limits, monkeypatch, seconds=1e-9, **more):
    """Repeats of these values, by a clock on which each takes so long."""
    taken = iter(values)
    clock = iter(np.arange(10**6) * 1.0)
    counted = []

    def once():
        counted.append(0)
        return (next(taken),)

    monkeypatch.setattr(repeats, "perf_counter", lambda: len(counted) * seconds + 0 * next(clock))
    return repeat(Alone(), ("call",), once, limits, **more)


def test_repeats_end_when_the_median_is_known(monkeypatch):
    found = ended([1.0] * 100, Limits(least=6), monkeypatch)
    assert found.until == "interval" and len(found.seconds["call"]) == 8  # 1, 1, 2, 4
    found = ended([1.0] * 100, Limits(least=9), monkeypatch)
    assert len(found.seconds["call"]) == 16


def test_repeats_end_at_their_number_and_keep_outliers(monkeypatch):
    values = [1.0, 3.0] * 50
    values[7] = 1e6
    found = ended(values, Limits(repeats=20), monkeypatch)
    assert found.until == "repeats"
    np.testing.assert_array_equal(found.seconds["call"], values[:20])
    assert found.ending() == {"repeats": 20, "until": "repeats", "uncertainty": 0.5}


def test_repeats_end_with_their_time(monkeypatch):
    found = ended([1.0, 3.0] * 50, Limits(seconds=10), monkeypatch, seconds=1.0)
    assert found.until == "seconds" and len(found.seconds["call"]) == 10


def test_parts_that_do_not_decide_are_kept(monkeypatch):
    noise = iter(np.random.default_rng(0).exponential(size=100))
    found = repeat(Alone(), ("a", "b"), lambda: (1.0, next(noise)), Limits(), deciding=1)
    assert found.until == "interval" and len(found.seconds["b"]) == 8
    assert found.ending("a")["uncertainty"] == 0 < found.ending()["uncertainty"]


def test_percentiles_are_those_of_all_samples(monkeypatch):
    found = ended(np.arange(1.0, 102), Limits(repeats=101), monkeypatch)
    told = found.told("call")
    assert (told["p50_seconds"], told["p95_seconds"], told["p99_seconds"]) == (51, 96, 100)
    assert (told["low_seconds"], told["high_seconds"]) == (41, 61)


def test_repeats_that_end_by_what_they_saw_still_cover_the_median():
    """200 runs: 95 % less three standard errors."""
    rng, covered = np.random.default_rng(1), []

    def draw():
        return (np.exp(0.3 * rng.standard_normal()),)

    for _ in range(200):
        found = repeat(Alone(), ("call",), draw, Limits(seconds=60.0))
        low, high = interval(found.seconds["call"])
        covered.append(low <= 1 <= high)
    assert np.mean(covered) >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / 200)
