"""Compressors that keep a random number of coordinates: messages vary in length."""

from dataclasses import replace
from typing import Any, Literal

import numpy as np

from mpi_lowrank.component import option
from mpi_lowrank.compressors import compressors
from mpi_lowrank.compressors.base import Compressor, Promise, equal_error
from mpi_lowrank.compressors.coordinates.sparse import Sparsifier
from mpi_lowrank.compressors.sampling import threshold
from mpi_lowrank.compressors.wire.bits import BitFields, bits_for
from mpi_lowrank.compressors.wire.messages import LENGTH, MessageError, message_lengths, refuse
from mpi_lowrank.compressors.wire.numbers import Wired
from mpi_lowrank.errors import OptionError


def sampling_probabilities(weights: np.ndarray, budget: float) -> np.ndarray:
    """p_i = min(1, w_i / tau) with sum p_i = min(budget, non-zero weights), row by row.

    weights (rows, d), not negative; see `threshold`.
    """
    weights = np.asarray(weights, np.float64)
    largest = weights.max(axis=1, keepdims=True)
    w = weights / np.where(largest > 0, largest, 1)
    tau, _ = threshold(np.sort(w, axis=1)[:, ::-1], budget)
    with np.errstate(all="ignore"):  # tau is 0 where everything is kept that is not 0
        return np.where(w > 0, np.minimum(1, w / tau), 0)


class _Varying(Wired, Compressor):
    """A message is its length, the kept numbers, and their indices of ceil(log2 d) bits each.

    The length tells how many were kept: each one more makes it longer by at least a byte.
    """

    family = "some coordinates"

    def promised(self):
        self._width = bits_for(self.d)
        return Promise(self.length_of(self.d), 0, random=True, variable=True, precision=self.number)

    def length_of(self, kept: int) -> int:
        """The bytes of a message that keeps so many numbers."""
        return LENGTH.itemsize + kept * self.number.itemsize + -(-kept * self._width // 8)

    def prepare(self, local, total):
        self._draws = np.empty(self.d, self.dtype)
        self._kept = np.empty(self.d, bool)

    def write(self, messages: np.ndarray, values: np.ndarray, indices: np.ndarray) -> None:
        """Write messages that keep `values` (rows, k) at `indices` (rows, k)."""
        fields, start = self._fields(*indices.shape), LENGTH.itemsize
        end = start + values.shape[1] * self.number.itemsize
        messages[:, :start].view(LENGTH)[...] = end + fields.nbytes
        messages[:, start:end].view(self.number)[...] = values
        fields.pack(indices.astype(fields.dtype), messages[:, end : end + fields.nbytes])

    def read(self, messages: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The values and the indices, (rows, k), of messages (rows, length) of that length."""
        rows, length = messages.shape
        start, bits = LENGTH.itemsize, 8 * self.number.itemsize + self._width
        kept = 8 * (length - LENGTH.itemsize) // bits
        if self.length_of(kept) != length:
            raise MessageError(f"{self.name}: no number of coordinates makes {length} bytes")
        fields, end = self._fields(rows, kept), start + kept * self.number.itemsize
        sent = np.empty((rows, kept), fields.dtype)
        fields.unpack(messages[:, end:], sent)
        indices = sent.astype(np.intp)
        if kept and (indices[:, -1].max() >= self.d or not (np.diff(indices) > 0).all()):
            raise MessageError(f"{self.name}: indices are below d = {self.d} and increase")
        values = messages[:, start:end].view(self.number)
        refuse(self.name, values)
        return values, indices

    def _fields(self, rows: int, kept: int) -> BitFields:
        fields = BitFields(kept, self._width)
        fields.prepare(rows)
        return fields

    def decode(self, messages, out):
        out[...] = 0
        for rows, values, indices in self._by_length(messages):
            out[rows[:, np.newaxis], indices] = values

    def decode_sum(self, messages, weights, out):
        out[:] = 0
        owners, places, numbers = [], [], []
        for rows, values, indices in self._by_length(messages):
            owners.append(np.repeat(rows, values.shape[1]))
            places.append(indices.reshape(-1))
            weighted = weights[rows, np.newaxis] * values.astype(self.dtype)
            numbers.append(weighted.reshape(-1))
        if owners:
            order = np.argsort(np.concatenate(owners), kind="stable")
            np.add.at(out, np.concatenate(places)[order], np.concatenate(numbers)[order])

    def _by_length(self, messages):
        """The numbers of the rows of each length, their values and their indices."""
        lengths = message_lengths(messages)
        for length in np.unique(lengths):
            rows = np.flatnonzero(lengths == length)
            yield rows, *self.read(messages[rows, :length])


@compressors.register("sparsify")
class RandomSparsification(_Varying):
    """Coordinate i is kept with probability p_i, independently of the others.

    `probabilities`: "uniform", p_i = k/d, or "optimal", p_i = min(1, |x_i|/tau) with sum k (Wangni
    et al. 2018). `scale = "unbiased"` sends x_i/p_i: omega = d/k - 1, uniform with equality for
    every x, optimal at flat ones, since no p of the same sum has a smaller sum x_i^2/p_i. "biased"
    sends x_i: alpha = k/d, since optimal p_i grow with |x_i|, so that by Chebyshev's inequality
    sum p_i x_i^2 >= (k/d)|x|^2; where fewer than k coordinates are not 0, all of them are kept.

    Wire: 4 bytes, and a number and an index of ceil(log2 d) bits for each kept coordinate.
    """

    examples = (
        "k=8.0",
        "k=8.0,probabilities=optimal",
        "k=8.0,scale=biased",
        "k=8.0,probabilities=optimal,scale=biased",
    )

    k: float = option()
    probabilities: Literal["uniform", "optimal"] = option("uniform")
    scale: Literal["unbiased", "biased"] = option("unbiased")

    def promised(self):
        if not 0 < self.k <= self.d:
            raise OptionError("k", self.k, f"a number above 0, at most d = {self.d}")
        self._optimal, self._unbiased = self.probabilities == "optimal", self.scale == "unbiased"
        promise = replace(super().promised(), published_bits=self.k * 8 * self.number.itemsize)
        if self._unbiased:
            return replace(promise, omega=self.d / self.k - 1)
        return replace(promise, alpha=self.k / self.d)

    def worst_case(self):
        return np.ones(self.d)

    def expected_error(self, x):
        p = self._probabilities(x)
        square = x.astype(np.float64) ** 2
        if not self._unbiased:
            return ((1 - p) * square).sum(axis=1)
        return (square * (1 / np.where(p > 0, p, 1) - 1)).sum(axis=1)

    def _probabilities(self, x):
        if self._optimal:
            return sampling_probabilities(np.abs(x), self.k)
        return np.full(x.shape, self.k / self.d)

    def encode(self, x, messages, generators):
        kept = [self._keep(*given) for given in zip(x, generators, strict=True)]
        counts = np.array([len(indices) for _, indices in kept])
        for count in np.unique(counts):
            rows = np.flatnonzero(counts == count)
            values, indices = map(np.array, zip(*(kept[w] for w in rows), strict=True))
            some = np.zeros((len(rows), self.length_of(count)), np.uint8)
            self.write(some, values, indices)
            messages[rows, : some.shape[1]] = some

    def _keep(self, row, generator):
        """The numbers of a row that are sent, and where they are."""
        p: Any = self._probabilities(row[np.newaxis])[0] if self._optimal else self.k / self.d
        indices = self._draw(p, generator)
        values = row[indices]
        if self._unbiased:
            values = values / (p[indices] if self._optimal else p)
        return values, indices

    def _draw(self, p, generator):
        """The coordinates that are kept, increasing; exactly with probability p, however small.

        A draw u is a multiple of eps/2 and stands for all numbers from there to the next multiple.
        If p is among them, another draw decides.
        """
        draws = self._draws
        generator.random(out=draws, dtype=self.dtype.type)
        near = np.flatnonzero(np.less_equal(draws, p, out=self._kept))
        above = (p[near] if self._optimal else p) - draws[near].astype(np.float64)
        step = float(np.finfo(self.dtype).eps) / 2
        return near[generator.random(len(near)) * step < above]


@compressors.register("bernoulli")
class Bernoulli(Wired, Compressor):
    """The whole vector with probability p, else nothing but the message's length.

    `scale = "unbiased"` divides by p: omega = 1/p - 1; "contractive" does not: alpha = p; both with
    equality for every x. Wire: 4 bytes, and d numbers with probability p.
    """

    family = "some coordinates"
    examples = ("", "p=0.25,scale=contractive")

    p: float = option(0.1)
    scale: Literal["unbiased", "contractive"] = option("unbiased")

    def promised(self):
        if not 0 < self.p <= 1:
            raise OptionError("p", self.p, "a number above 0, at most 1")
        unbiased, whole = self.scale == "unbiased", self.d * self.number.itemsize
        self._factor = self.dtype.type(1 / self.p if unbiased else 1)
        return Promise(
            nbytes=LENGTH.itemsize + whole,
            published_bits=self.p * 8 * whole,
            alpha=None if unbiased else self.p,
            omega=1 / self.p - 1 if unbiased else None,
            random=True,
            variable=True,
            precision=self.number,
        )

    def worst_case(self):
        return np.ones(self.d)

    def expected_error(self, x):
        return equal_error(self, x)

    def encode(self, x, messages, generators):
        start = LENGTH.itemsize
        for row, message, generator in zip(x, messages, generators, strict=True):
            sent = generator.random() < self.p
            message[:start].view(LENGTH)[0] = self.nbytes if sent else start
            if sent:
                message[start:].view(self.number)[:] = row

    def decode(self, messages, out):
        start = LENGTH.itemsize
        lengths = message_lengths(messages)
        sent = lengths == self.nbytes
        if not (sent | (lengths == start)).all():
            raise MessageError(f"{self.name}: {start} or {self.nbytes} bytes; got {lengths}")
        out[...] = 0
        for at in np.flatnonzero(sent):
            out[at] = messages[at, start:].view(self.number)
        refuse(self.name, out)
        out *= self._factor


@compressors.register("adaptive_random")
class AdaptiveRandom(Sparsifier):
    """x_i alone, with probability |x_i| / |x|_1 (Beznosikov et al. 2020).

    E|C(x) - x|^2 = |x|^2 - sum |x_i|^3 / |x|_1: alpha = 1/d, attained at flat vectors. Wire: one
    number and one index.
    """

    k = 1

    def chosen(self):
        return self.coordinates(alpha=1 / self.d, random=True)

    def prepare(self, local, total):
        super().prepare(local, total)
        self._cumulated = np.empty((local, self.d))  # sums of float32 would miss small numbers
        self._chosen = np.empty((local, 1), np.int64)

    def worst_choice(self):
        return np.ones(self.d)

    def expected_error(self, x):
        if any(inner.omega != 0 for inner in self.inner):
            return None
        magnitude = np.abs(x).astype(np.float64)
        total = magnitude.sum(axis=1)
        cubes = (magnitude**3).sum(axis=1) / np.where(total > 0, total, 1)
        return (magnitude**2).sum(axis=1) - cubes

    def select(self, x, generators):
        n = len(x)
        cumulated = np.abs(x, out=self._cumulated[:n])
        cumulated /= np.maximum(cumulated.max(axis=1, keepdims=True), np.finfo(float).tiny)
        np.cumsum(cumulated, axis=1, out=cumulated)
        for row, chosen, generator in zip(cumulated, self._chosen[:n], generators, strict=True):
            # In (0, total], so that a coordinate that is 0 is never drawn.
            chosen[0] = np.searchsorted(row, (1 - generator.random()) * row[-1])
        return np.minimum(self._chosen[:n], self.d - 1)
