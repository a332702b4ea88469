"""What all compressors that factorise one matrix have in common, and what they carry."""

from itertools import pairwise

import numpy as np
import pytest
from harness import assert_mean, compress, decode, encode, make, samples
from spectra import SHAPES, D, hostile, relative_errors, square, with_spectrum

from mpi_lowrank.compressors.wire.messages import LENGTH
from mpi_lowrank.errors import OptionError

SPECS = [
    "rangefinder:columns=3",
    "rangefinder:columns=2,power_iterations=2",
    "pivoted_qr:rank=3",
    "interpolative:rank=3",
    "interpolative:rank=8",
    "spectral:budget=3",
    "spectral:budget=3,scale=contractive",
    "adaptive:epsilon=0.3",
    "adaptive:epsilon=0.01",
    "svd:rank=2+randk:k=3,scale=unbiased",
    "pivoted_qr:rank=3+natural",
    "adaptive:epsilon=0.5+natural",
    "adaptive:epsilon=0.05+natural",
]


@pytest.mark.parametrize("shape", [*SHAPES, (113,)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("spec", SPECS)
def test_a_worker_s_bits_do_not_depend_on_who_is_beside_it(spec, dtype, shape):
    d = int(np.prod(shape))
    rows = np.random.default_rng(5).standard_normal((4, d)).astype(dtype)
    together = compress(make(spec, shape, dtype), rows)
    for w in range(4):
        alone = compress(make(spec, shape, dtype, local=1), rows[w : w + 1], first=w)
        np.testing.assert_array_equal(together[w], alone[0])


@pytest.mark.parametrize("shape", [*SHAPES, (113,)])
@pytest.mark.parametrize("spec", SPECS)
def test_decode_sum_is_the_weighted_sum_of_the_decodes(spec, shape):
    d = int(np.prod(shape))
    rows = np.random.default_rng(5).standard_normal((4, d))
    compressor = make(spec, shape)
    messages, weights = encode(compressor, rows), np.array([0.25, 0.5, 0.0, 2.0])
    total = np.full(d, np.nan)
    compressor.decode_sum(messages, weights, total)
    expected = weights @ decode(compressor, messages, d)
    np.testing.assert_allclose(total, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("spec", SPECS)
def test_zero_compresses_to_zero_beside_what_is_not(spec, shape, rows):
    rows[[0, 2]] = 0
    with np.errstate(all="raise"):
        out = compress(make(spec, shape), rows)
    assert not out[[0, 2]].any() and out[[1, 3]].any(axis=1).all()


@pytest.mark.parametrize("spec", SPECS[:9])
def test_numbers_far_from_one_lose_nothing(spec, rows):
    rows /= np.abs(rows).max(axis=1, keepdims=True)
    errors = [
        square(compress(make(spec + ",wire=float64", (8, 14)), scale * rows) / scale - rows)
        for scale in (1.0, 2.0**600, 2.0**-600)
    ]
    for error in errors[1:]:
        np.testing.assert_allclose(error, errors[0], rtol=1e-12, atol=1e-25)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("spec", SPECS)
def test_the_promise_holds_on_hostile_matrices(spec, shape):
    compressor = make(spec, shape)
    promise = 1 - compressor.alpha if compressor.omega is None else compressor.omega
    count = 600 if compressor.random else 1
    for name, x in hostile(*shape).items():
        errors = relative_errors(spec, x, shape, count)
        bound = 4.5 * errors.std() / np.sqrt(count) + 1e-6
        assert errors.mean() <= promise + bound, name


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("spec", [s for s in SPECS if "+" not in s and "rank=8" not in s])
def test_the_constant_is_attained_at_the_worst_case(spec, shape):
    compressor = make(spec, shape)
    promise = 1 - compressor.alpha if compressor.omega is None else compressor.omega
    errors = relative_errors(spec, compressor.worst_case(), shape, 200)
    assert errors.mean() == pytest.approx(promise, rel=3e-6, abs=4.5 * errors.std() / np.sqrt(200))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("spec", ["svd:rank=3", "spectral:budget=3", SPECS[6], *SPECS[7:9]])
def test_the_expected_error_is_the_measured_one(spec, shape):
    for x in hostile(*shape).values():
        (expected,) = make(spec, shape).expected_error(x[np.newaxis])
        assert_mean(relative_errors(spec, x, shape, 400) + 1, 1 + expected / square(x))
    assert make(spec, (113,)).expected_error(np.ones((1, 113))) is None


@pytest.mark.parametrize("wire", ["float32", "float64"])
@pytest.mark.parametrize(
    ("d", "m", "c", "r"), [(1, 1, 1, 1), (7, 2, 4, 2), (112, 8, 14, 3), (10**6 + 3, 1000, 1001, 4)]
)
def test_factors_cost_r_times_m_plus_c_numbers(d, m, c, r, wire):
    size = np.dtype(wire).itemsize
    for spec in (f"rangefinder:columns={r}", f"pivoted_qr:rank={r}", f"spectral:budget={r}"):
        compressor = make(f"{spec},wire={wire}", d, local=0)
        assert compressor.nbytes == r * (m + c) * size
        assert compressor.published_bits == 8 * compressor.nbytes


@pytest.mark.parametrize("wire", ["float32", "float64"])
@pytest.mark.parametrize(
    ("block", "r", "numbers", "index_bits"),
    [
        ((1,), 1, 1, 0),
        ((7,), 2, 2 * 4, 1),
        ((112,), 3, 3 * 14 + 3 * 5, 3),
        ((24, 40), 4, 4 * 40 + 4 * 20, 5),
        ((40, 24), 4, 4 * 40 + 4 * 20, 5),
        ((8, 8), 8, 64, 3),
        ((10**6 + 3,), 4, 4 * 1001 + 4 * 996, 10),
    ],
)
def test_interpolative_messages_are_columns_coefficients_and_indices(
    block, r, numbers, index_bits, wire
):
    compressor = make(f"interpolative:rank={r},wire={wire}", block, local=0)
    size = np.dtype(wire).itemsize
    assert compressor.nbytes == numbers * size + -(-r * index_bits // 8)
    assert compressor.published_bits == 8 * numbers * size


@pytest.mark.parametrize(
    ("spec", "option"),
    [
        ("rangefinder:columns=0", "columns"),
        ("rangefinder:columns=5", "columns"),
        ("rangefinder:power_iterations=-1", "power_iterations"),
        ("pivoted_qr:rank=5", "rank"),
        ("interpolative:rank=0", "rank"),
        ("spectral:budget=5", "budget"),
        ("spectral:shape=3x9", "shape"),
        ("adaptive:epsilon=0.0", "epsilon"),
        ("adaptive:epsilon=1.0", "epsilon"),
        ("interpolative+natural", "compose"),
        ("interpolative+randk:k=1,scale=unbiased", "compose"),
        ("interpolative+natural:rounding=nearest", "compose"),
        ("adaptive+natural:rounding=nearest", "compose"),
        ("svd+adaptive", "compose"),
    ],
)
def test_impossible_options_name_themselves(spec, option):
    with pytest.raises(OptionError) as caught:
        make(spec)
    assert caught.value.option == option


class TestCompositions:
    NATURAL, RANDK = 9 / 8, (7 / 3, 16 / 3)

    @pytest.mark.parametrize(
        ("spec", "zeta"),
        [
            ("natural", NATURAL**2),
            ("randk:k=3,scale=unbiased", RANDK[0] * RANDK[1]),
        ],
    )
    @pytest.mark.parametrize(
        ("first", "alpha"),
        [
            ("svd:rank=2", 2 / 7),
            ("rsvd:rank=2", 2 / 7),
            ("rangefinder:columns=2", 2 / 7),
            ("pivoted_qr:rank=2", 2 / 7),
            ("adaptive:epsilon=0.75", 1 / 4),
            ("spectral:budget=2,scale=contractive", 2 / 7),
        ],
    )
    def test_alpha_is_divided_by_zeta_of_both_factors_and_holds(self, first, alpha, spec, zeta):
        whole = f"{first}{',' if ':' in first else ':'}shape=7x16+{spec}"
        compressor = make(whole, D)
        assert compressor.alpha == pytest.approx(alpha / zeta) and compressor.omega is None
        assert compressor.worst_case() is None
        for name, x in hostile(7, 16).items():
            errors = relative_errors(whole, x, count=2000)
            bound = 4.5 * errors.std() / np.sqrt(2000)
            assert errors.mean() - bound <= 1 - compressor.alpha, name

    @pytest.mark.parametrize("spec", ["natural", "randk:k=3,scale=unbiased"])
    def test_unbiased_factors_of_a_sampled_spectrum_stay_unbiased(self, spec):
        whole = f"spectral:budget=3,shape=7x16+{spec}"
        omega = make(whole, D).omega
        zeta = self.NATURAL**2 if spec == "natural" else self.RANDK[0] * self.RANDK[1]
        assert omega == pytest.approx(7 / 3 * zeta - 1)
        for x in hostile(7, 16).values():
            drawn = samples(whole, x, 3000)
            assert_mean(drawn @ x, x @ x)
            errors = square(drawn - x) / square(x)
            assert errors.mean() - 4.5 * errors.std() / np.sqrt(3000) <= omega

    def test_a_truncated_svd_with_both_factors_rounded_has_the_variance_of_independent_errors(self):
        x = with_spectrum([2, 1, 0, 0, 0, 0, 0], 7, 16)
        drawn = samples("svd:rank=2,shape=7x16+natural", x, 4000) * (9 / 8) ** 2
        assert_mean(drawn @ x, x @ x)
        ratio = square(drawn) / square(x)
        assert 1.02 < ratio.mean() <= (9 / 8) ** 2

    def test_a_flatter_spectrum_has_a_longer_message(self):
        values = [np.eye(1, 8)[0], 0.5 ** np.arange(8), np.ones(8)]
        x = np.array([with_spectrum(v, 8, 14) for v in values])
        compressor = make("adaptive:epsilon=0.5+natural", (8, 14), local=3)
        lengths = encode(compressor, x)[:, :4].view(LENGTH)[:, 0].tolist()
        assert all(a <= b for a, b in pairwise(lengths)) and lengths[0] < lengths[2]
