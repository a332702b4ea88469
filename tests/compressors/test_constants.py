"""alpha, omega, bytes and published bits of every example: the formulas, apart from the code."""

from math import ceil, log2, prod, sqrt

import numpy as np
import pytest

from mpi_lowrank.certificate import default_specs
from mpi_lowrank.config.options import read_spec
from mpi_lowrank.run.components import make_operator

D, WORKERS = 112, 4

NATURAL = 9 / 8
"""The zeta of natural compression: 1 + omega."""


def dithering(d, base, levels):
    """The zeta of exponential dithering of d numbers."""
    t = sqrt(d) * base ** (1.0 - levels)
    return 1 + (base - 1) ** 2 / (4 * base) + t * min(1, t)


def rounding(ratio):
    """The zeta of rounding to levels whose neighbours have this ratio."""
    return (ratio + 1) ** 2 / (4 * ratio)


def uniform(d, levels):
    """The zeta of QSGD with the l-infinity norm."""
    return (sqrt(1 + (d - 1) / levels**2) + 1) / 2


def semidiscrete(q, longest, rank):
    """The alpha of `sdd`."""
    h = sum((sqrt(j) - sqrt(j - 1)) ** 2 for j in range(1, longest + 1))
    return 1 - (1 - 8 / 9 / (q * h)) ** rank


def nearest_dithering(d, base, levels):
    """The alpha of exponential dithering with the l-infinity norm to the nearer level."""
    lost = (d - 1) * (base ** (1.0 - levels) / 2) ** 2
    kept = (d - 1) * ((1 + 1 / base) / 2) ** 2
    relative = ((base - 1) / (base + 1)) ** 2
    return 1 - max(lost / (1 + lost), relative * kept / (1 + kept))


TRITS = log2(3)
ELIAS = (3 + 1.5 * log2(2 * (10**2 + D) / (10 * (10 + sqrt(D))))) * 10 * (10 + sqrt(D)) + 32

CONTRACTIVE = {
    "adaptive:epsilon=0.3": (0.7, 4 + 4 * D, 32 * D),
    "adaptive:epsilon=0.01": (0.99, 4 + 4 * D, 32 * D),
    "adaptive:epsilon=0.5,shape=7x16+natural": (0.5 / NATURAL**2, 4 + 4 * (8 + 18), 4 * 9 * 23),
    "adaptive_random": (1 / D, 4 + 1, 32),
    "alternating": (1 / 14, 4 * 22, 32 * 22),
    "bernoulli:p=0.25,scale=contractive": (0.25, 4 + 4 * D, 8 * D),
    "eigen": (1 / 15, 4 * 15 + 1, 32 * 15),  # of 15 x 15, 120 numbers of which 112 count
    "eigen:rank=3": (3 / 15, 3 * 4 * 15 + 1, 3 * 32 * 15),
    "eigen:rank=2,wire=float64": (2 / 15, 2 * 8 * 15 + 1, 2 * 64 * 15),
    "exponential_dithering:base=4.0,levels=6,norm=linf,rounding=nearest": (
        nearest_dithering(D, 4, 6),
        4 + D // 2,
        32 + 4 * D,
    ),
    "exponential_rounding:base=3.0,rounding=contractive": (1 / rounding(3), 9 * 14, 9 * D),
    "exponential_rounding:base=4.0,rounding=nearest": (1 / rounding(4), D, 8 * D),
    "grid_rounding:rounding=nearest": (1 / rounding(2.5), 9 * 14, 9 * D),
    "interpolative:rank=2": (2 / 8, 4 * 40 + 1, 32 * 40),
    "interpolative:rank=3,shape=16x7": (3 / 7, 4 * 60 + 2, 32 * 60),
    "interpolative:rank=2+identity:wire=float64": (2 / 8, 8 * 40 + 1, 64 * 40),
    "followed_kronecker": (None, 3, 7 + 2 * 4 + 2),
    "followed_kronecker:shape=4x32": (None, 2, 4 + 2 * 5 + 2),
    "kronecker": (8 / 9 / 112, 3, 7 + 2 * 4 + 8),
    "kronecker:shape=16x8": (8 / 9 / 128, 4, 16 + 2 * 3 + 8),
    "kronecker:shape=14x8": (8 / 9 / 112, 4, 14 + 2 * 3 + 8),
    "kronecker:shape=30x4": (8 / 9 / 120, 6, 30 + 2 * 2 + 8),
    "natural:rounding=contractive": (1 / NATURAL, 9 * 14, 9 * D),
    "natural:rounding=nearest": (1 / NATURAL, 9 * 14, 9 * D),
    "natural_dithering:levels=4,rounding=contractive": (
        1 / dithering(D, 2, 4),
        4 + D // 2,
        32 + 4 * D,
    ),
    "permk:scale=contractive": (1 / WORKERS, 1 + D, 8 * D),
    "pivoted_qr:rank=2": (2 / 8, 4 * 44, 32 * 44),
    "pivoted_qr:rank=3,shape=16x7+natural": (3 / 7 / NATURAL**2, 3 * (18 + 8), 9 * 69),
    "powersgd:rank=1": (1 / 8, 4 * 22, 32 * 22),
    "powersgd:rank=2,basis=fresh": (2 / 8, 4 * 44, 32 * 44),
    "powersgd:rank=3,fresh_columns=2,shape=7x16": (2 / 7, 4 * 69, 32 * 69),
    "qsgd:levels=2,rounding=contractive": (2 / sqrt(D), 4 + 42, 32 + 3 * D),
    "qsgd:levels=4,norm=linf,rounding=nearest": (64 / (64 + D - 1), 4 + D // 2, 32 + 4 * D),
    "randk:k=8": (8 / D, 4 * 8 + 7, 32 * 8),
    "rangefinder:columns=2": (2 / 8, 4 * 44, 32 * 44),
    "rangefinder:columns=2,power_iterations=1": (2 / 8, 4 * 44, 32 * 44),
    "rangefinder:columns=3,shape=7x16+natural": (3 / 7 / NATURAL**2, 3 * (8 + 18), 9 * 69),
    "rsvd:rank=1": (1 / 8, 4 * 22, 32 * 22),
    "rsvd:rank=2,power_iterations=1,shape=7x16": (2 / 7, 4 * 46, 32 * 46),
    "rsvd:rank=1,shape=7x16+natural": (1 / 7 / NATURAL**2, 8 + 18, 9 * 23),
    "scaled_sign": (1 / D, 4 + 14, 32 + D),
    "sdd": (semidiscrete(8, 14, 1), 5 + 1, 22 * TRITS + 8),
    "sdd:rank=3,shape=7x16": (semidiscrete(7, 16, 3), 14 + 3, 3 * (23 * TRITS + 8)),
    "sdd:rank=2,shape=16x8": (semidiscrete(8, 16, 2), 10 + 2, 2 * (24 * TRITS + 8)),
    "shared_randk:k=8": (8 / D, 4 * 8, 32 * 8),
    "sketch:rank=1": (1 / 14, 4 * 8, 32 * 8),
    "sparsify:k=8.0,scale=biased": (8 / D, 4 + 4 * D + 98, 32 * 8),
    "sparsify:k=8.0,probabilities=optimal,scale=biased": (8 / D, 4 + 4 * D + 98, 32 * 8),
    "spectral:budget=2,scale=contractive": (2 / 8, 4 * 44, 32 * 44),
    "spectral:budget=2,scale=contractive,shape=7x16+natural": (
        2 / 7 / NATURAL**2,
        2 * (8 + 18),
        2 * 9 * 23,
    ),
    "svd:rank=1": (1 / 8, 4 * 22, 32 * 22),
    "svd:rank=2,shape=7x16": (2 / 7, 4 * 46, 32 * 46),
    "svd:rank=1,shape=7x16+natural": (1 / 7 / NATURAL**2, 8 + 18, 9 * 23),
    "svd:rank=2,shape=7x16+qsgd:levels=4": (
        2 / 7 / (1 + 7 / 64) / (1 + 16 / 64),
        2 * (4 + 4 + 4 + 8),
        2 * (64 + 4 * 23),
    ),
    "svd:rank=1,shape=7x16+natural_dithering:levels=4": (
        1 / 7 / (dithering(7, 2, 4) * dithering(16, 2, 4)),
        4 + 4 + 4 + 8,
        64 + 4 * 23,
    ),
    "svd:rank=1,shape=7x16+ternary": (
        1 / 7 / (uniform(7, 1) * uniform(16, 1)),
        4 + 2 + 4 + 4,
        64 + 2 * 23,
    ),
    "symmetric_sdd": (8 / 9 / 15**2, 3 + 1 + 1, 15 * TRITS + 9),
    "symmetric_sdd:rank=3": (1 - (1 - 8 / 9 / 15**2) ** 3, 9 + 3 + 1, 3 * (15 * TRITS + 9)),
    "tensor_train:shape=7x2x2x2x2": (1 / 7 / 2 / 2 / 2, 4 * 15, 32 * 15),
    "tensor_train:shape=7x2x2x2x2,rank=2": (2 / 7 * 2 / 4 * 2 / 4, 4 * 42, 32 * 42),
    "tensor_train:shape=5x5x5,rank=3": ((3 / 5) ** 2, 4 * 75, 32 * 75),
    "tensor_train:shape=7x2x2x2x2+natural": (1 / 56 / NATURAL**5, 8 + 4 * 3, 9 * 15),
    "tensor_train:shape=7x4x4,rank=2+natural_dithering:levels=4": (
        2 / 7 * 2 / 4 / prod(dithering(n, 2, 4) for n in (7, 8, 4)),
        2 * (8 + 6) + 8 + 8,
        2 * (32 + 28 + 32 + 16) + 32 + 4 * 8 + 64,
    ),
    "ternary:rounding=contractive": (1 / uniform(D, 1), 4 + 23, 32 + 2 * D),
    "ternary:rounding=nearest": (4 / (4 + D - 1), 4 + 23, 32 + 2 * D),
    "topk:k=8": (8 / D, 4 * 8 + 7, 32 * 8),
    "topk:k=8+natural": (8 / D / NATURAL, 9 + 7, 9 * 8),
    "topk:k=8+natural_dithering:levels=4": (8 / D / dithering(8, 2, 4), 4 + 4 + 7, 32 + 4 * 8),
    "topk:k=8+exponential_rounding:base=4.0,rounding=nearest": (
        8 / D / rounding(4),
        8 + 7,
        8 * 8,
    ),
    "topk:k=20+randk:k=5+natural": (5 / D / NATURAL, 18 + 4 + 6, 9 * 5),
    "tucker:shape=7x2x2x2x2": (1 / 7 / 2 / 2 / 2, 4 * 16, 32 * 16),
    "tucker:shape=7x4x4,rank=2": (2 / 7 * 2 / 4 * 2 / 4, 4 * 38, 32 * 38),
    "tucker:shape=5x5x5,rank=3": ((3 / 5) ** 3, 4 * 72, 32 * 72),
    "tucker:shape=7x2x2x2x2+natural": (1 / 56 / NATURAL**6, 8 + 4 * 3 + 2, 9 * 16),
    "tucker:shape=7x4x4,rank=2+natural_dithering:levels=4": (
        1 / 14 / prod(dithering(n, 2, 4) for n in (7, 4, 4, 8)),
        2 * (8 + 6 + 6) + 8,
        2 * (3 * 32 + 4 * 15) + 64,
    ),
    "twosided:rows=3,columns=5": (15 / D, 4 * 15, 32 * 15),
    "twosided:rows=8,columns=5": (40 / D, 4 * 40, 32 * 40),
}

UNBIASED = {
    "bernoulli": (9, 4 + 4 * D, 3.2 * D),
    "dense": (0, 4 * D, 32 * D),
    "dense:wire=float16": (0, 2 * D, 16 * D),
    "dense:wire=bfloat16": (0, 2 * D, 16 * D),
    "exponential_dithering:base=3.0": (dithering(D, 3, 4) - 1, 4 + D // 2, 32 + 4 * D),
    "exponential_rounding:base=1.5": (rounding(1.5) - 1, 10 * 14, 10 * D),
    "grid_rounding": (rounding(2.5) - 1, 9 * 14, 9 * D),
    "identity": (0, 4 * D, 32 * D),
    "identity:wire=float64": (0, 8 * D, 64 * D),
    "identity:wire=float16": (0, 2 * D, 16 * D),
    "identity:wire=bfloat16": (0, 2 * D, 16 * D),
    "natural": (1 / 8, 9 * 14, 9 * D),
    "natural:wire=float64": (1 / 8, 12 * 14, 12 * D),
    "natural_dithering:levels=4": (dithering(D, 2, 4) - 1, 4 + D // 2, 32 + 4 * D),
    "natural_dithering:levels=8,norm=linf": (dithering(D, 2, 8) - 1, 4 + 70, 32 + 5 * D),
    "permk": (WORKERS - 1, 1 + D, 8 * D),
    "permk:copies=2": (WORKERS / 2 - 1, 1 + 2 * D, 16 * D),
    "qsgd:levels=4": (sqrt(D) / 4 - 1, 4 + D // 2, 32 + 4 * D),
    "qsgd:levels=2,bucket=16": (sqrt(16) / 2 - 1, 7 * 4 + 42, 7 * 32 + 3 * D),
    "qsgd:levels=8,norm=linf": (uniform(D, 8) - 1, 4 + 70, 32 + 5 * D),
    "qsgd:levels=10,coding=elias": (D / 400, 4 + 4 + 4 + 9 * 14, ELIAS),
    "randk:k=8,scale=unbiased": (D / 8 - 1, 4 * 8 + 7, 32 * 8),
    "randk:k=8,scale=unbiased+natural": (D / 8 * NATURAL - 1, 9 + 7, 9 * 8),
    "shared_qsgd:levels=4": (uniform(WORKERS * D, 4) - 1, 4 + D, 32 + 8 * D),
    "shared_qsgd:levels=31": (uniform(WORKERS * D, 31) - 1, 4 + D, 32 + 8 * D),
    "shared_randk:k=8,scale=unbiased": (D / 8 - 1, 4 * 8, 32 * 8),
    "sketch:rank=2,scale=unbiased": (14 / 2 - 1, 4 * 16, 32 * 16),
    "sketch:rank=2,kind=gaussian,scale=unbiased": (15 / 2, 4 * 16, 32 * 16),
    "sketch:rank=2,kind=rademacher,scale=unbiased": (13 / 2, 4 * 16, 32 * 16),
    "sparsify:k=8.0": (D / 8 - 1, 4 + 4 * D + 98, 32 * 8),
    "sparsify:k=8.0,probabilities=optimal": (D / 8 - 1, 4 + 4 * D + 98, 32 * 8),
    "spectral:budget=2": (8 / 2 - 1, 4 * 44, 32 * 44),
    "spectral:budget=4,shape=7x16+natural": (7 / 4 * NATURAL**2 - 1, 4 * (8 + 18), 4 * 9 * 23),
    "ternary": (uniform(D, 1) - 1, 4 + ceil(D / 5), 32 + 2 * D),
    "ternary:norm=l2": (sqrt(D) - 1, 4 + ceil(D / 5), 32 + 2 * D),
    "twosided:rows=4,columns=7,scale=unbiased": (D / 28 - 1, 4 * 28, 32 * 28),
}


def declared(spec):
    return make_operator(read_spec(spec), (D,), "float64", WORKERS)


@pytest.mark.parametrize("spec", CONTRACTIVE)
def test_a_contractive_one_declares_its_formula(spec):
    operator, (alpha, nbytes, bits) = declared(spec), CONTRACTIVE[spec]
    assert operator.omega is None
    assert operator.alpha == (
        alpha and pytest.approx(alpha, rel=1e-6)
    )  # grids have levels in float32
    assert operator.nbytes == nbytes and operator.published_bits == pytest.approx(bits)


@pytest.mark.parametrize("spec", UNBIASED)
def test_an_unbiased_one_declares_its_formula_and_contracts_below_one(spec):
    operator, (omega, nbytes, bits) = declared(spec), UNBIASED[spec]
    assert operator.omega == pytest.approx(omega, rel=1e-5)
    assert operator.alpha == (pytest.approx(1 - omega, rel=1e-5) if omega < 1 else None)
    assert operator.nbytes == nbytes and operator.published_bits == pytest.approx(bits)


def test_every_example_has_its_formula_here():
    assert CONTRACTIVE.keys() | UNBIASED.keys() == set(default_specs())


def test_the_constants_do_not_depend_on_the_state_s_precision():
    for spec in default_specs():
        operator = make_operator(read_spec(spec), (D,), "float32", WORKERS)
        other = declared(spec)
        for name in ("alpha", "omega", "nbytes", "published_bits", "precision", "random", "common"):
            assert getattr(operator, name) == getattr(other, name), (spec, name)
        assert np.dtype(operator.precision) == operator.precision
