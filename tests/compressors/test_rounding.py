import numpy as np
import pytest
from harness import assert_mean, compress, decode, encode, make, samples
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mpi_lowrank.compressors.wire.messages import MessageError
from mpi_lowrank.errors import OptionError

SPECS = [
    "natural",
    "natural:wire=float64",
    "natural:rounding=nearest",
    "exponential_rounding:base=1.5",
    "exponential_rounding:base=3.0,rounding=contractive",
    "exponential_rounding:base=4.0,rounding=nearest",
    "grid_rounding",
    "grid_rounding:base=4.0,steps=1 1.5 3",
    "grid_rounding:base=100.0,steps=1 1.1 1.2 60",
]
RNG = np.random.default_rng(5)
WIDE = RNG.standard_normal(40) * 10.0 ** RNG.uniform(-4, 4, 40)


def grid_of(compressor):
    return np.concatenate([[0], compressor.levels.astype(float), [np.inf]])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("spec", SPECS)
def test_every_number_goes_to_a_level_beside_it(spec, dtype):
    x = WIDE.astype(dtype)
    compressor = make(spec.replace("contractive", "unbiased"), 40, dtype)
    out = compress(compressor, np.repeat(x[np.newaxis], 4, axis=0)).astype(float)
    grid = grid_of(compressor)
    at = np.searchsorted(grid, np.abs(x.astype(float)), side="right") - 1
    low, high = grid[at], grid[at + 1]
    magnitude = np.abs(out)
    near = np.isclose(magnitude, low, rtol=1e-6) | np.isclose(magnitude, high, rtol=1e-6)
    assert near.all()
    np.testing.assert_array_equal(np.sign(out), np.broadcast_to(np.sign(x), out.shape))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("spec", [s for s in SPECS if "nearest" not in s and "contr" not in s])
def test_unbiased_ones_have_mean_x_and_the_closed_form_s_variance(spec, dtype):
    drawn = samples(spec, WIDE, 4000, dtype).astype(float)
    x = WIDE.astype(dtype).astype(float)
    for direction in (x, RNG.choice([-1.0, 1.0], 40) * np.abs(x)):
        assert_mean(drawn @ direction, x @ direction)
    expected = make(spec, 40).expected_error(x[np.newaxis])[0]
    assert_mean(((drawn - x) ** 2).sum(axis=1), expected)


@pytest.mark.parametrize("spec", SPECS)
def test_the_constant_is_attained_at_the_worst_case(spec):
    compressor = make(spec, 40)
    x = compressor.worst_case()
    promise = 1 - compressor.alpha if compressor.omega is None else compressor.omega
    assert compressor.expected_error(x[np.newaxis])[0] == pytest.approx(promise * x @ x, rel=1e-6)
    drawn = samples(spec, x, 4000)
    assert_mean(((drawn - x) ** 2).sum(axis=1) / (x @ x), promise)


@pytest.mark.parametrize("base", [1.5, 2.0, 3.0, 4.0])
def test_constants_are_those_of_the_papers(base):
    omega = (base - 1) ** 2 / (4 * base)
    spec = f"exponential_rounding:base={base}"
    assert make(spec).omega == pytest.approx(omega, rel=1e-6)
    assert make(spec + ",rounding=nearest").alpha == pytest.approx(1 / (1 + omega), rel=1e-6)
    assert make(spec + ",rounding=contractive").alpha == pytest.approx(1 / (1 + omega), rel=1e-6)
    assert make("natural").omega == 1 / 8 and make("natural:rounding=nearest").alpha == 8 / 9


def test_natural_compression_of_two_and_a_half_is_two_three_times_out_of_four():
    drawn = samples("natural", np.full(4, 2.5), 4000)
    assert set(np.unique(drawn)) == {2.0, 4.0}
    assert_mean((drawn[:, 0] == 2).astype(float), 0.75)


def test_natural_compression_keeps_powers_of_two_and_is_exponential_rounding_to_base_two():
    powers = np.ldexp([1.0, -1.0, 1.0, -1.0], [-126, -3, 0, 127])[np.newaxis]
    for spec in ("natural", "natural:wire=float64", "exponential_rounding:base=2.0"):
        np.testing.assert_array_equal(compress(make(spec, 4), powers), powers)


@pytest.mark.parametrize("d", [1, 7, 112, 10**6 + 3])
def test_natural_messages_take_nine_or_twelve_bits_a_number(d):
    for wire, bits in (("float32", 9), ("float64", 12)):
        assert make(f"natural:wire={wire}", d, local=1).nbytes == -(-bits * d // 8)


def test_what_is_below_the_wire_s_normal_range_becomes_zero_and_what_is_above_is_refused():
    for spec in SPECS:
        compressor = make(spec, 2)
        info = np.finfo(compressor.precision)
        tiny = np.array([[float(info.smallest_normal) / 8, 0.0]])
        assert not compress(compressor, tiny).any()
        with pytest.raises(FloatingPointError):
            encode(compressor, np.array([[1.0, float(info.max)]]))


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_what_is_not_finite_is_refused(value):
    with pytest.raises(FloatingPointError):
        encode(make("natural", 3), np.array([[1.0, value, 2.0]]))


def test_codes_that_stand_for_nothing_and_wrong_lengths_raise():
    compressor = make("natural", 8, local=1)
    message = encode(compressor, np.ones((1, 8)))
    with pytest.raises(MessageError):
        decode(compressor, message[:, :-1], 8)
    message[0, 3] = 255  # the exponent of infinity
    with pytest.raises(MessageError):
        decode(compressor, message, 8)


@settings(max_examples=60, deadline=None)
@given(
    x=arrays(np.float32, (2, 13), elements=st.floats(-(2.0**100), 2.0**100, width=32)),
    spec=st.sampled_from(SPECS),
)
def test_the_error_of_a_number_is_less_than_its_distance_to_the_next_level(x, spec):
    compressor = make(spec.replace("contractive", "unbiased"), 13, "float64", local=2)
    x = x.astype(float)
    out, grid = compress(compressor, x), grid_of(compressor)
    at = np.searchsorted(grid, np.abs(x), side="right") - 1
    assert (np.abs(out - x) <= (grid[at + 1] - grid[at]) * (1 + 1e-6)).all()


@pytest.mark.parametrize(
    ("spec", "option"),
    [
        ("exponential_rounding:base=1.0", "base"),
        ("grid_rounding:base=0.5", "base"),
        ("grid_rounding:steps=2 5", "steps"),
        ("grid_rounding:steps=1 5 2", "steps"),
        ("grid_rounding:steps=1 x", "steps"),
        ("grid_rounding:steps=1 10", "steps"),
    ],
)
def test_impossible_options_name_themselves(spec, option):
    with pytest.raises(OptionError) as caught:
        make(spec)
    assert caught.value.option == option
