"""Compressors that send a matrix as factors of -1, 0 and 1, scaled by powers of two."""

from abc import abstractmethod
from math import log2

import numpy as np

from mpi_lowrank.component import option
from mpi_lowrank.compressors import compressors
from mpi_lowrank.compressors.base import Compressor, Promise
from mpi_lowrank.compressors.factors.fold import Fold
from mpi_lowrank.compressors.factors.lowrank import Shape, matrix_shape
from mpi_lowrank.compressors.wire.bits import BitFields
from mpi_lowrank.compressors.wire.messages import MessageError
from mpi_lowrank.compressors.wire.trits import Trits
from mpi_lowrank.errors import OptionError
from mpi_lowrank.kernels import family

BIAS = 127
"""Code p + 127 stands for 2^p, p = -126 ... 127 (float32's normal range), code 0 for 0."""

KEPT = 8 / 9
"""The share of what the best multiple of u captures of a vector that is captured with the multiple
rounded to a power of two: that is off by a factor 1 + rho, |rho| <= 1/3, and captures 1 - rho^2."""


def power_codes(values: np.ndarray, exponents: np.ndarray) -> np.ndarray:
    """The codes of the powers of two nearest to values 2^exponents, values >= 0.

    What is below 2^-126 becomes 0. Raises FloatingPointError for what is nearest to 2^128.
    """
    parts, powers = np.frexp(values)  # value = part 2^power, part in [1/2, 1)
    codes = powers + exponents + (parts >= 0.75) + (BIAS - 1)
    codes[(values == 0) | (codes < 0)] = 0
    if codes.size and codes.max() > 2 * BIAS:
        raise FloatingPointError("the largest power of two on the wire is 2^127")
    return codes


def power_table(dtype: np.dtype) -> np.ndarray:
    """What each code of eight bits stands for, NaN if nothing."""
    table = np.ldexp(np.ones(1, dtype), np.arange(256) - BIAS).astype(dtype)
    table[0], table[-1] = 0, np.nan
    return table


def powers_of(codes: np.ndarray, table: np.ndarray, name: str) -> np.ndarray:
    """What the codes stand for in a `power_table`. Raises MessageError for code 255."""
    powers = table[codes]
    if np.isnan(powers).any():
        raise MessageError(f"{name}: the exponent's code 255 stands for nothing")
    return powers


class DiscreteFactors(Compressor):
    """A sum of terms beta s y^T, s and y of small integers, beta a power of two or 0.

    Zeros that padded the m x c matrix are cut off again. Subclasses write the messages and read
    from them the factors, the betas within the left ones.
    """

    family = "factors of signs and zeros"
    per_block = True

    shape: Shape = option("auto")

    def see(self, m: int, c: int, terms: int) -> None:
        """See the block as an m x c matrix, of which so many terms are sent."""
        self.m, self.c, self.terms = m, c, terms
        self.fold = Fold(self.d, (m, c), self.dtype)

    def prepare(self, local, total):
        m, c, terms = self.m, self.c, self.terms
        self.fold.prepare(local, total)
        self._matrices = self.fold.zeros(local)
        self._left = np.empty((total, terms, m), self.dtype)
        self._right = np.empty((total, terms, c), self.dtype)
        with np.errstate(over="ignore", under="ignore"):
            self._powers = power_table(self.dtype)

    def _scaled(self, x):
        """The rows as matrices 2^-e x with largest entry in [1/2, 1), and the e (workers,)."""
        matrices = self._matrices[: len(x)]
        flat = self.fold.numbers(matrices)
        np.abs(x, out=flat)
        exponents = np.frexp(flat.max(axis=1))[1]
        with np.errstate(under="ignore"):
            np.ldexp(x, -exponents[:, np.newaxis], out=flat)
        return matrices, exponents

    @abstractmethod
    def _read(self, messages: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The factors (workers, terms, m), scaled, and (workers, terms, c), in scratch."""

    def _betas(self, codes):
        return powers_of(codes, self._powers, self.name)

    def decode(self, messages, out):
        left, right = self._read(messages)
        np.matmul(left.transpose(0, 2, 1), right, out=self.fold.room(out))
        self.fold.cut(out)

    def decode_sum(self, messages, weights, out):
        left, right = self._read(messages)
        left *= weights[:, np.newaxis, np.newaxis]
        self.fold.write(out, left.reshape(-1, self.m).T, right.reshape(-1, self.c))


LARGEST_POWER = 5
"""The largest a of the 2^a columns of `kronecker`: there are 4^a atoms to try."""

_CHUNK = 1 << 16
"""Numbers per worker of which `kronecker` takes absolute values at a time."""


def kronecker_shape(d: int, shape: Shape) -> tuple[int, int]:
    """The (m, 2^a) in which d numbers are compressed, a <= 5.

    "auto": 2^a is the smallest power of two from sqrt(d), at most 32.
    """
    if shape == "auto":
        c = 1
        while c * c < d and c < 1 << LARGEST_POWER:
            c *= 2
        return -(-d // c), c
    m, c = shape
    if c not in [1 << a for a in range(LARGEST_POWER + 1)] or m < 1 or m * c < d:
        largest = 1 << LARGEST_POWER
        allowed = f'"auto" or [m, c] with c = 1, 2, 4, ... {largest} and m c >= d = {d}'
        raise OptionError("shape", list(shape), allowed)
    return m, c


def kronecker_atoms(a: int) -> np.ndarray:
    """The 4^a Kronecker products of a vectors out of (1,0), (0,1), (1,1), (1,-1), (4^a, 2^a)."""
    ground = np.array([[1, 0], [0, 1], [1, 1], [1, -1]])
    atoms = np.ones((1, 1), int)
    for _ in range(a):
        atoms = np.kron(atoms, ground)
    return atoms


@compressors.register("kronecker")
class Kronecker(DiscreteFactors):
    """The best beta s y^T, s of signs, y a Kronecker product of a vectors of two numbers.

    The d numbers, of a matrix row by row, fill Z of `shape` m x 2^a. y is one of the 4^a products
    of (1,0), (0,1), (1,1), (1,-1), N = |y|^2. For a given y the best s is sign(Z y), sign(0) = +,
    which with T = |Z y|_1 captures T^2/(m N) of |Z|^2 at beta = T/(m N); the y of largest T^2/N
    (of equal ones the first) makes it the best of all 2^m 4^a pairs. beta is rounded to the nearest
    power of two.

    alpha = (8/9)/(m 2^a): every unit vector e_j is a y, and |Z e_j|_1^2/m >= |Z e_j|_2^2/m, which
    is at least |Z|^2/(m 2^a) for the largest; beta, off by at most a third, keeps 8/9 of that.

    Wire: m + 2a + 8 bits, for the signs, y, and the exponent of beta within the range of float32.
    """

    examples: tuple[str, ...] = ("", "shape=16x8", "shape=14x8", "shape=30x4")

    scale_bits = 8

    def promised(self):
        m, c = kronecker_shape(self.d, "auto" if len(self.block) == 2 else self.shape)
        self.see(m, c, terms=1)
        self.a = c.bit_length() - 1
        self._bits = BitFields(m + 2 * self.a + self.scale_bits, 1)
        alpha = KEPT / (m * c)
        return Promise(self._bits.nbytes, self._bits.count, alpha=alpha, homogeneous=False)

    def prepare(self, local, total):
        super().prepare(local, total)
        self._atoms = kronecker_atoms(self.a).astype(self.dtype)
        self._norms = (self._atoms**2).sum(axis=1)
        rows = min(self.m, max(1, _CHUNK // len(self._atoms)))
        self._products = np.empty((local, rows, len(self._atoms)), self.dtype)
        self._sums, self._part = (np.empty((local, len(self._atoms)), self.dtype) for _ in range(2))
        self._fields = np.empty((total, self._bits.count), np.uint8)
        self._bits.prepare(total)
        self._kernels = family("discrete", local * self.m * len(self._atoms))
        self._small = self.m <= self._kernels.LONGEST
        if self._small:
            self._rounded = np.empty((local, *self.fold.shape), np.float32)
            self._squares = self._norms.astype(np.float32)
            self._chosen, self._decided = np.empty(local, np.int64), np.empty(local, bool)

    def encode(self, x, messages, generators):
        matrices, exponents = self._scaled(x)
        chosen = self._choose(matrices)
        products = np.matmul(matrices, self._atoms[chosen][:, :, np.newaxis])[:, :, 0]
        betas = np.abs(products).sum(axis=1) / (self.m * self._norms[chosen])
        fields, codes = self._fields[: len(x)], self._scale_codes(betas, exponents)
        np.less(products, 0, out=fields[:, : self.m], casting="unsafe")
        _write_bits(chosen, fields[:, self.m : -self.scale_bits])
        _write_bits(codes, fields[:, -self.scale_bits :])
        self._bits.pack(fields, messages)

    def _scale_codes(self, betas, exponents):
        """What stands on the wire for betas 2^exponents, (workers,) int."""
        return power_codes(betas, exponents)

    def _choose(self, matrices):
        """The y of each row, (workers,): the first with the largest T^2/N."""
        if not self._small:
            return self._choose_of_all(matrices)
        n = len(matrices)
        rounded, chosen, decided = self._rounded[:n], self._chosen[:n], self._decided[:n]
        with np.errstate(under="ignore"):
            np.copyto(rounded, matrices, casting="same_kind")
        self._kernels.kronecker(rounded, self._squares, chosen, decided)
        if not decided.all():
            chosen[~decided] = self._choose_of_all(matrices[~decided])
        return chosen

    def _choose_of_all(self, matrices):
        n, sums, part = len(matrices), self._sums[: len(matrices)], self._part[: len(matrices)]
        sums[...] = 0
        step = self._products.shape[1]
        for first in range(0, self.m, step):
            some = matrices[:, first : first + step]
            products = np.matmul(some, self._atoms.T, out=self._products[:n, : some.shape[1]])
            np.abs(products, out=products)
            sums += np.add.reduce(products, axis=1, out=part)
        np.square(sums, out=sums)
        sums /= self._norms
        return sums.argmax(axis=1)

    def _read(self, messages):
        n = len(messages)
        fields, left, right = self._fields[:n], self._left[:n], self._right[:n]
        self._bits.unpack(messages, fields)
        betas = self._betas(_read_bits(fields[:, -self.scale_bits :]))
        np.multiply(fields[:, : self.m], -2, out=left[:, 0], dtype=self.dtype)
        left += 1
        left *= betas[:, np.newaxis, np.newaxis]
        right[:, 0] = self._atoms[_read_bits(fields[:, self.m : -self.scale_bits])]
        return left, right


def _write_bits(numbers, bits):
    """Each number's bits (rows, width), the lowest first."""
    for place in range(bits.shape[1]):
        bits[:, place] = numbers >> place & 1


def _read_bits(bits):
    return bits.astype(np.intp) @ (1 << np.arange(bits.shape[1]))


SWEEPS = 8
"""Alternations per term of `sdd`; most settle after three."""


def prefix_constant(length: int) -> float:
    """h = sum_j (sqrt(j) - sqrt(j - 1))^2, about 1.1 + ln(length)/4: see `SemidiscreteSVD`."""
    roots = np.sqrt(np.arange(length + 1.0))
    return float((np.diff(roots) ** 2).sum())


@compressors.register("sdd")
class SemidiscreteSVD(DiscreteFactors):
    """A sum of `rank` terms beta x y^T, x and y of -1, 0 and 1: the semidiscrete decomposition.

    O'Leary and Peleg 1983; Kolda and O'Leary 1998. Each term, on what the ones before have left, is
    found by alternating exact maximisation of (x^T Z y)^2/(|x|_0 |y|_0): for a given y the best x
    has the signs of v = Z y on the j largest |v_i|, for the j of largest (sum of those)^2/j. It
    starts from the row alone (the column, if m > c) that captures most and takes 8 sweeps, none of
    which captures less. beta is the power of two nearest to x^T Z y/(|x|_0 |y|_0).

    alpha = 1 - (1 - (8/9)/(q h))^rank, q = min(m, c), h = sum_{j <= max(m, c)} (sqrt j -
    sqrt(j - 1))^2. With the entries a_j of a row decreasing and every prefix sum S_j <= M sqrt(j),
    |a|^2 = sum (a_j - a_{j+1}) S_j <= M sum a_j (sqrt j - sqrt(j - 1)) <= M |a| sqrt(h), so the
    best prefix captures M^2 >= |a|^2/h; the longest of q rows has |Z|^2/q; beta keeps 8/9 of it.
    What padding takes is no part of what is left.

    Wire: ceil(rank (m + c)/5) bytes, five numbers a byte, and a byte a term for beta's exponent
    within the range of float32.
    """

    examples = ("", "rank=3,shape=7x16", "rank=2,shape=16x8")

    rank: int = option(1)

    def promised(self):
        m, c = matrix_shape(self.block, self.shape)
        if self.rank < 1:
            raise OptionError("rank", self.rank, "an integer from 1, the number of terms")
        self.see(m, c, terms=self.rank)
        self._trits = Trits(self.rank * (m + c))
        h = prefix_constant(max(m, c))
        alpha = 1 - (1 - KEPT / (min(m, c) * h)) ** self.rank
        nbytes, bits = self._trits.nbytes + self.rank, self.rank * ((m + c) * log2(3) + 8)
        return Promise(nbytes, bits, alpha=alpha, homogeneous=False)

    def prepare(self, local, total):
        super().prepare(local, total)
        m, c = self.m, self.c
        self._wide = np.empty((local, min(m, c), max(m, c)), self.dtype)
        self._sorted, self._term = (np.empty_like(self._wide) for _ in range(2))
        self._roots = np.sqrt(np.arange(1, max(m, c) + 1)).astype(self.dtype)
        self._outside = (np.arange(m * c) >= self.d).reshape(m, c)
        self._codes = np.empty((total, self.terms), np.uint8)
        self._factors = np.empty((total, self.terms, m + c), np.uint8)
        self._trits.prepare(total)
        self._kernels = family("discrete", SWEEPS * local * m * c)
        self._small = max(m, c) <= self._kernels.LONGEST
        if self._small:
            exact = self.dtype == np.float64
            self._exact = self._wide if exact else np.empty(self._wide.shape)
            self._x, self._y = np.empty((local, min(m, c))), np.empty((local, max(m, c)))
            self._decided = np.empty(local, bool)

    def encode(self, x, messages, generators):
        n, (matrices, exponents) = len(x), self._scaled(x)
        factors, codes = self._factors[:n], self._codes[:n]
        for term in range(self.terms):
            left, right = self._maximise(matrices)
            captured = np.matmul(np.matmul(left[:, np.newaxis], matrices), right[:, :, np.newaxis])
            entries = np.count_nonzero(left, axis=1) * np.count_nonzero(right, axis=1)
            betas = captured[:, 0, 0] / entries.astype(self.dtype)
            codes[:, term] = power_codes(betas, exponents)
            factors[:, term, : self.m] = left + 3 * (left < 0)
            factors[:, term, self.m :] = right + 3 * (right < 0)
            if term + 1 < self.terms:
                self._subtract(matrices, codes[:, term], exponents, left, right)
        trits = self._trits.nbytes
        self._trits.pack(factors.reshape(n, -1), messages[:, :trits])
        messages[:, trits:] = codes

    def _subtract(self, matrices, codes, exponents, left, right):
        """Leave in the matrices what the term does not capture, and nothing in the padding."""
        betas = np.ldexp(self._powers[codes], -exponents)
        term = self._term[: len(matrices)].reshape(matrices.shape)
        np.multiply(left[:, :, np.newaxis], right[:, np.newaxis], out=term)
        term *= betas[:, np.newaxis, np.newaxis]
        np.subtract(matrices, term, out=matrices)
        matrices[:, self._outside] = 0

    def _maximise(self, matrices):
        """The x (workers, m) and the y (workers, c) of a term."""
        tall = self.m > self.c
        wide = self._wide[: len(matrices)]
        np.copyto(wide, matrices.transpose(0, 2, 1) if tall else matrices)
        x, y = (self._alternate_at_once if self._small else self._alternate)(wide)
        return (y, x) if tall else (x, y)

    def _alternate_at_once(self, wide):
        n, unit = len(wide), float(np.finfo(self.dtype).eps) / 2
        exact, x, y, decided = self._exact[:n], self._x[:n], self._y[:n], self._decided[:n]
        np.copyto(exact, wide)  # nothing to do in float64
        self._kernels.semidiscrete(exact, SWEEPS, unit, x, y, decided)
        if not decided.all():
            x[~decided], y[~decided] = self._alternate(wide[~decided])
        return x.astype(self.dtype, copy=False), y.astype(self.dtype, copy=False)

    def _alternate(self, wide):
        """The x and y of matrices that are not taller than wide, all sweeps for all workers."""
        y = self._best_row(wide)
        x = best_signs(np.matmul(wide, y[:, :, np.newaxis])[:, :, 0])
        for _ in range(SWEEPS):
            before, y = y, best_signs(np.matmul(x[:, np.newaxis], wide)[:, 0])
            if np.array_equal(before, y):  # then x stays as well
                break
            x = best_signs(np.matmul(wide, y[:, :, np.newaxis])[:, :, 0])
        return x, y

    def _best_row(self, wide):
        """The best y for the row of which it captures most, (workers, columns)."""
        ordered, sums = self._sorted[: len(wide)], self._term[: len(wide)]
        np.abs(wide, out=ordered)
        ordered.sort(axis=2)
        np.cumsum(ordered[:, :, ::-1], axis=2, out=sums)
        sums /= self._roots
        row = sums.max(axis=2).argmax(axis=1)
        return best_signs(wide[np.arange(len(wide)), row])

    def _read(self, messages):
        n, trits = len(messages), self._trits.nbytes
        factors, left, right = self._factors[:n], self._left[:n], self._right[:n]
        self._trits.unpack(messages[:, :trits], factors.reshape(n, -1))
        values = np.array([0, 1, -1], self.dtype)
        left[...] = values[factors[:, :, : self.m]]
        left *= self._betas(messages[:, trits:])[:, :, np.newaxis]
        right[...] = values[factors[:, :, self.m :]]
        return left, right


def best_signs(v: np.ndarray) -> np.ndarray:
    """For each row v the t of -1, 0 and 1 with the largest (t . v)^2/|t|_0; never all 0.

    It has the signs of the j largest |v_i|, of equal ones the first, sign(0) = +.
    """
    magnitude = np.abs(v)
    order = np.argsort(-magnitude, axis=1, kind="stable")
    sums = np.cumsum(np.take_along_axis(magnitude, order, axis=1), axis=1)
    last = (sums * sums / np.arange(1, v.shape[1] + 1)).argmax(axis=1)
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.arange(v.shape[1])[np.newaxis], axis=1)
    return np.where(rank <= last[:, np.newaxis], np.where(v < 0, -1, 1), 0).astype(v.dtype)
