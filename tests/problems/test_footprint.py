"""What a problem says that it takes at least: its arrays' sizes, and no more than it takes."""

import numpy as np
import pytest
from asked import footprint
from scipy.sparse import random_array

from mpi_lowrank.datasets.local import LocalShards, Rows
from mpi_lowrank.problems import problems
from mpi_lowrank.problems.base import Block

FORMULAS = [
    ("logistic", [Block("x", (7,))], {}, 3 * (4 * 10 + 7) * 8),
    ("least_squares", [Block("x", (7,))], {}, 3 * (4 * 10 + 7) * 8),
    ("softmax", [Block("W", (7, 5))], {}, 3 * (7 + 5) * 10 * 8),
    (
        "mlp",
        [Block("W1", (7, 4)), Block("b1", (4,)), Block("W2", (4, 5)), Block("b2", (5,))],
        {"hidden": 4},
        3 * (7 + 4 + 5) * 10 * 8,
    ),
    (
        "mlp",
        [Block("W1", (7, 4)), Block("W2", (4, 3)), Block("W3", (3, 5))],
        {"hidden": (4, 3), "biases": False},
        3 * (7 + 4 + 3 + 5) * 10 * 8,
    ),
    ("autoencoder", [Block("D", (7, 4)), Block("E", (4, 7))], {}, 3 * (2 * 7 + 4) * 10 * 8),
    ("matrix", [Block("W", (7, 5))], {}, (49 + 2 * 3 * 35) * 8),
    ("matrix", [Block("W", (7, 5))], {"bases": "rotated"}, (3 * 49 + 2 * 3 * 35) * 8),
    ("matrix", [Block("W", (7, 1))], {}, (49 + 2 * 49) * 8),  # a design in the making is larger
    ("quadratic", [Block("x", (7,))], {}, 3 * 8 * 8),
]


@pytest.mark.parametrize(("name", "blocks", "options", "expected"), FORMULAS)
def test_it_is_the_formula(name, blocks, options, expected):
    assert footprint(name, blocks, 3, 10, 8, **options) == expected


LARGE = {"matrix": {"shape": (80, 60)}, "quadratic": {"dimension": 5000}}
"""Those that make their own data."""


def shards_of(name):
    rng = np.random.default_rng(0)
    if name in LARGE:
        return LocalShards(range(3), 3, 0, [])
    features = [rng.standard_normal((500, 60)) for _ in range(3)]
    labels = rng.integers(0, 4, 500)
    if name in ("logistic", "least_squares"):
        features = [random_array((500, 60), density=0.1, format="csr", rng=0) for _ in range(3)]
        labels = np.where(labels > 1, 1, -1)
    rows = [Rows(matrix, labels) for matrix in features]
    return LocalShards(range(3), 3, 0, rows, rows[0], 500, 1500, 500, 4)


@pytest.mark.parametrize("name", problems.names())
def test_it_is_less_than_what_is_taken_and_of_its_size(name, peak):
    shards = shards_of(name)
    options = LARGE.get(name, {})
    blocks = problems[name](shards, np.dtype(float), **options).blocks
    told = footprint(name, blocks, 3, 500, 8, **options)
    taken = peak(lambda: problems[name](shards, np.dtype(float), **options))
    assert taken / 5 < told <= taken
