import numpy as np
import pytest
from harness import assert_mean, compress, decode, encode, make, samples
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mpi_lowrank.compressors.coordinates.sparsification import sampling_probabilities
from mpi_lowrank.compressors.wire.messages import LENGTH, MessageError
from mpi_lowrank.errors import OptionError

RNG = np.random.default_rng(5)
X = RNG.standard_normal(40) * 10.0 ** RNG.uniform(-2, 1, 40)
VARYING = [
    "sparsify:k=6.0",
    "sparsify:k=6.0,probabilities=optimal",
    "sparsify:k=6.0,scale=biased",
    "bernoulli:p=0.3",
]


def lengths(messages):
    return messages[:, : LENGTH.itemsize].view(LENGTH)[:, 0].astype(int)


class TestProbabilities:
    @settings(max_examples=200, deadline=None)
    @given(
        weights=arrays(np.float64, (2, 9), elements=st.floats(0, 1e3).map(lambda w: round(w, 3))),
        budget=st.floats(0.5, 9),
    )
    def test_are_proportional_up_to_one_and_sum_to_the_budget(self, weights, budget):
        for w, p in zip(weights, sampling_probabilities(weights, budget), strict=True):
            assert (p >= 0).all() and (p <= 1).all() and not p[w == 0].any()
            assert p.sum() == pytest.approx(min(budget, np.count_nonzero(w)), rel=1e-9)
            inside = (p < 1) & (w > 0)
            ratios = w[inside] / p[inside]
            if len(ratios):
                np.testing.assert_allclose(ratios, ratios[0], rtol=1e-6)
                assert (w[p == 1] >= ratios[0] * (1 - 1e-6)).all()

    def test_minimise_the_second_moment(self):
        p = sampling_probabilities(np.abs(X)[np.newaxis], 6.0)[0]
        best = (X**2 / p).sum()
        for _ in range(200):
            other = np.clip(p * RNG.uniform(0.5, 1.5, 40), 0, 1)
            other *= 6 / other.sum()
            assert other.max() > 1 or (X**2 / other).sum() >= best * (1 - 1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("spec", ["sparsify:k=6.0", VARYING[1], "bernoulli:p=0.3"])
def test_the_mean_is_x(spec, dtype):
    drawn = samples(spec, X, 4000, dtype).astype(float)
    x = X.astype(dtype).astype(float)
    for direction in (x, np.sign(x), RNG.choice([-1.0, 1.0], 40)):
        assert_mean(drawn @ direction, x @ direction)


@pytest.mark.parametrize(
    "spec", [*VARYING[:3], "sparsify:k=6.0,probabilities=optimal,scale=biased"]
)
def test_the_error_is_the_closed_form_and_below_the_constant(spec):
    compressor, drawn = make(spec, 40), samples(spec, X, 4000)
    expected = compressor.expected_error(X[np.newaxis])[0]
    assert_mean(((drawn - X) ** 2).sum(axis=1), expected)
    promise = 1 - compressor.alpha if compressor.omega is None else compressor.omega
    assert expected <= promise * (X @ X) * (1 + 1e-12)


@pytest.mark.parametrize("wire", ["float32", "float64"])
@pytest.mark.parametrize("d", [1, 7, 112, 10**6 + 3])
def test_a_message_is_its_length_and_a_number_and_an_index_a_kept_coordinate(d, wire):
    size, k = np.dtype(wire).itemsize, min(d, 5)
    x = np.random.default_rng(0).standard_normal((2, d))
    compressor = make(f"sparsify:k={k}.0,wire={wire}", d, local=2)
    messages = encode(compressor, x)
    kept = np.count_nonzero(decode(compressor, messages, d), axis=1)
    bits = (d - 1).bit_length()
    assert lengths(messages).tolist() == [4 + m * size + -(-m * bits // 8) for m in kept]
    assert compressor.nbytes == 4 + d * size + -(-d * bits // 8)
    bernoulli = make(f"bernoulli:wire={wire}", d, local=1)
    assert bernoulli.nbytes == 4 + d * size
    drawn = {int(lengths(encode(bernoulli, x[:1], round=t))[0]) for t in range(60)}
    assert drawn == {4, 4 + d * size}


def test_kept_values_are_those_of_x_where_they_are_not_scaled():
    for spec in (VARYING[2], "sparsify:k=6.0,probabilities=optimal,scale=biased"):
        out = compress(make(spec + ",wire=float64", 40), np.array([X]))[0]
        kept = out != 0
        np.testing.assert_array_equal(out[kept], X[kept])


def test_with_optimal_probabilities_few_coordinates_are_all_kept():
    x = np.zeros((4, 40))
    x[:, [3, 17, 30]] = [1.0, -2.0, 1e-3]
    for spec in (VARYING[1], "sparsify:k=6.0,probabilities=optimal,scale=biased"):
        np.testing.assert_array_equal(compress(make(spec + ",wire=float64", 40), x), x)


@pytest.mark.parametrize("spec", VARYING)
def test_lengths_and_indices_that_no_encoder_writes_raise(spec):
    compressor = make(spec, 40, local=1)
    message = encode(compressor, X[np.newaxis], round=1)
    for length in (0, 3, 5, 8, compressor.nbytes + 1):
        broken = message.copy()
        broken[0, :4].view(LENGTH)[0] = length
        with pytest.raises(MessageError):
            decode(compressor, broken, 40)
    if "sparsify" in spec:
        length = lengths(message)[0]
        message[0, 4 + 4 * ((8 * (length - 4)) // 38) : length] = 255
        with pytest.raises(MessageError):
            decode(compressor, message, 40)


@pytest.mark.parametrize("indices", [[3, 40], [3, 3], [4, 3]])
def test_indices_that_do_not_exist_or_do_not_increase_raise(indices):
    compressor = make("sparsify:k=6.0", 40, local=1)
    message = np.zeros((1, compressor.nbytes), np.uint8)
    compressor.write(message, np.ones((1, 2)), np.array([[3, 39]]))
    assert np.flatnonzero(decode(compressor, message, 40)).tolist() == [3, 39]
    compressor.write(message, np.ones((1, 2)), np.array([indices]))
    with pytest.raises(MessageError):
        decode(compressor, message, 40)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_messages_of_many_workers_are_those_of_each_and_added_in_their_order(dtype):
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((60, 9)) * 10.0 ** rng.integers(-8, 8, (60, 1))).astype(dtype)
    weights, total = rng.random(60).astype(dtype), np.full(9, np.nan, dtype)
    for spec in ("sparsify:k=3.0", "sparsify:k=2.0,probabilities=optimal"):
        many, single = make(spec, 9, dtype, local=60), make(spec, 9, dtype, local=1)
        messages, expected = encode(many, x), np.zeros(9, dtype)
        for w in range(60):
            np.testing.assert_array_equal(messages[w], encode(single, x[w : w + 1], first=w)[0])
            row = decode(single, messages[w : w + 1], 9, dtype)[0]
            np.testing.assert_array_equal(row, decode(many, messages, 9, dtype)[w])
            expected += weights[w] * row
        many.decode_sum(messages, weights, total)
        np.testing.assert_array_equal(total, expected)


def test_one_coordinate_is_drawn_in_proportion_to_its_magnitude():
    x = np.array([0.0, 1.0, -3.0, 0.0, 4.0])
    drawn = samples("adaptive_random:wire=float64", x, 4000)
    assert (np.count_nonzero(drawn, axis=1) == 1).all()
    for i, p in ((1, 1 / 8), (2, 3 / 8), (4, 1 / 2)):
        hit = drawn[:, i] != 0
        assert_mean(hit.astype(float), p)
        np.testing.assert_array_equal(drawn[hit, i], x[i])
    compressor = make("adaptive_random", 5)
    expected = (x**2).sum() - (np.abs(x) ** 3).sum() / np.abs(x).sum()
    assert compressor.expected_error(x[np.newaxis])[0] == pytest.approx(expected)
    assert_mean(((drawn - x) ** 2).sum(axis=1), expected)
    assert compressor.nbytes == 4 + 1 and not samples("adaptive_random", 0 * x, 3).any()


def test_a_float32_state_keeps_coordinates_as_rarely_as_it_should():
    d = 10**5  # each one with probability 1e-9, less than what tells float32 draws apart
    compressor, x = make("sparsify:k=0.0001", d, "float32", local=1), np.ones((1, d), np.float32)
    kept = sum(lengths(encode(compressor, x, round=t))[0] > 4 for t in range(1500))
    assert kept <= 0.15 + 4.5 * np.sqrt(0.15)


@pytest.mark.parametrize(("dtype", "step"), [("float32", 2.0**-24), ("float64", 2.0**-53)])
def test_probabilities_below_what_a_draw_resolves_are_told_apart(dtype, step):
    class Draws:
        def random(self, count=0, out=None, dtype=None):
            if out is None:
                return np.arange(count) / count
            out[:] = 0

    compressor = make(f"sparsify:k={64 * step / 4!r}", 64, dtype, local=1)
    message = np.zeros((1, compressor.nbytes), np.uint8)
    compressor.encode(np.ones((1, 64), dtype), message, [Draws()])
    assert np.count_nonzero(decode(compressor, message, 64, dtype)) == 16


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_number_is_not_missed_behind_larger_ones(dtype):
    class Draw:
        def random(self):
            return 1e-3

    d, small = 10**5, 5e-8
    compressor = make("adaptive_random", d, dtype, local=1)
    x = np.full((1, d), small, dtype)
    x[0, 0] = 1
    message = np.zeros((1, compressor.nbytes), np.uint8)
    compressor.pack(x, message, [Draw()])
    (chosen,) = np.flatnonzero(decode(compressor, message, d, dtype))
    point = (1 - 1e-3) * (1 + small * (d - 1))
    assert chosen == pytest.approx((point - 1) / small, rel=1e-3)


@pytest.mark.parametrize("spec", ["sparsify:k=40.0", "bernoulli:p=1.0"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_number_that_is_not_finite_raises(spec, value):
    compressor = make(spec, 40, local=1)
    message = encode(compressor, X[np.newaxis])
    message[0, 24:28].view("<f4")[0] = value
    with pytest.raises(MessageError):
        decode(compressor, message, 40)
    with pytest.raises(MessageError):
        compressor.decode_sum(message, np.ones(1), np.empty(40))


@pytest.mark.parametrize(("scale", "share"), [("unbiased", 7 / 3), ("contractive", 0.7)])
def test_all_or_nothing_errs_alike_for_every_x(scale, share):
    spec = f"bernoulli:p=0.3,scale={scale}"
    expected = make(spec, 40).expected_error(X[np.newaxis])[0]
    assert expected == pytest.approx(share * (X @ X))
    assert_mean(((samples(spec, X, 4000) - X) ** 2).sum(axis=1), expected)


@pytest.mark.parametrize(
    ("spec", "option"),
    [("sparsify:k=0.0", "k"), ("sparsify:k=29.0", "k"), ("bernoulli:p=0.0", "p")],
)
def test_impossible_options_name_themselves(spec, option):
    with pytest.raises(OptionError) as caught:
        make(spec)
    assert caught.value.option == option


def test_topk_of_long_vectors_is_that_of_a_stable_sort_however_a_sample_misleads():
    d, rng = 2**14 + 5, np.random.default_rng(0)
    sampled = np.arange(d) % (d // 2**12) == 0
    cases = {
        "gaussian": rng.standard_normal(d),
        "ties": rng.integers(-3, 4, d),
        "flat": np.ones(d),
        "large where the sample looks": np.where(sampled, rng.random(d) + 9, rng.random(d)),
        "small where the sample looks": np.where(sampled, 0, rng.random(d)),
    }
    for name, x in cases.items():
        for k in (1, 7, 200, d // 2, d - 1):
            expected = np.sort(np.argsort(-np.abs(x), kind="stable")[:k])
            found = make(f"topk:k={k}", d, local=2).select(np.array([x, -x], float), ())
            np.testing.assert_array_equal(found, [expected, expected], err_msg=f"{name}, k = {k}")
