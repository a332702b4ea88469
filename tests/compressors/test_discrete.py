from itertools import product

import numpy as np
import pytest
from harness import compress, decode, encode, make
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mpi_lowrank.certificate.inputs import inputs
from mpi_lowrank.compressors.factors.discrete import best_signs, kronecker_atoms, prefix_constant
from mpi_lowrank.compressors.wire.messages import MessageError
from mpi_lowrank.config.options import read_spec
from mpi_lowrank.errors import OptionError
from mpi_lowrank.run.components import make_compressor

SPECS = [
    "kronecker",
    "kronecker:shape=28x1",
    "kronecker:shape=10x4",
    "kronecker:shape=4x8",
    "sdd",
    "sdd:rank=3",
    "sdd:rank=2,shape=10x3",
    "sdd:rank=2,shape=3x10",
]
RNG = np.random.default_rng(5)
HOSTILE = [
    np.ones(28),
    np.eye(28)[17],
    np.where(np.arange(28) == 3, 1.5, 0.0),
    np.sqrt(np.arange(1, 29)) - np.sqrt(np.arange(28)),
    np.resize(np.eye(7, 4).T, 28),
    1.5 * np.resize([1, -1, 0], 28),
    RNG.standard_normal(28) * 10.0 ** RNG.uniform(-8, 8, 28),
]


def captured(x, out):
    x, out = x.astype(float), out.astype(float)
    return 1 - ((out - x) ** 2).sum(axis=-1) / (x**2).sum(axis=-1)


def sign_vectors(values, length):
    return np.array([s for s in product(values, repeat=length) if any(s)], float)


def best_pair(matrix, lefts, rights):
    """max (s^T Z y)^2 / (|s|^2 |y|^2) over all pairs."""
    scores = (lefts @ matrix @ rights.T) ** 2
    return (scores / np.outer((lefts**2).sum(axis=1), (rights**2).sum(axis=1))).max()


def atoms_by_hand(a):
    ground = [(1, 0), (0, 1), (1, 1), (1, -1)]
    found = []
    for parts in product(ground, repeat=a):
        atom = np.ones(1)
        for part in parts:
            atom = np.concatenate([entry * np.array(part) for entry in atom])
        found.append(atom)
    return np.array(found)


@pytest.mark.parametrize("a", [0, 1, 2, 3])
def test_the_atoms_are_all_the_kronecker_products(a):
    np.testing.assert_array_equal(kronecker_atoms(a), atoms_by_hand(a))


@pytest.mark.parametrize(("m", "a"), [(1, 3), (3, 0), (4, 1), (5, 2), (6, 3)])
def test_kronecker_is_the_best_of_all_pairs_up_to_the_rounding_of_beta(m, a):
    c, x = 1 << a, RNG.standard_normal((6, m << a))
    out = compress(make(f"kronecker:shape={m}x{c}", m * c, local=6), x)
    signs, atoms = sign_vectors([-1, 1], m), atoms_by_hand(a)
    for row, decoded in zip(x, out, strict=True):
        best = best_pair(row.reshape(m, c), signs, atoms)
        # With beta of least squares the term is (<t, x> / |t|^2) t, t its pattern of signs.
        pattern = np.sign(decoded)
        assert (pattern @ row) ** 2 / (pattern @ pattern) == pytest.approx(best, rel=1e-12)
        beta, exact = np.abs(decoded).max(), pattern @ row / (pattern @ pattern)
        assert np.log2(beta) % 1 == 0
        assert abs(beta - exact) <= min(abs(beta / 2 - exact), abs(2 * beta - exact))


def test_of_equal_atoms_the_first_is_chosen_and_the_sign_of_zero_is_plus():
    for x, expected in (
        ([2.0, 2.0, 0.0, 0.0], [1, 1, 1, 1]),  # (1,1) with the sign of its second row, 0
        ([3.0, 0.0, 0.0, 3.0], [2, 2, 2, 2]),  # (1,1) before (1,-1), 36/2 each
        ([4.0, -4.0, 4.0, 4.0], [4, 0, 4, 0]),  # (1,0) before (0,1), 64 each
    ):
        out = compress(make("kronecker:shape=2x2", 4, local=1), np.array([x]))
        np.testing.assert_array_equal(out, [expected])


@pytest.mark.parametrize("length", [1, 2, 3, 6])
def test_the_best_signs_are_the_best_of_all(length):
    vectors = np.concatenate([RNG.standard_normal((20, length)), RNG.integers(-1, 2, (20, length))])
    everything = sign_vectors([-1, 0, 1], length)
    best = ((vectors @ everything.T) ** 2 / (everything**2).sum(axis=1)).max(axis=1)
    found = best_signs(vectors)
    kept = (vectors * found).sum(axis=1) ** 2 / (found**2).sum(axis=1)
    np.testing.assert_allclose(kept, best, rtol=1e-12)


@pytest.mark.parametrize("length", [1, 2, 5, 112])
def test_the_constant_of_the_best_signs_is_attained(length):
    worst = np.diff(np.sqrt(np.arange(length + 1.0)))[np.newaxis]
    found = best_signs(worst)
    kept = (worst * found).sum() ** 2 / (found**2).sum()
    assert kept == pytest.approx((worst**2).sum() / prefix_constant(length), rel=1e-12)


def first_term(x, m, c):
    """What a term captures of each row before beta is rounded, from the signs that arrive."""
    out = compress(make(f"sdd:shape={m}x{c}", m * c, local=len(x)), x)
    pattern = np.sign(out)
    return (pattern * x).sum(axis=1) ** 2 / (pattern**2).sum(axis=1), out


@pytest.mark.parametrize(("m", "c"), [(1, 6), (2, 3), (3, 2), (3, 4), (4, 3)])
def test_a_term_is_a_maximum_in_each_factor_and_rarely_far_from_the_best_of_all(m, c):
    x = RNG.standard_normal((30, m * c))
    found, out = first_term(x, m, c)
    lefts, rights = sign_vectors([-1, 0, 1], m), sign_vectors([-1, 0, 1], c)
    ratios = []
    for row, value, decoded in zip(x, found, out, strict=True):
        matrix, pattern = row.reshape(m, c), np.sign(decoded).reshape(m, c)
        left = pattern[:, np.flatnonzero(pattern.any(axis=0))[0]][np.newaxis]
        right = pattern[np.flatnonzero(pattern.any(axis=1))[0]][np.newaxis]
        assert value == pytest.approx(best_pair(matrix, lefts, right), rel=1e-12)
        assert value == pytest.approx(best_pair(matrix, left, rights), rel=1e-12)
        ratios.append(value / best_pair(matrix, lefts, rights))
    assert max(ratios) <= 1 + 1e-12 and np.mean(ratios) > 0.9


def test_a_term_captures_as_much_as_the_best_row_or_column_of_the_longer_side():
    for m, c in ((4, 7), (7, 4)):
        x = RNG.standard_normal((50, 28)) * 10.0 ** RNG.uniform(-2, 2, (50, 28))
        found, _ = first_term(x, m, c)
        lines = np.sort(np.abs(x).reshape(-1, m, c), axis=2)[:, :, ::-1]
        if m > c:
            lines = np.sort(np.abs(x).reshape(-1, m, c), axis=1)[:, ::-1].transpose(0, 2, 1)
        prefixes = np.cumsum(lines, axis=2) ** 2 / np.arange(1, 8)
        assert (found >= prefixes.max(axis=(1, 2)) * (1 - 1e-12)).all()
        assert (found >= (x**2).max(axis=1) * (1 - 1e-12)).all()


def test_each_term_is_that_of_what_the_ones_before_left():
    x = RNG.standard_normal((4, 30))
    left = x.copy()
    for _ in range(3):
        left -= compress(make("sdd:shape=5x6", 30), left)
    together = compress(make("sdd:rank=3,shape=5x6", 30), x)
    np.testing.assert_allclose(together, x - left, rtol=0, atol=1e-14)


def test_sdd_leaves_the_padding_out_of_what_is_left():
    x = RNG.standard_normal((4, 28))
    left = x.copy()
    for _ in range(3):
        left -= compress(make("sdd:shape=7x8"), left)
    together = compress(make("sdd:rank=3,shape=7x8"), x)
    np.testing.assert_allclose(together, x - left, rtol=0, atol=1e-14)


def test_sums_of_such_terms_are_exact():
    signs, trits = RNG.choice([-1, 1], 7), np.array([1, 0, -1, 1])
    x = 0.25 * np.outer(signs, trits)
    for spec in ("sdd:shape=7x4", "sdd:rank=4,shape=7x4"):
        np.testing.assert_array_equal(compress(make(spec, local=1), x.reshape(1, -1))[0], x.ravel())
    x = 8.0 * np.outer(signs, np.kron([1, -1], [0, 1]))
    out = compress(make("kronecker:shape=7x4", local=1), x.reshape(1, -1))
    np.testing.assert_array_equal(out[0], x.ravel())


@pytest.mark.parametrize("d", [1, 7, 112, 10**6 + 3])
def test_the_bytes_are_those_of_the_formula(d):
    for spec in ("kronecker", "sdd", "sdd:rank=3"):
        compressor = make(spec, d, local=1)
        m, c = compressor.m, compressor.c
        assert m * c >= d
        rank = 3 if "rank" in spec else 1
        one = -(-(m + 2 * int(np.log2(c)) + 8) // 8)
        several = -(-rank * (m + c) // 5) + rank
        assert compressor.nbytes == (one if spec == "kronecker" else several)
    assert make("kronecker:shape=7x16", 112).nbytes == 3
    assert make("kronecker:shape=16x8", 112).nbytes == 4
    assert make("sdd:shape=7x16", 112).nbytes == 6
    assert make("sdd:rank=2,shape=7x16", 112).nbytes == 12


def test_the_bits_of_a_message_are_signs_atom_and_exponent():
    x = -0.5 * np.outer([1, -1, -1], np.kron([0, 1], [1, -1])).reshape(1, -1)
    message = encode(make("kronecker:shape=3x4", 12, local=1), x)
    bits = np.unpackbits(message[0], bitorder="little")[:15]
    np.testing.assert_array_equal(bits[:3], [1, 0, 0])
    assert bits[3:7] @ (1 << np.arange(4)) == 4 * 1 + 3
    assert bits[7:] @ (1 << np.arange(8)) == 127 - 1


def test_the_constants_are_those_that_are_proved():
    assert make("kronecker:shape=7x16", 112).alpha == pytest.approx(8 / 9 / 112, rel=1e-12)
    h = sum((np.sqrt(j) - np.sqrt(j - 1)) ** 2 for j in range(1, 17))
    one = make("sdd:shape=7x16", 112).alpha
    assert one == pytest.approx(8 / 9 / (7 * h), rel=1e-12)
    assert make("sdd:shape=16x7", 112).alpha == one
    assert make("sdd:rank=3,shape=7x16", 112).alpha == pytest.approx(1 - (1 - one) ** 3)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("spec", SPECS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_no_vector_loses_more_than_promised(spec, dtype, data):
    width = 32 if dtype == "float32" else 64
    numbers = st.floats(-(2.0**60), 2.0**60, width=width, allow_subnormal=False)
    small = st.sampled_from([0.0, 1.0, -1.0, 1.5, 3.0])
    x = data.draw(arrays(dtype, (1, 28), elements=data.draw(st.sampled_from([numbers, small]))))
    if np.abs(x).max() < 2.0**-60:
        return
    compressor = make(spec, 28, dtype, local=1)
    assert captured(x / np.abs(x).max(), compress(compressor, x) / np.abs(x).max())[0] >= (
        compressor.alpha * (1 - 1e-5)
    )


@pytest.mark.parametrize("spec", SPECS)
def test_hostile_vectors_lose_no_more_than_promised(spec):
    x = np.array(HOSTILE)
    compressor = make(spec, local=len(x))
    assert (captured(x, compress(compressor, x)) >= compressor.alpha * (1 - 1e-12)).all()


@pytest.mark.parametrize("spec", ["kronecker", "sdd", "sdd:rank=2,shape=7x16"])
def test_the_certificate_s_inputs_lose_no_more_than_promised(spec):
    compressor = make(spec, 112, local=1)
    for name, x in inputs(compressor).items():
        scale = np.abs(x).max()
        out = compress(compressor, x[np.newaxis]) / scale
        assert captured(x / scale, out)[0] >= compressor.alpha * (1 - 1e-12), name


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("spec", SPECS)
def test_doubling_x_doubles_what_is_sent(spec, dtype):
    x = RNG.standard_normal((4, 28)).astype(dtype)
    compressor = make(spec, 28, dtype)
    np.testing.assert_array_equal(compress(compressor, 2 * x), 2 * compress(compressor, x))
    assert not compressor.homogeneous


@pytest.mark.parametrize("spec", ["kronecker", "sdd"])
def test_beta_goes_to_the_power_of_two_that_is_nearest_in_value(spec):
    for value, expected in ((1.0, 1.0), (1.49, 1.0), (1.51, 2.0), (0.76, 1.0), (0.74, 0.5)):
        x = np.full((1, 32), value)
        np.testing.assert_array_equal(compress(make(spec, 32, local=1), x), expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("spec", SPECS)
def test_tiny_and_huge_vectors_are_compressed_like_the_rest(spec, dtype):
    x = RNG.standard_normal((1, 28)).astype(dtype)
    compressor = make(spec, 28, dtype, local=1)
    out = compress(compressor, x)
    for power in (-110, 120):
        np.testing.assert_array_equal(
            compress(compressor, np.ldexp(x, power)), np.ldexp(out, power)
        )


@pytest.mark.filterwarnings("ignore:overflow encountered in reduce")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["kronecker", "sdd", "sdd:rank=2"])
def test_what_is_below_the_range_becomes_zero_and_what_is_above_is_refused(name, dtype):
    compressor = make(name, 28, dtype, local=1)
    lowest, highest = (
        np.ldexp(np.ones((1, 28), dtype), -126),
        np.ldexp(np.ones((1, 28), dtype), 127),
    )
    np.testing.assert_array_equal(compress(compressor, lowest), lowest)
    np.testing.assert_array_equal(compress(compressor, highest), highest)
    for power in (-1, -2, -20):
        np.testing.assert_array_equal(compress(compressor, np.ldexp(lowest, power)), 0)
    with pytest.raises(FloatingPointError):
        encode(compressor, highest * np.dtype(dtype).type(1.75))


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("name", ["kronecker", "sdd"])
def test_what_is_not_finite_is_refused(name, value):
    with pytest.raises(FloatingPointError):
        encode(make(name, 3, local=1), np.array([[1.0, value, 2.0]]))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("spec", SPECS)
def test_zero_stays_zero_beside_others(spec, dtype):
    x = RNG.standard_normal((4, 28)).astype(dtype)
    x[1] = 0
    out = compress(make(spec, 28, dtype), x)
    assert not out[1].any() and out[0].any() and np.isfinite(out).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("spec", SPECS)
def test_a_worker_s_bits_do_not_depend_on_who_is_beside_it(spec, dtype):
    x = (RNG.standard_normal((6, 28)) * 10.0 ** RNG.uniform(-3, 3, (6, 1))).astype(dtype)
    together = encode(make(spec, 28, dtype, local=6), x)
    alone = [encode(make(spec, 28, dtype, local=1), row[np.newaxis])[0] for row in x]
    np.testing.assert_array_equal(together, alone)
    decoded = decode(make(spec, 28, dtype, local=6), together, 28, dtype)
    each = [decode(make(spec, 28, dtype, local=1), row[np.newaxis], 28, dtype)[0] for row in alone]
    np.testing.assert_array_equal(decoded, each)


def test_many_rows_of_z_are_summed_in_pieces_as_they_are_whole():
    m, x = 5000, RNG.standard_normal((2, 5000 * 8))
    out = compress(make(f"kronecker:shape={m}x8", m * 8, local=2), x)
    products = np.abs(x.reshape(2, m, 8) @ kronecker_atoms(3).T).sum(axis=1)
    atoms = kronecker_atoms(3)[(products**2 / (kronecker_atoms(3) ** 2).sum(axis=1)).argmax(axis=1)]
    signs = np.where(np.einsum("wmc,wc->wm", x.reshape(2, m, 8), atoms) < 0, -1, 1)
    pattern = signs[:, :, np.newaxis] * atoms[:, np.newaxis]
    np.testing.assert_array_equal(np.sign(out), pattern.reshape(2, -1))


@pytest.mark.parametrize("spec", SPECS)
def test_decode_sum_is_the_weighted_sum_of_the_decodes(spec):
    compressor, x = make(spec), RNG.standard_normal((4, 28))
    messages, weights = encode(compressor, x), np.array([0.25, 0.5, 0.0, 2.0])
    total = np.full(28, np.nan)
    compressor.decode_sum(messages, weights, total)
    expected = weights @ decode(compressor, messages, 28)
    np.testing.assert_allclose(total, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("spec", SPECS)
def test_exponents_that_stand_for_nothing_and_wrong_lengths_raise(spec):
    compressor = make(spec, local=1)
    message = encode(compressor, RNG.standard_normal((1, 28)))
    with pytest.raises(MessageError):
        decode(compressor, message[:, :-1], 28)
    with pytest.raises(MessageError):
        decode(compressor, np.append(message, message[:, :1], axis=1), 28)
    with pytest.raises(MessageError):
        decode(compressor, np.full_like(message, 255), 28)


def test_five_trits_that_no_encoder_writes_raise():
    compressor = make("sdd:shape=4x7", local=1)
    message = encode(compressor, RNG.standard_normal((1, 28)))
    message[0, 0] = 243
    with pytest.raises(MessageError):
        decode(compressor, message, 28)
    message[0, 0] = 2
    message[0, -1] = 255
    with pytest.raises(MessageError):
        decode(compressor, message, 28)


def test_a_model_of_several_blocks_is_compressed_block_by_block():
    blocks = (("W", (12, 10)), ("b", (10,)))
    for spec, expected in (("kronecker", 3 + 40), ("sdd:rank=2", 9 + 2 + 40)):
        compressor, _ = make_compressor(read_spec(spec), "float64", blocks, 2)
        compressor.prepare(2, 2)
        assert compressor.nbytes == expected
        x = RNG.standard_normal((2, 130))
        out = compress(compressor, x)
        np.testing.assert_allclose(out[:, 120:], x[:, 120:], rtol=1e-7)
        alone = compress(make(spec, (12, 10), local=2), x[:, :120])
        np.testing.assert_array_equal(out[:, :120], alone)


@pytest.mark.parametrize(
    ("spec", "option"),
    [
        ("kronecker:shape=7x3", "shape"),
        ("kronecker:shape=1x64", "shape"),
        ("kronecker:shape=3x8", "shape"),
        ("kronecker:shape=0x4", "shape"),
        ("sdd:shape=3x9", "shape"),
        ("sdd:rank=0", "rank"),
    ],
)
def test_impossible_options_name_themselves(spec, option):
    with pytest.raises(OptionError) as caught:
        make(spec)
    assert caught.value.option == option
