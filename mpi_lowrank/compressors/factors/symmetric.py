"""Compressors of symmetric matrices, such as Hessians, sent as their lower triangle."""

from math import log2

import numpy as np
from numpy.typing import DTypeLike

from mpi_lowrank.component import option
from mpi_lowrank.compressors import compressors
from mpi_lowrank.compressors.base import Compressor, Promise
from mpi_lowrank.compressors.composed.carrier import Carrier
from mpi_lowrank.compressors.factors.discrete import KEPT, power_codes, power_table, powers_of
from mpi_lowrank.compressors.wire.bits import BitFields
from mpi_lowrank.compressors.wire.trits import Trits
from mpi_lowrank.errors import OptionError


def side_of(d: int) -> int:
    """The smallest p whose triangle p (p + 1) / 2 holds d numbers."""
    p = int(np.sqrt(2 * d))
    while p * (p + 1) // 2 < d:
        p += 1
    return p


class Triangle:
    """Symmetric p x p matrices as rows of d = p (p + 1) / 2 numbers: the lower triangle by rows.

    Numbers off the diagonal are multiplied by sqrt(2), so that a row has its matrix's norm.
    Rows may be shorter: the last row of the matrix then ends with zeros.
    """

    def __init__(self, d: int, dtype: DTypeLike):
        self.d, self.p, self.dtype = d, side_of(d), np.dtype(dtype)

    def prepare(self) -> None:
        """Compute where the numbers stand."""
        below, left = (index[: self.d] for index in np.tril_indices(self.p))
        self._lower, self._upper = below * self.p + left, left * self.p + below
        self._scale = np.where(below == left, 1, np.sqrt(2)).astype(self.dtype)

    def zeros(self, rows: int) -> np.ndarray:
        """So many matrices, (rows, p, p), for `unfold` to fill."""
        return np.zeros((rows, self.p, self.p), self.dtype)

    def fold(self, matrices: np.ndarray, out: np.ndarray) -> None:
        """Write the matrices (rows, p, p), their lower triangles alone, into out (rows, d)."""
        flat = matrices.reshape(len(matrices), -1)
        np.take(flat, self._lower, axis=1, out=out, mode="clip")
        out *= self._scale

    def unfold(self, rows: np.ndarray, out: np.ndarray) -> np.ndarray:
        """Write what rows (rows, d) stand for into the first of `zeros`, symmetric to the bit."""
        matrices = out[: len(rows)]
        flat = matrices.reshape(len(rows), -1)
        flat[:, self._lower] = rows / self._scale
        flat[:, self._upper] = flat[:, self._lower]
        return matrices


@compressors.register("eigen")
class Eigen(Carrier):
    """The best symmetric approximation of rank R: the `rank` eigenvalues of largest |w|.

    The d numbers are the lower triangle of a symmetric p x p matrix, see `Triangle`. Sent is
    F = V sqrt|w|, for F diag(sign w) F^T: half of what an SVD of the matrix takes, and symmetric to
    the bit whatever the wire rounds. alpha = R / p, attained where all |w| are equal. F stands on
    both sides, so that independent errors of it would not multiply: nothing lossy is composed.
    Source: FedNL, Safaryan, Islamov, Qian, Richtarik 2021.

    Wire: R signs in ceil(R / 8) bytes, R p numbers.
    """

    family = "two factors"
    orthonormal = False
    examples = ("", "rank=3", "rank=2,wire=float64")

    rank: int = option(1)

    def chosen(self):
        self._triangle = triangle = Triangle(self.d, self.dtype)
        if not 1 <= self.rank <= triangle.p:
            allowed = f"an integer from 1 to {triangle.p}, the side of the matrix"
            raise OptionError("rank", self.rank, allowed)
        self._signs = BitFields(self.rank, 1)
        groups = ((triangle.p, self.rank),)
        return groups, Promise(self._signs.nbytes, 0, alpha=self.rank / triangle.p)

    def prepare(self, local, total):
        super().prepare(local, total)
        self._triangle.prepare()
        self._matrices = self._triangle.zeros(total)
        self._bits = np.empty((total, self.rank), np.uint8)
        self._signed = np.empty((total, self.rank, self._triangle.p), self.dtype)
        self._products = np.empty((total, self._triangle.p, self._triangle.p), self.dtype)
        self._signs.prepare(total)

    def worst_choice(self):
        """Ones from corner to corner, whose eigenvalues are 1 and -1 alone.

        Those at the corners are a little smaller, so that nothing is sent of the last row, which
        may end in padding.
        """
        p = self._triangle.p
        if self.rank > p - 2:
            return None
        flat, row = np.zeros((1, p, p)), np.empty((1, self.d))
        flat[0, range(p), range(p - 1, -1, -1)] = 1
        flat[0, [0, -1], [-1, 0]] = 1 - 1e-5
        wide = Triangle(self.d, np.float64)
        wide.prepare()
        wide.fold(flat, row)
        return row[0]

    def choose(self, x, side, numbers, generators):
        n, rank = len(x), self.rank
        values, vectors = np.linalg.eigh(self._triangle.unfold(x, self._matrices))
        largest = np.argsort(-np.abs(values), axis=1, kind="stable")[:, :rank]
        taken = np.take_along_axis(values, largest, axis=1)
        columns = np.take_along_axis(vectors, largest[:, np.newaxis], axis=2).transpose(0, 2, 1)
        np.multiply(
            columns,
            np.sqrt(np.abs(taken))[:, :, np.newaxis],
            out=numbers.reshape(n, rank, self._triangle.p),
        )
        np.less(taken, 0, out=self._bits[:n], casting="unsafe")
        self._signs.pack(self._bits[:n], side)

    def restore(self, side, numbers, out):
        columns, signed = self._factors_in(side, numbers)
        products = self._products[: len(out)]
        np.matmul(columns.transpose(0, 2, 1), signed, out=products)
        self._triangle.fold(products, out)

    def restore_sum(self, side, numbers, weights, out):
        columns, signed = self._factors_in(side, numbers)
        signed *= weights[:, np.newaxis, np.newaxis]
        p, product = self._triangle.p, self._products[:1]
        np.matmul(columns.reshape(-1, p).T, signed.reshape(-1, p), out=product[0])
        self._triangle.fold(product, out[np.newaxis])

    def _factors_in(self, side, numbers):
        """The columns of F and of F diag(sign w), (workers, R, p) both."""
        n, bits, signed = len(numbers), self._bits[: len(numbers)], self._signed[: len(numbers)]
        columns = numbers.reshape(n, self.rank, self._triangle.p)
        self._signs.unpack(side, bits)
        np.multiply(columns, 1 - 2 * bits[:, :, np.newaxis].astype(self.dtype), out=signed)
        return columns, signed


MOVES = 64
"""The most numbers of s that `symmetric_sdd` changes, one after the other."""


@compressors.register("symmetric_sdd")
class SymmetricSDD(Compressor):
    """A sum of `rank` terms beta s s^T, s of -1, 0 and 1, beta a power of two or minus one.

    The d numbers are the lower triangle of a symmetric p x p matrix Z, see `Triangle`. A term
    captures (s^T Z s)^2 / |s|_0^2 of |Z|^2 at beta = s^T Z s / |s|_0^2. s starts as the better of
    two, the best s of one or two numbers, and the best prefix of the signs of the eigenvector of
    largest |w|, its numbers ordered by size; then the number of s whose change captures most is
    changed, up to 64 times, as long as more is captured. beta is rounded to a power of two.

    alpha = 1 - (1 - (8/9) / p^2)^rank: of e_i + e_j and e_i - e_j one captures
    (|Z_ii + Z_jj| + 2 |Z_ij|)^2 / 4 >= Z_ij^2, and e_i captures Z_ii^2, so that the best is at
    least the largest square of the p^2 numbers; beta, off by at most a third, keeps 8/9 of it.

    Wire: ceil(rank p / 5) bytes, five numbers a byte; a byte a term for beta's exponent within the
    range of float32; ceil(rank / 8) bytes of signs.
    """

    family = "factors of signs and zeros"
    examples = ("", "rank=3")

    rank: int = option(1)

    def promised(self):
        self._triangle = Triangle(self.d, self.dtype)
        p = self._triangle.p
        if self.rank < 1:
            raise OptionError("rank", self.rank, "an integer from 1, the number of terms")
        self._trits, self._signs = Trits(self.rank * p), BitFields(self.rank, 1)
        nbytes = self._trits.nbytes + self.rank + self._signs.nbytes
        alpha = 1 - (1 - KEPT / p**2) ** self.rank
        return Promise(nbytes, self.rank * (p * log2(3) + 9), alpha=alpha, homogeneous=False)

    def prepare(self, local, total):
        p, rank = self._triangle.p, self.rank
        self._triangle.prepare()
        self._matrices, self._products = self._triangle.zeros(local), self._triangle.zeros(total)
        self._scaled = np.empty((local, self.d), self.dtype)
        self._term = np.empty((local, self.d), self.dtype)
        self._codes, self._bits = (np.empty((total, rank), np.uint8) for _ in range(2))
        self._factors = np.empty((total, rank, p), np.uint8)
        self._left, self._right = (np.empty((total, rank, p), self.dtype) for _ in range(2))
        self._trits.prepare(total)
        self._signs.prepare(total)
        with np.errstate(over="ignore", under="ignore"):
            self._powers = power_table(self.dtype)

    def encode(self, x, messages, generators):
        n, rest = len(x), self._scaled[: len(x)]
        codes, bits, factors = self._codes[:n], self._bits[:n], self._factors[:n]
        exponents = np.frexp(np.abs(x, out=rest).max(axis=1))[1]
        with np.errstate(under="ignore"):
            np.ldexp(x, -exponents[:, np.newaxis], out=rest)
        for term in range(self.rank):
            s, captured = best_form(self._triangle.unfold(rest, self._matrices))
            betas = captured / np.count_nonzero(s, axis=1).astype(self.dtype) ** 2
            codes[:, term] = power_codes(np.abs(betas), exponents)
            np.less(betas, 0, out=bits[:, term], casting="unsafe")
            factors[:, term] = s + 3 * (s < 0)
            if term + 1 < self.rank:
                signed = np.ldexp(self._powers[codes[:, term]], -exponents) * np.sign(betas)
                products = self._products[:n]
                np.multiply(s[:, :, np.newaxis], s[:, np.newaxis], out=products)
                products *= signed[:, np.newaxis, np.newaxis]
                self._triangle.fold(products, self._term[:n])
                rest -= self._term[:n]
        trits, signs = self._trits.nbytes, self._signs.nbytes
        self._trits.pack(factors.reshape(n, -1), messages[:, :trits])
        messages[:, trits:-signs] = codes
        self._signs.pack(bits, messages[:, -signs:])

    def _read(self, messages):
        """The s, times their beta and as they are, (workers, terms, p) both."""
        n, trits, signs = len(messages), self._trits.nbytes, self._signs.nbytes
        factors, left, right = self._factors[:n], self._left[:n], self._right[:n]
        self._trits.unpack(messages[:, :trits], factors.reshape(n, -1))
        self._signs.unpack(messages[:, -signs:], self._bits[:n])
        betas = powers_of(messages[:, trits:-signs], self._powers, self.name)
        betas *= 1 - 2 * self._bits[:n].astype(self.dtype)
        right[...] = np.array([0, 1, -1], self.dtype)[factors]
        np.multiply(right, betas[:, :, np.newaxis], out=left)
        return left, right

    def decode(self, messages, out):
        left, right = self._read(messages)
        products = np.matmul(left.transpose(0, 2, 1), right, out=self._products[: len(messages)])
        self._triangle.fold(products, out)

    def decode_sum(self, messages, weights, out):
        left, right = self._read(messages)
        left *= weights[:, np.newaxis, np.newaxis]
        p, product = self._triangle.p, self._products[:1]
        np.matmul(left.reshape(-1, p).T, right.reshape(-1, p), out=product[0])
        self._triangle.fold(product, out[np.newaxis])


def best_form(matrices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """An s (workers, p) of -1, 0 and 1, never all 0, with a large (s^T Z s)^2 / |s|_0^2; s^T Z s.

    See `SymmetricSDD`; `matrices` (workers, p, p) are symmetric.
    """
    each, diagonals = np.arange(len(matrices)), np.einsum("wii->wi", matrices)
    starts = np.stack([_best_pair(matrices), _best_prefix(matrices)])
    counts = np.count_nonzero(starts, axis=2)
    values = np.abs(_forms(matrices, starts[0])), np.abs(_forms(matrices, starts[1]))
    s = starts[np.argmax(np.array(values) / counts, axis=0), each]
    slopes, forms = np.matmul(matrices, s[:, :, np.newaxis])[:, :, 0], _forms(matrices, s)
    trials = np.array([-1, 0, 1], matrices.dtype)[:, np.newaxis]
    for _ in range(MOVES):
        steps = trials - s[:, np.newaxis]  # (workers, 3, p)
        moved = forms[:, np.newaxis, np.newaxis] + steps * (
            2 * slopes[:, np.newaxis] + steps * diagonals[:, np.newaxis]
        )
        counts = np.count_nonzero(s, axis=1)
        entries = counts[:, np.newaxis, np.newaxis] + np.abs(trials) - np.abs(s)[:, np.newaxis]
        scores = np.where(entries > 0, np.abs(moved) / np.maximum(entries, 1), -1)
        scores = scores.reshape(len(s), -1)
        best = scores.argmax(axis=1)
        better = scores[each, best] > (1 + 1e-6) * np.abs(forms) / counts
        if not better.any():
            break
        place = best % s.shape[1]
        step = np.where(better, steps.reshape(len(s), -1)[each, best], 0)
        forms = np.where(better, moved.reshape(len(s), -1)[each, best], forms)
        s[each, place] += step
        slopes += step[:, np.newaxis] * matrices[each, place]
    return s, _forms(matrices, s)


def _forms(matrices, s):
    """s^T Z s, (workers,)."""
    return np.matmul(np.matmul(s[:, np.newaxis], matrices), s[:, :, np.newaxis])[:, 0, 0]


def _best_pair(matrices):
    """The best s of one number or of two."""
    n, p, _ = matrices.shape
    diagonals = np.einsum("wii->wi", matrices)
    sums = diagonals[:, :, np.newaxis] + diagonals[:, np.newaxis]
    scores = np.abs(sums) / 2 + np.abs(matrices)
    np.einsum("wii->wi", scores)[...] = np.abs(diagonals)
    i, j = np.divmod(scores.reshape(n, -1).argmax(axis=1), p)
    each, s = np.arange(n), np.zeros((n, p), matrices.dtype)
    s[each, j] = np.where((sums[each, i, j] < 0) == (matrices[each, i, j] < 0), 1, -1)
    s[each, i] = 1
    return s


def _best_prefix(matrices):
    """The best of the signs of the largest numbers of the eigenvector of largest |w|."""
    values, vectors = np.linalg.eigh(matrices)
    each = np.arange(len(matrices))
    leading = vectors[each, :, np.abs(values).argmax(axis=1)]
    order = np.argsort(-np.abs(leading), axis=1, kind="stable")
    signs = np.where(leading < 0, -1, 1).astype(matrices.dtype)
    ordered = np.take_along_axis(signs, order, axis=1)
    inner = matrices[each[:, np.newaxis, np.newaxis], order[:, :, np.newaxis], order[:, np.newaxis]]
    inner *= ordered[:, :, np.newaxis] * ordered[:, np.newaxis]
    forms = np.cumsum(np.cumsum(inner, axis=1), axis=2)
    prefixes = np.abs(np.einsum("wii->wi", forms)) / np.arange(1, inner.shape[1] + 1)
    kept = np.arange(inner.shape[1]) <= prefixes.argmax(axis=1)[:, np.newaxis]
    s = np.zeros_like(ordered)
    np.put_along_axis(s, order, ordered * kept, axis=1)
    return s
