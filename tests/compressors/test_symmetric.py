from itertools import product

import numpy as np
import pytest
from harness import compress, decode, encode, make

from mpi_lowrank.compressors.factors.symmetric import Triangle, best_form, side_of
from mpi_lowrank.compressors.wire.messages import MessageError
from mpi_lowrank.config.options import read_spec
from mpi_lowrank.errors import OptionError
from mpi_lowrank.run.components import make_operator

P = 7
D = P * (P + 1) // 2
SPECS = ["eigen", "eigen:rank=3", "symmetric_sdd", "symmetric_sdd:rank=4"]

every_spec = pytest.mark.parametrize("spec", SPECS)


def symmetric(count=4, p=P, seed=1):
    half = np.random.default_rng(seed).standard_normal((count, p, p))
    return half + half.transpose(0, 2, 1)


def triangle(d=D, dtype=float):
    made = Triangle(d, dtype)
    made.prepare()
    return made


def folded(matrices):
    rows = np.empty((len(matrices), D))
    triangle().fold(matrices, rows)
    return rows


def unfolded(rows):
    made = triangle(rows.shape[1], rows.dtype)
    return made.unfold(rows, made.zeros(len(rows)))


def form(matrix, s):
    return (s @ matrix @ s) ** 2 / np.count_nonzero(s) ** 2


def best_of_all(matrix):
    vectors = np.array([s for s in product((-1, 0, 1), repeat=len(matrix)) if any(s)])
    return max(form(matrix, s) for s in vectors)


def test_a_triangle_has_the_norm_of_its_matrix_and_gives_it_back():
    matrices = symmetric()
    rows = folded(matrices)
    norms = np.linalg.norm(matrices, axis=(1, 2))
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), norms, rtol=1e-14)
    np.testing.assert_allclose(unfolded(rows), matrices, rtol=1e-15)


@pytest.mark.parametrize(("d", "p"), [(1, 1), (2, 2), (3, 2), (4, 3), (6328, 112), (6329, 113)])
def test_the_side_of_a_triangle(d, p):
    assert side_of(d) == p


def test_a_row_that_is_no_triangle_ends_with_zeros():
    rows = np.random.default_rng(3).standard_normal((2, 24))
    matrices = unfolded(rows)
    assert matrices.shape == (2, 7, 7) and not matrices[:, 6, 3:].any()
    out = np.empty((2, 24))
    triangle(24).fold(matrices, out)
    np.testing.assert_allclose(out, rows, rtol=1e-15)


@every_spec
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_is_decoded_is_symmetric_to_the_bit(spec, dtype):
    rows = folded(symmetric()).astype(dtype)
    out = unfolded(compress(make(spec, D, dtype), rows))
    np.testing.assert_array_equal(out, out.transpose(0, 2, 1))


@pytest.mark.parametrize("rank", [1, 3, P])
def test_eigen_keeps_the_largest_eigenvalues_with_their_signs(rank):
    matrices = symmetric()
    found = unfolded(compress(make(f"eigen:rank={rank},wire=float64", D), folded(matrices)))
    for matrix, out in zip(matrices, found, strict=True):
        values, vectors = np.linalg.eigh(matrix)
        kept = np.argsort(-np.abs(values))[:rank]
        expected = vectors[:, kept] * values[kept] @ vectors[:, kept].T
        np.testing.assert_allclose(out, expected, atol=1e-13)


def test_a_negative_eigenvalue_may_be_the_largest():
    v = np.arange(1.0, P + 1)
    for sign in (1, -1):
        matrix = sign * np.outer(v, v)[np.newaxis]
        for spec in ("eigen:wire=float64", "eigen:rank=2,wire=float64"):
            out = unfolded(compress(make(spec, D, local=1), folded(matrix)))
            np.testing.assert_allclose(out, matrix, rtol=1e-12, atol=1e-12)


def test_nothing_lossy_stands_behind_factors_of_both_sides():
    with pytest.raises(OptionError, match="nothing lossy behind eigen"):
        make_operator(read_spec("eigen+natural"), (D,), "float64", 4)


def test_symmetric_sdd_captures_nearly_what_the_best_of_all_terms_does():
    shares = []
    for matrix in symmetric(20, 6):
        s, value = best_form(matrix[np.newaxis].copy())
        assert value[0] == pytest.approx(s[0] @ matrix @ s[0]) and s.any()
        shares.append(form(matrix, s[0]) / best_of_all(matrix))
    assert min(shares) > 0.7 and np.mean(shares) > 0.95


HOSTILE = [
    np.eye(P),
    np.eye(P)[::-1],
    np.diag([1, -1, 1, -1, 1, -1, 1.0]),
    np.ones((P, P)) - np.eye(P),
    np.sign(np.add.outer(np.arange(P), np.arange(P)) - 6.5),
    -np.ones((P, P)),
    np.where(np.eye(P) + np.eye(P, k=3) + np.eye(P, k=-3), -1.0, 0.25),
]


@pytest.mark.parametrize("matrix", [*HOSTILE, *symmetric(5)])
def test_no_matrix_has_less_captured_than_its_largest_number(matrix):
    s, _ = best_form(matrix[np.newaxis].copy())
    assert form(matrix, s[0]) >= (1 - 1e-6) * np.abs(matrix).max() ** 2


def test_symmetric_sdd_is_exact_where_the_matrix_is_one_of_its_terms():
    s = np.array([1, 0, -1, 1, 1, 0, -1.0])
    rows = folded(np.array([0.25 * np.outer(s, s), -8 * np.outer(s, s)]))
    np.testing.assert_allclose(compress(make("symmetric_sdd", D), rows), rows, rtol=1e-15)


def test_more_terms_leave_less():
    rows, left = folded(symmetric()), []
    for rank in (1, 2, 4, 8):
        out = compress(make(f"symmetric_sdd:rank={rank}", D), rows)
        left.append(((out - rows) ** 2).sum(axis=1))
    assert (np.diff(left, axis=0) < 0).all()


@every_spec
def test_the_sum_of_messages_is_that_of_what_they_stand_for(spec):
    rows, compressor, total = folded(symmetric()), make(spec, D), np.empty(D)
    messages, weights = encode(compressor, rows), np.array([0.25, 0.5, 0, 2])
    compressor.decode_sum(messages, weights, total)
    np.testing.assert_allclose(total, weights @ decode(compressor, messages, D), atol=1e-13)


def test_an_exponent_that_stands_for_nothing_is_refused():
    compressor = make("symmetric_sdd", D)
    messages = encode(compressor, folded(symmetric()))
    messages[1, -2] = 255
    with pytest.raises(MessageError, match="code 255"):
        decode(compressor, messages, D)
