"""Factors of signs and zeros chosen by compiled kernels: to the bit, or left to the plain path."""

import numpy as np
import pytest

from mpi_lowrank.certificate import drive
from mpi_lowrank.config.options import read_spec
from mpi_lowrank.run.components import make_operator

pytest.importorskip("numba")
RNG = np.random.default_rng(2)
NORMAL = RNG.standard_normal((60, 112))
SPREAD = NORMAL * 10.0 ** RNG.uniform(-30, 5, NORMAL.shape)
THIRDS = np.round(3 * NORMAL) / 3
"""Sums that are equal, but for how they are rounded: their order decides."""
EQUAL = np.eye(7, 16).reshape(1, -1)
"""Its rows capture alike, and so do y and y with other signs."""
ROWS = np.concatenate([NORMAL, SPREAD, THIRDS, NORMAL.round(), np.sign(NORMAL), 0 * NORMAL[:3]])
SPECS = [
    "kronecker:shape=7x16",
    "kronecker:shape=4x32",
    "kronecker:shape=28x4",
    "kronecker:shape=64x2",
    "sdd:shape=16x7",
    "sdd:rank=4,shape=8x15",
]


def operator(spec, dtype, kernels, monkeypatch):
    monkeypatch.setenv("MPI_LOWRANK_KERNELS", kernels)
    made = make_operator(read_spec(spec), (112,), dtype, len(ROWS))
    drive.prepare(made, len(ROWS))
    return made


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("spec", SPECS)
def test_messages_are_the_plain_ones_where_round_off_decides_too(spec, dtype, monkeypatch):
    plain, compiled = (
        drive.pack(operator(spec, dtype, kernels, monkeypatch), ROWS.astype(dtype), 0)
        for kernels in ("numpy", "numba")
    )
    np.testing.assert_array_equal(compiled, plain)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("spec", ["kronecker:shape=7x16", "sdd:shape=7x16"])
def test_only_what_round_off_may_change_is_left_to_the_plain_path(spec, dtype, monkeypatch):
    made = operator(spec, dtype, "numba", monkeypatch)
    for rows, least, most in ((NORMAL, 0.98, 1), (0 * NORMAL, 1, 1), (EQUAL, 0, 0)):
        drive.pack(made, rows.astype(dtype), 0)
        assert least <= made._decided[: len(rows)].mean() <= most


@pytest.mark.parametrize("spec", ["kronecker:shape=112x1", "sdd:shape=1x112"])
def test_matrices_with_a_long_side_are_left_to_the_plain_path(spec, monkeypatch):
    assert not operator(spec, "float64", "numba", monkeypatch)._small
