import numpy as np
import pytest
from harness import assert_mean, compress, decode, encode, make, samples
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mpi_lowrank.compressors.wire.messages import MessageError
from mpi_lowrank.errors import OptionError

UNBIASED = [
    "qsgd:levels=1",
    "qsgd:levels=4",
    "qsgd:levels=3,norm=linf",
    "qsgd:levels=2,bucket=16",
    "qsgd:levels=16,coding=elias",
    "qsgd:levels=2,bucket=16,coding=elias",
    "ternary",
    "ternary:norm=l2,bucket=9",
    "natural_dithering",
    "natural_dithering:levels=8,norm=linf",
    "exponential_dithering:base=3.0",
]
NEAREST = [
    "qsgd:levels=8,rounding=nearest",
    "qsgd:levels=2,norm=linf,rounding=nearest",
    "ternary:rounding=nearest",
    "natural_dithering:norm=linf,rounding=nearest",
    "natural_dithering:levels=6,rounding=nearest",
]
RNG = np.random.default_rng(5)
X = RNG.standard_normal(40) * 10.0 ** RNG.uniform(-2, 2, 40)


def dense_levels(compressor, x):
    """The two levels about each number, by searchsorted in float64."""
    norm = np.abs(x).max() if compressor.norm == "linf" else np.linalg.norm(x)
    y = np.abs(x) / norm
    at = np.clip(np.searchsorted(compressor.grid, y, side="right") - 1, 0, compressor.s - 1)
    return norm * compressor.grid[at], norm * compressor.grid[at + 1]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("spec", [s for s in UNBIASED + NEAREST if "bucket" not in s])
def test_every_number_goes_to_one_of_the_two_levels_about_it(spec, dtype):
    compressor = make(spec, 40, dtype)
    out = np.abs(compress(compressor, np.repeat(X[np.newaxis], 4, axis=0).astype(dtype)))
    low, high = dense_levels(compressor, X)
    tolerance = 1e-5 * high
    assert ((np.abs(out - low) <= tolerance) | (np.abs(out - high) <= tolerance)).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("spec", UNBIASED)
def test_the_mean_is_x_and_the_variance_the_closed_form(spec, dtype):
    drawn = samples(spec, X, 4000, dtype).astype(float)
    x = X.astype(dtype).astype(float)
    for direction in (x, np.sign(x), RNG.choice([-1.0, 1.0], 40)):
        assert_mean(drawn @ direction, x @ direction)
    compressor = make(spec, 40)
    expected = compressor.expected_error(x[np.newaxis])[0]
    assert_mean(((drawn - x) ** 2).sum(axis=1), expected)
    assert expected <= compressor.omega * (x @ x)


@pytest.mark.parametrize(
    "spec", [s for s in UNBIASED + NEAREST if make(s, 40).worst_case() is not None]
)
def test_the_constant_is_attained_at_the_worst_case(spec):
    compressor = make(spec, 40)
    x = compressor.worst_case()
    promise = 1 - compressor.alpha if compressor.omega is None else compressor.omega
    drawn = samples(spec, x, 4000)
    assert_mean(((drawn - x) ** 2).sum(axis=1) / (x @ x), promise)


def test_the_tight_constants_of_qsgd_and_of_ternary():
    for s, omega in ((1, 9.0), (2, 4.0), (4, 1.5), (10, 0.25), (16, 100 / 1024)):
        assert make(f"qsgd:levels={s}", 100).omega == pytest.approx(omega, rel=1e-12)
    assert make("ternary", 100).omega == pytest.approx(4.5, rel=1e-12)
    assert make("ternary:norm=l2", 100).omega == pytest.approx(9.0, rel=1e-12)
    assert make("natural_dithering:levels=8", 100).omega == pytest.approx(
        1 / 8 + (10 * 2.0**-7) ** 2, rel=1e-12
    )
    assert make("exponential_dithering:base=3.0,levels=4", 100).omega == pytest.approx(
        1 / 3 + (10 / 27) ** 2, rel=1e-12
    )


@pytest.mark.parametrize("spec", NEAREST)
@settings(max_examples=60, deadline=None)
@given(x=arrays(np.float64, (1, 12), elements=st.floats(-1, 1, width=16)))
def test_rounding_to_the_nearest_level_contracts_as_promised(spec, x):
    compressor = make(spec, 12, local=1)
    error = ((compress(compressor, x) - x) ** 2).sum()
    assert error <= (1 - (compressor.alpha or 0)) * (x**2).sum() * (1 + 1e-6) + 1e-300


def test_a_one_hot_vector_is_exact():
    x = np.zeros((4, 9))
    x[:, 3] = -2.5
    for spec in UNBIASED + NEAREST:
        np.testing.assert_allclose(compress(make(spec, 9), x), x, rtol=2e-7)


def test_contractive_rounding_is_the_unbiased_one_divided_by_zeta():
    for spec in ("qsgd:levels=2", "ternary", "natural_dithering"):
        contractive = f"{spec}{',' if ':' in spec else ':'}rounding=contractive"
        unbiased, scaled = make(spec, 40), make(contractive, 40)
        assert scaled.alpha == 1 / (1 + unbiased.omega) and scaled.omega is None
    drawn, scaled = samples("ternary", X, 10), samples("ternary:rounding=contractive", X, 10)
    np.testing.assert_allclose(scaled, drawn / (1 + make("ternary", 40).omega), rtol=1e-12)


@pytest.mark.parametrize("wire", ["float32", "float64"])
@pytest.mark.parametrize("d", [1, 7, 112, 10**6 + 3])
def test_messages_take_the_norms_and_the_bits_of_the_codes(d, wire):
    size = np.dtype(wire).itemsize
    for s, bits in ((1, 2), (2, 3), (3, 3), (4, 4), (7, 4), (8, 5), (255, 9)):
        assert make(f"qsgd:levels={s},wire={wire}", d, local=1).nbytes == size + -(-bits * d // 8)
    assert make(f"natural_dithering:levels=4,wire={wire}", d, local=1).nbytes == size + -(-d // 2)
    assert make(f"ternary:wire={wire}", d, local=1).nbytes == size + -(-d // 5)
    bucketed = make(f"qsgd:levels=1,bucket=64,wire={wire}", d, local=1)
    assert bucketed.nbytes == size * -(-d // 64) + -(-2 * d // 8)


def test_the_norm_on_the_wire_is_rounded_up_so_that_no_number_exceeds_it():
    x = np.array([[1 + 2.0**-30, 0.5]])  # its float32 is below it
    compressor = make("qsgd:levels=3,norm=linf", 2, local=1)
    scale = encode(compressor, x)[:, :4].view(np.float32)[0, 0]
    assert scale >= x[0, 0] and scale == np.nextafter(np.float32(1), np.float32(2))


@pytest.mark.parametrize("scale", [1e-35, 1e-12, 1e12, 1e35])
def test_tiny_and_huge_vectors_are_the_ordinary_ones_scaled(scale):
    for spec in UNBIASED + NEAREST:
        for dtype in ("float32", "float64"):
            ordinary = compress(make(spec, 40, dtype), np.array([X / 100], dtype))
            scaled = compress(make(spec, 40, dtype), np.array([X / 100 * scale], dtype))
            np.testing.assert_allclose(scaled / scale, ordinary, rtol=1e-5, atol=1e-6)


def test_codes_norms_and_lengths_that_no_encoder_writes_raise():
    for spec in ("qsgd:levels=4", "natural_dithering:levels=4", "ternary"):
        compressor = make(spec, 10, local=1)
        message = encode(compressor, np.ones((1, 10)))
        with pytest.raises(MessageError):
            decode(compressor, message[:, :-1], 10)
        above = message.copy()
        above[:, 4:] = 255
        with pytest.raises(MessageError):
            decode(compressor, above, 10)
        for norm in (np.nan, np.inf, -1.0):
            message[:, :4] = np.array([norm], np.float32).view(np.uint8)
            with pytest.raises(MessageError):
                decode(compressor, message, 10)


@pytest.mark.parametrize(
    ("spec", "option"),
    [
        ("qsgd:levels=0", "levels"),
        ("qsgd:bucket=-1", "bucket"),
        ("exponential_dithering:base=1.0", "base"),
        ("natural_dithering:levels=0", "levels"),
        ("natural_dithering:levels=200", "levels"),
    ],
)
def test_impossible_options_name_themselves(spec, option):
    with pytest.raises(OptionError) as caught:
        make(spec)
    assert caught.value.option == option
