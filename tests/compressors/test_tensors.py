from math import prod

import numpy as np
import pytest
from harness import assert_mean, compress, decode, encode, make, samples
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mpi_lowrank.compressors import compressors
from mpi_lowrank.compressors.wire.messages import MessageError
from mpi_lowrank.config.options import read_spec
from mpi_lowrank.errors import OptionError
from mpi_lowrank.run.components import make_operator

SPECS = [
    "tucker:shape=7x2x2x2x2",
    "tucker:shape=7x4x4,rank=2",
    "tucker:shape=5x5x5,rank=3",
    "tucker:shape=7x4x4,rank=2+natural",
    "tensor_train:shape=7x2x2x2x2",
    "tensor_train:shape=7x4x4,rank=3",
    "tensor_train:shape=5x5x5,rank=2",
    "tensor_train:shape=7x2x2x2x2+randk:k=1,scale=unbiased",
]
D = 112


def text(sizes):
    return "x".join(map(str, sizes))


def truncated(matrix, rank):
    u, s, vt = np.linalg.svd(matrix, full_matrices=False)
    return u[:, :rank] * s[:rank] @ vt[:rank]


def dense_tucker(x, sizes, rank):
    """Each mode's unfolding of the whole tensor cut to its rank in turn, by projectors."""
    tensor = x.reshape(sizes)
    for mode in range(len(sizes)):
        unfolding = np.moveaxis(tensor, mode, 0).reshape(sizes[mode], -1)
        gram = np.linalg.eigh(unfolding @ unfolding.T)[1][:, ::-1][:, :rank]
        projector = np.einsum("ir,jr->ij", gram, gram)
        tensor = np.moveaxis(np.tensordot(projector, tensor, (1, mode)), 0, mode)
    return tensor.reshape(-1)


def dense_train(x, sizes, rank):
    """The unfoldings n_1 ... n_k by the rest of the whole tensor cut to the rank in turn."""
    for k in range(1, len(sizes)):
        x = truncated(x.reshape(prod(sizes[:k]), -1), rank).reshape(-1)
    return x


DENSE = {"tucker": dense_tucker, "tensor_train": dense_train}


@pytest.fixture
def rows():
    return np.random.default_rng(3).standard_normal((4, D))


@pytest.mark.parametrize("rank", [1, 2, 3, 9])
@pytest.mark.parametrize("sizes", [(7, 2, 2, 2, 2), (2, 4, 14), (4, 7, 4), (16, 7), (56, 2, 1)])
@pytest.mark.parametrize("name", DENSE)
def test_equals_truncations_of_the_whole_tensor_one_after_the_other(name, sizes, rank, rows):
    out = compress(make(f"{name}:shape={text(sizes)},rank={rank},wire=float64", D), rows)
    expected = [DENSE[name](row, sizes, rank) for row in rows]
    np.testing.assert_allclose(out, expected, atol=1e-12)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_a_tensor_of_its_tucker_rank_comes_back(rank):
    rng, sizes = np.random.default_rng(rank), (4, 5, 6)
    core = rng.standard_normal((rank, rank, rank))
    factors = [rng.standard_normal((n, rank)) for n in sizes]
    x = np.einsum("abc,ia,jb,kc->ijk", core, *factors).reshape(1, -1)
    out = compress(make(f"tucker:shape=4x5x6,rank={rank},wire=float64", 120, local=1), x)
    np.testing.assert_allclose(out, x, atol=1e-12 * np.abs(x).max())


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_a_tensor_of_its_train_rank_comes_back(rank):
    rng = np.random.default_rng(rank)
    cores = [rng.standard_normal(s) for s in ((4, rank), (rank, 5, rank), (rank, 3, rank))]
    last = rng.standard_normal((rank, 6))
    x = np.einsum("ia,ajb,bkc,cl->ijkl", *cores, last).reshape(1, -1)
    out = compress(make(f"tensor_train:shape=4x5x3x6,rank={rank},wire=float64", 360, local=1), x)
    np.testing.assert_allclose(out, x, atol=1e-12 * np.abs(x).max())


@pytest.mark.parametrize("name", DENSE)
@pytest.mark.parametrize("shape", ["7x16", "16x7"])
def test_with_two_modes_it_is_the_truncated_svd(name, shape, rows):
    options = f"shape={shape},rank=3,wire=float64"
    out, svd = (compress(make(f"{kind}:{options}", D), rows) for kind in (name, "svd"))
    np.testing.assert_allclose(out, svd, atol=1e-12)
    assert make(f"{name}:{options}", D).alpha == pytest.approx(make(f"svd:{options}", D).alpha)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_the_error_is_at_most_the_sum_of_the_tails_of_the_unfoldings(rank, rows):
    sizes = (4, 7, 4)
    x = rows * np.exp(-0.05 * np.arange(D))
    modes = [np.moveaxis(x.reshape(4, *sizes), 1 + k, 1).reshape(4, sizes[k], -1) for k in range(3)]
    splits = [x.reshape(4, prod(sizes[:k]), -1) for k in (1, 2)]
    for name, unfoldings in (("tucker", modes), ("tensor_train", splits)):
        values = [np.linalg.svd(unfolding, compute_uv=False) for unfolding in unfoldings]
        tails = np.array([(s[:, rank:] ** 2).sum(axis=1) for s in values])
        out = compress(make(f"{name}:shape=4x7x4,rank={rank},wire=float64", D), x)
        error = ((out - x) ** 2).sum(axis=1)
        assert (error <= tails.sum(axis=0) * (1 + 1e-12)).all()
        assert (error >= tails.max(axis=0) * (1 - 1e-12)).all()


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 4), min_size=2, max_size=4),
    rank=st.integers(1, 5),
    name=st.sampled_from(sorted(DENSE)),
    data=st.data(),
)
def test_it_projects_and_keeps_alpha_of_every_tensor(sizes, rank, name, data):
    d = prod(sizes)
    x = data.draw(arrays(np.float64, (2, d), elements=st.integers(-3, 3).map(float)))
    compressor = make(f"{name}:shape={text(sizes)},rank={rank},wire=float64", d, local=2)
    out, square = compress(compressor, x), (x**2).sum(axis=1)
    np.testing.assert_allclose((out * x).sum(axis=1), (out**2).sum(axis=1), atol=1e-12 * d * 9)
    assert (((out - x) ** 2).sum(axis=1) <= (1 - compressor.alpha) * square + 1e-12 * d).all()


@pytest.mark.parametrize(
    ("spec", "d", "alpha"),
    [
        ("tucker:shape=7x2x2x2x2", 112, 1 / 56),
        ("tucker:shape=4x4x4", 64, 1 / 16),
        ("tucker:shape=20x2x2", 80, 1 / 8),
        ("tucker:shape=2x20x2", 80, 1 / 4),
        ("tucker:shape=7x2x2x2x2,rank=2", 112, 2 / 7),
        ("tucker:shape=2x2x20,rank=3", 80, 3 / 4),
        ("tensor_train:shape=7x2x2x2x2", 112, 1 / 56),
        ("tensor_train:shape=7x2x2x2x2,rank=2", 112, 1 / 14),
        ("tensor_train:shape=3x5x4x6,rank=3", 360, 1 / 10),
        ("tensor_train:shape=3x5x4x6,rank=2", 360, 2 / 45),
        ("tensor_train:shape=20x2x2,rank=3", 80, 3 / 4),
        ("tensor_train:shape=4x4x4,rank=9", 64, 1),
    ],
)
def test_alpha_is_attained_at_the_worst_case(spec, d, alpha):
    compressor = make(f"{spec},wire=float64", d, local=1)
    assert compressor.alpha == pytest.approx(alpha, rel=1e-14)
    x = compressor.worst_case()[np.newaxis]
    error = ((compress(compressor, x) - x) ** 2).sum() / (x**2).sum()
    assert (1 - alpha) * (1 - 1e-4) - 1e-14 <= error <= 1 - alpha + 1e-14


def test_no_worst_case_is_named_where_none_is_known():
    specs = {
        "tucker:shape=7x4x4,rank=2": 112,  # two steps lose
        "tensor_train:shape=4x4x4,rank=3": 64,  # four rows are no three equal pieces
        "tucker:shape=5x5x5": 112,  # padded
        "tensor_train:shape=5x5x5": 112,
        "tucker:shape=7x2x2x2x2+natural": 112,
    }
    assert all(make(spec, d).worst_case() is None for spec, d in specs.items())


@pytest.mark.parametrize("wire", ["float32", "float64"])
@pytest.mark.parametrize(
    ("spec", "d", "numbers"),
    [
        ("tucker:shape=1x1", 1, 1 + 1 + 1),
        ("tucker:shape=7x1,rank=2", 7, 7 + 1 + 1),
        ("tucker:shape=7x2x2x2x2", 112, 15 + 1),
        ("tucker:shape=7x4x4,rank=2", 112, 14 + 8 + 8 + 8),
        ("tucker:shape=7x4x4,rank=9", 112, 49 + 16 + 16 + 112),
        ("tucker:shape=20x2x2,rank=3", 80, 60 + 4 + 4 + 12),
        ("tucker:shape=101x100x100", 10**6 + 3, 301 + 1),
        ("tensor_train:shape=1x1", 1, 1 + 1),
        ("tensor_train:shape=7x1,rank=2", 7, 7 + 1),
        ("tensor_train:shape=7x2x2x2x2", 112, 15),
        ("tensor_train:shape=7x2x2x2x2,rank=2", 112, 14 + 8 + 8 + 8 + 4),
        ("tensor_train:shape=7x4x4,rank=9", 112, 49 + 7 * 4 * 4 + 16),
        ("tensor_train:shape=101x100x100,rank=2", 10**6 + 3, 202 + 400 + 200),
    ],
)
def test_a_message_is_the_factors_and_what_is_left(spec, d, numbers, wire):
    compressor = make_operator(read_spec(f"{spec},wire={wire}"), (d,), "float64", 4)
    assert compressor.nbytes == numbers * np.dtype(wire).itemsize
    assert compressor.published_bits == 8 * compressor.nbytes


def test_factors_are_orthonormal_and_what_is_left_carries_the_weights(rows):
    for name, lengths, counts in (
        ("tucker", (7, 4, 4), (2, 2, 2)),
        ("tensor_train", (7, 8), (2, 2)),
    ):
        compressor = make(f"{name}:shape=7x4x4,rank=2,wire=float64", D)
        numbers, first = encode(compressor, rows).view(np.float64), 0
        for length, count in zip(lengths, counts, strict=True):
            factor = numbers[:, first : first + length * count].reshape(4, count, length)
            gram = factor @ factor.transpose(0, 2, 1)
            np.testing.assert_allclose(gram, np.broadcast_to(np.eye(count), gram.shape), atol=1e-13)
            first += length * count
        squares = (numbers[:, first:] ** 2).sum(axis=1)
        expected = (compress(compressor, rows) ** 2).sum(axis=1)
        np.testing.assert_allclose(squares, expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("spec", "then", "zeta"),
    [
        ("tucker:shape=4x4x4,rank=2", "randk:k=3,scale=unbiased", (4 / 3) ** 3 * 8 / 3),
        ("tensor_train:shape=4x4x4", "randk:k=2,scale=unbiased", 2**3),
        ("tensor_train:shape=4x4x4,rank=2", "randk:k=3,scale=unbiased", 4 / 3 * 8 / 3 * 4 / 3),
    ],
)
def test_independent_unbiased_errors_of_the_factors_multiply(spec, then, zeta):
    x = np.random.default_rng(5).standard_normal(64)
    plain = make(f"{spec},wire=float64", 64, local=1)
    kept = compress(plain, x[np.newaxis])[0]
    draws = samples(f"{spec}+{then},wire=float64", x, 8000)
    composed = make(f"{spec}+{then}", 64)
    assert composed.alpha == pytest.approx(plain.alpha / zeta)
    assert_mean((draws**2).sum(axis=1), (kept**2).sum() / zeta)
    assert_mean(((draws - x) ** 2).sum(axis=1), (x**2).sum() - (kept**2).sum() / zeta)
    for direction in (x, kept, *np.random.default_rng(6).standard_normal((3, 64))):
        assert_mean(draws @ direction, kept @ direction / zeta)


def test_what_carries_the_numbers_must_suit_every_factor():
    with pytest.raises(OptionError):  # a core of one number has no two to choose
        make("tucker:shape=4x4x4+randk:k=2,scale=unbiased", 64)
    with pytest.raises(OptionError):  # contractive errors of factors do not multiply
        make("tensor_train:shape=4x4x4+topk:k=2", 64)


def test_one_entry_of_every_factor_still_contracts():
    spec = "tensor_train:shape=7x2x2x2x2+randk:k=1,scale=unbiased"
    x = np.random.default_rng(5).standard_normal(D)
    assert make(spec, D).alpha == pytest.approx(1 / 56 / 112)
    errors = ((samples(spec, x, 8000) - x) ** 2).sum(axis=1) / (x**2).sum()
    assert errors.mean() <= 1 - 1 / 56 / 112 + 4.5 * errors.std() / np.sqrt(len(errors))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("spec", SPECS)
def test_a_worker_s_bits_do_not_depend_on_who_is_beside_it(spec, dtype, rows):
    rows = rows.astype(dtype)
    together = compress(make(spec, D, dtype), rows)
    alone = [compress(make(spec, D, dtype, local=1), rows[w : w + 1], first=w)[0] for w in range(4)]
    np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize("spec", SPECS)
def test_decode_sum_is_the_weighted_sum_of_the_decodes(spec, rows):
    compressor = make(spec, D)
    for _ in range(2):
        messages = encode(compressor, rows)
        total, weights = np.full(D, np.nan), np.array([0.25, 0.5, 0.0, 2.0])
        compressor.decode_sum(messages, weights, total)
        expected = weights @ decode(compressor, messages, D)
        np.testing.assert_allclose(total, expected, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("spec", SPECS)
def test_zero_compresses_to_zero(spec):
    assert not compress(make(spec, D), np.zeros((4, D))).any()


@pytest.mark.parametrize("name", DENSE)
def test_padding_is_cut_off_and_comes_back_as_zero(name):
    x = np.random.default_rng(0).standard_normal((2, 23))
    compressor = make(f"{name}:shape=3x3x3,rank=9,wire=float64", 23, local=2)
    for _ in range(2):
        np.testing.assert_allclose(compress(compressor, x), x, atol=1e-13)


def test_a_message_that_is_cut_off_or_not_finite_raises(rows):
    compressor = make("tensor_train:shape=7x4x4", D)
    messages = encode(compressor, rows)
    with pytest.raises(MessageError):
        decode(compressor, messages[:, :-4].copy(), D)
    messages.view(np.float32)[2, 3] = np.nan
    with pytest.raises(MessageError):
        decode(compressor, messages, D)


@pytest.mark.parametrize(
    ("options", "option"),
    [
        ({"shape": ()}, "shape"),
        ({"shape": (112,)}, "shape"),
        ({"shape": (7, 4, 3)}, "shape"),
        ({"shape": (-7, -16, 1)}, "shape"),
        ({"shape": (7, 4, 4), "rank": 0}, "rank"),
    ],
)
@pytest.mark.parametrize("name", DENSE)
def test_impossible_options_name_themselves(name, options, option):
    with pytest.raises(OptionError) as caught:
        compressors[name]((D,), np.dtype(float), **options)
    assert caught.value.option == option
