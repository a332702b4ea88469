"""The bytes of every compressor's message: the formulas, written down apart from the code."""

from math import ceil, log2

import pytest

from mpi_lowrank.certificate import default_specs
from mpi_lowrank.compressors import compressors
from mpi_lowrank.config.options import read_spec
from mpi_lowrank.run.components import make_operator

WORKERS = 20

SHAPES = {1: (1, 1), 7: (2, 4), 112: (8, 14), 10**6 + 3: (1000, 1001)}
"""The matrix that a vector of so many numbers is seen as."""

SIDES = {1: 1, 7: 4, 112: 15, 10**6 + 3: 1414}
"""The side of the smallest triangle that so many numbers fit in."""


def bits(values):
    return ceil(log2(values)) if values > 1 else 0


def packed(count, width):
    return ceil(count * width / 8)


def factors(rank, F):
    return lambda d: F * rank * sum(SHAPES[d])


def formulas(F):
    """Specification: the bytes for d numbers, F bytes a number; those of varying length at most."""
    F_bits = 8 * F
    return {
        "identity:{wire}": lambda d: F * d,
        "identity:wire=float16": lambda d: 2 * d,
        "dense:{wire}": lambda d: F * d,
        "dense:wire=bfloat16": lambda d: 2 * d,
        "topk:k=1,{wire}": lambda d: F + packed(1, bits(d)),
        "randk:k=1,{wire}": lambda d: F + packed(1, bits(d)),
        "shared_randk:k=1,{wire}": lambda d: F,
        "adaptive_random:{wire}": lambda d: F + packed(1, bits(d)),
        "sparsify:k=1.0,{wire}": lambda d: 4 + F * d + packed(d, bits(d)),
        "bernoulli:{wire}": lambda d: 4 + F * d,
        "permk:{wire}": lambda d: 1 + F * ceil(d / WORKERS),
        "shared_qsgd:levels=4": lambda d: 4 + d,
        "shared_qsgd:levels=100": lambda d: 4 + 2 * d,
        "natural:{wire}": lambda d: packed(d, {32: 9, 64: 12}[F_bits]),
        "exponential_rounding:base=4.0,{wire}": lambda d: packed(d, {32: 8, 64: 11}[F_bits]),
        "qsgd:levels=4,{wire}": lambda d: F + packed(d, 1 + bits(5)),
        "qsgd:levels=7,bucket=64,{wire}": lambda d: F * ceil(d / min(64, d)) + packed(d, 4),
        "natural_dithering:levels=3,{wire}": lambda d: F + packed(d, 3),
        "exponential_dithering:levels=8,{wire}": lambda d: F + packed(d, 5),
        "ternary:{wire}": lambda d: F + ceil(d / 5),
        "scaled_sign:{wire}": lambda d: F + ceil(d / 8),
        "topk:k=1+natural": lambda d: packed(1, 9) + packed(1, bits(d)),
        "topk:k=1+qsgd:levels=4,{wire}": lambda d: F + 1 + packed(1, bits(d)),
        "svd:rank=1,{wire}": factors(1, F),
        "rsvd:rank=1,{wire}": factors(1, F),
        "powersgd:rank=1,{wire}": factors(1, F),
        "alternating:rank=1,{wire}": lambda d: F * sum(SHAPES[d]) // 2,
        "sketch:rank=1,{wire}": lambda d: F * SHAPES[d][0],
        "svd:rank=1+natural": lambda d: sum(packed(n, 9) for n in SHAPES[d]),
        "svd:rank=1+ternary:{wire}": lambda d: sum(F + ceil(n / 5) for n in SHAPES[d]),
        "rangefinder:columns=1,{wire}": factors(1, F),
        "pivoted_qr:rank=1,{wire}": factors(1, F),
        "spectral:budget=1,{wire}": factors(1, F),
        "interpolative:rank=1,{wire}": lambda d: (
            F * (max(SHAPES[d]) + min(SHAPES[d]) - 1) + packed(1, bits(min(SHAPES[d])))
        ),
        "eigen:rank=1,{wire}": lambda d: F * SIDES[d] + 1,
        "symmetric_sdd:rank=1": lambda d: ceil(SIDES[d] / 5) + 2,
        "sdd:rank=1": lambda d: 1 + ceil(sum(SHAPES[d]) / 5),
    }


CASES = [
    (spec, d, wire, formula)
    for wire, F in (("float32", 4), ("float64", 8))
    for spec, formula in formulas(F).items()
    for d in SHAPES
]


@pytest.mark.parametrize(("spec", "d", "wire", "formula"), CASES)
def test_a_message_has_the_bytes_of_its_formula(spec, d, wire, formula):
    choice = read_spec(spec.format(wire=f"wire={wire}"))
    for dtype in ("float32", "float64"):
        assert make_operator(choice, (d,), dtype, WORKERS).nbytes == formula(d)


def test_every_compressor_has_a_formula_here_or_in_a_test_of_its_own():
    written = {spec.partition(":")[0] for spec in formulas(4)}
    elsewhere = {"grid_rounding", "kronecker", "followed_kronecker", "adaptive"}
    elsewhere |= {"tucker", "tensor_train", "twosided"}
    assert set(compressors.names()) == written | elsewhere
    assert len(default_specs()) > 60
