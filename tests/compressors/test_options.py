"""What the options of compressors may be: the last allowed value and the first refused one."""

import pytest

from mpi_lowrank.config.options import read_spec
from mpi_lowrank.errors import OptionError
from mpi_lowrank.run.components import make_operator

D = 112  # an 8 x 14 matrix


def make(spec, workers=4):
    return make_operator(read_spec(spec), (D,), "float64", workers)


LIMITS = [
    ("topk:k={}", 1, 0),
    ("topk:k={}", D, D + 1),
    ("randk:k={}", 1, 0),
    ("randk:k={}", D, D + 1),
    ("shared_randk:k={}", 1, 0),
    ("shared_randk:k={}", D, D + 1),
    ("sparsify:k={}", 1e-3, 0.0),
    ("sparsify:k={}", float(D), D + 0.5),
    ("bernoulli:p={}", 1e-3, 0.0),
    ("bernoulli:p={}", 1.0, 1.5),
    ("shared_qsgd:levels={}", 1, 0),
    ("shared_qsgd:levels={}", 2**15, 2**15 + 1),
    ("qsgd:levels={}", 1, 0),
    ("qsgd:levels={}", 2**15, 2**15 + 1),
    ("qsgd:bucket={}", 0, -1),
    ("exponential_dithering:base={}", 1.01, 1.0),
    ("exponential_dithering:base={},levels=2", 1000.0, 1001.0),
    ("exponential_dithering:levels={}", 1, 0),
    ("exponential_dithering:base=10.0,levels={}", 31, 32),
    ("exponential_rounding:base={}", 1.01, 1.0),
    ("exponential_rounding:base={}", 1000.0, 1001.0),
    ("grid_rounding:base={}", 1000.0, 1001.0),
    ("grid_rounding:steps=1 1.005,base={}", 1.01, 1.0),
    ("grid_rounding:base=4.0,steps={}", "1 3", "1 4"),
    ("grid_rounding:steps={}", "1 2", "2 3"),
    ("grid_rounding:steps={}", "1 2 3", "1 3 2"),
    ("grid_rounding:steps={}", "1 2 3", "1 2 2"),
    ("grid_rounding:steps={}", "1 2 3", "1 2 x"),
    ("kronecker:shape={}", "112x1", "111x1"),
    ("kronecker:shape={}", "28x4", "38x3"),
    ("sdd:rank={}", 1, 0),
    ("symmetric_sdd:rank={}", 1, 0),
    ("eigen:rank={}", 1, 0),
    ("eigen:rank={}", 15, 16),
    ("svd:rank={}", 1, 0),
    ("svd:rank={}", 8, 9),
    ("svd:shape={}", "112x1", "111x1"),
    ("rsvd:power_iterations={}", 0, -1),
    ("rsvd:oversampling={}", 0, -1),
    ("rangefinder:columns={}", 1, 0),
    ("rangefinder:columns={}", 8, 9),
    ("rangefinder:power_iterations={}", 0, -1),
    ("pivoted_qr:rank={}", 8, 9),
    ("interpolative:rank={}", 8, 9),
    ("spectral:budget={}", 8, 9),
    ("spectral:budget={}", 1, 0),
    ("adaptive:epsilon={}", 1e-3, 0.0),
    ("adaptive:epsilon={}", 0.999, 1.0),
    ("tucker:shape={}", "112x1", "111x1"),
    ("tensor_train:shape=7x4x4,rank={}", 1, 0),
    ("powersgd:rank={}", 1, 0),
    ("powersgd:rank={}", 8, 9),
    ("powersgd:rank=2,fresh_columns={}", 0, -1),
    ("powersgd:rank=2,fresh_columns={}", 2, 3),
    ("powersgd:basis=svd,refresh={}", 1, 0),
    ("alternating:rank=2,fresh_columns={}", 0, -1),
    ("alternating:rank=2,fresh_columns={}", 2, 3),
    ("sketch:rank={}", 8, 9),
    ("twosided:rows={}", 1, 0),
    ("twosided:rows={}", 8, 9),
    ("twosided:columns={}", 1, 0),
    ("twosided:columns={}", 14, 15),
]


@pytest.mark.parametrize(("spec", "last", "beyond"), LIMITS)
def test_the_last_allowed_value_is_taken_and_the_next_one_refused(spec, last, beyond):
    make(spec.format(last))
    with pytest.raises(OptionError) as error:
        make(spec.format(beyond))
    assert error.value.option in spec


def test_levels_and_workers_together_fit_a_type_that_mpi_sums():
    assert make("shared_qsgd:levels=32768", 65535).nbytes == 4 + 4 * D
    with pytest.raises(OptionError, match="at most 32767 with 65536 workers"):
        make("shared_qsgd:levels=32768", 65536)
    for levels, workers, size in ((31, 4, 1), (32, 4, 2), (127, 1, 1), (8191, 4, 2), (8192, 4, 4)):
        assert make(f"shared_qsgd:levels={levels}", workers).nbytes == 4 + size * D


DEFAULTS = [
    ("shared_qsgd", "levels=4"),
    ("qsgd", "levels=4,bucket=0,coding=fixed"),
    ("ternary", "norm=linf,bucket=0"),
    ("exponential_dithering", "base=2.0,levels=4,bucket=0"),
    ("natural_dithering", "levels=4,bucket=0"),
    ("exponential_rounding", "base=3.0"),
    ("grid_rounding", "base=10.0,steps=1 2 5"),
    ("bernoulli", "p=0.1"),
    ("svd", "rank=1"),
    ("rsvd", "rank=1,oversampling=2,power_iterations=0"),
    ("rangefinder", "columns=1,power_iterations=0"),
    ("pivoted_qr", "rank=1"),
    ("interpolative", "rank=1"),
    ("spectral", "budget=1"),
    ("adaptive", "epsilon=0.1"),
    ("sdd", "rank=1"),
    ("symmetric_sdd", "rank=1"),
    ("eigen", "rank=1"),
    ("tucker:shape=7x4x4", "rank=1"),
    ("tensor_train:shape=7x4x4", "rank=1"),
    ("powersgd", "rank=1,basis=warm,fresh_columns=1,refresh=20"),
    ("alternating", "rank=2,fresh_columns=1"),
    ("sketch", "rank=1,kind=haar"),
    ("twosided", "rows=1,columns=1"),
]


@pytest.mark.parametrize(("name", "options"), DEFAULTS)
def test_what_is_left_out_is_the_default(name, options):
    explicit = f"{name}{',' if ':' in name else ':'}{options}"
    assert told(make(name)) == told(make(explicit))


def told(operator):
    """What an operator is, as far as plain numbers and words say."""
    plain = (bool, int, float, str, tuple, type(None))
    return {key: value for key, value in vars(operator).items() if isinstance(value, plain)}


def test_a_level_more_than_a_power_of_two_with_zero_costs_a_bit_more():
    assert len(make("exponential_rounding:base=15.7").levels) == 63
    assert make("exponential_rounding:base=15.7").nbytes == D * (1 + 6) // 8
    assert len(make("exponential_rounding:base=15.5").levels) == 64
    assert make("exponential_rounding:base=15.5").nbytes == D * (1 + 7) // 8
