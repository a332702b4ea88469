"""A factorisation whose rank each matrix chooses for itself."""

from dataclasses import replace
from math import ceil

import numpy as np

from mpi_lowrank.component import option
from mpi_lowrank.compressors import compressors
from mpi_lowrank.compressors.base import Promise
from mpi_lowrank.compressors.composed.carrier import Carrier
from mpi_lowrank.compressors.factors.lowrank import FactorPair, matrix_shape
from mpi_lowrank.compressors.sampling import tails_of
from mpi_lowrank.compressors.wire.messages import LENGTH, MessageError, message_lengths
from mpi_lowrank.errors import OptionError


@compressors.register("adaptive")
class AdaptiveSVD(FactorPair):
    """The truncated SVD of the least rank r that leaves epsilon |X|^2 or less.

    alpha = max(1 - epsilon, 1/q), q = min(m, c), attained where the first singular value leaves
    epsilon |X|^2 to the others; r <= ceil((1 - epsilon) q), and 0 for X = 0.

    Wire: 4 bytes for the length of the message, r (m + c) numbers. Where these would not be fewer
    than the m c of X, X itself is sent instead: its q rows (columns, if c < m), each one as the
    composition says, like the other vectors. So the length tells r: it is that of q rows or
    columns if X is whole, and less if it is factors.
    """

    examples = ("epsilon=0.3", "epsilon=0.01", "epsilon=0.5,shape=7x16+natural")

    epsilon: float = option(0.1)

    def chosen(self):
        if not 0 < self.epsilon < 1:
            raise OptionError("epsilon", self.epsilon, "a number between 0 and 1")
        groups = self.factors(min(matrix_shape(self.block, self.shape)))
        alpha = max(1 - self.epsilon, 1 / self.q)
        return groups, Promise(LENGTH.itemsize, 0, alpha=alpha, variable=True)

    def promised(self):
        promise = super().promised()
        longer = self.inner[self.c >= self.m]
        self.highest = max(ceil((1 - self.epsilon) * self.q - 1e-9), 1)
        self._pair, self._whole = sum(part.nbytes for part in self.inner), self.q * longer.nbytes
        pair = sum(part.published_bits for part in self.inner)
        return replace(
            promise,
            nbytes=self.side_nbytes + min(self.highest * self._pair, self._whole),
            published_bits=min(self.highest * pair, self.q * longer.published_bits),
        )

    def worst_choice(self):
        if self.fold.padded or self._pair >= self._whole:
            return None
        values = np.ones(self.q)
        if self.epsilon <= 1 - 1 / self.q:
            left = self.epsilon * (1 - 1e-6)
            values[0], values[1:] = 1 - left, left / (self.q - 1)
        x = np.eye(self.m, self.c)
        np.fill_diagonal(x, np.sqrt(values))
        return x.reshape(-1)

    def spectral_error(self, values):
        ranks = self._ranks(values)
        squares = tails_of(values**2)[np.arange(len(values)), ranks]
        return np.where(self._bodies(ranks) == self._whole, 0, squares)

    def _ranks(self, values):
        """The least r of each row of singular values, (workers,)."""
        largest = values[:, :1]
        relative = values / np.where(largest > 0, largest, 1)
        tails = tails_of(relative.astype(np.float64) ** 2)
        return np.minimum(np.argmax(tails <= self.epsilon * tails[:, :1], axis=1), self.highest)

    def _bodies(self, ranks):
        """The bytes behind the length."""
        return np.minimum(ranks * self._pair, self._whole)

    def _counts(self, side):
        """How many vectors of either group the messages hold, (workers, 2)."""
        bodies = side.view(LENGTH)[:, 0].astype(np.intp) - self.side_nbytes
        whole = bodies == self._whole
        possible = (bodies >= 0) & (bodies <= self.nbytes - self.side_nbytes)
        if not (possible & (whole | (bodies % self._pair == 0))).all():
            raise MessageError(f"{self.name}: no matrix has a message of such a length")
        counts = np.repeat(bodies[:, np.newaxis] // self._pair, 2, axis=1)
        counts[whole] = (0, self.q) if self.c >= self.m else (self.q, 0)
        return counts

    def choose(self, x, side, numbers, generators):
        matrices = self.fold(x)
        left, right = self._factors_in(numbers)
        u, s, vt = np.linalg.svd(matrices, full_matrices=False)
        bodies = self._bodies(self._ranks(s))
        side.view(LENGTH)[:, 0] = bodies + self.side_nbytes
        left[...] = u.transpose(0, 2, 1)
        np.multiply(s[:, :, np.newaxis], vt, out=right)
        whole = bodies == self._whole
        if self.c >= self.m:
            right[whole] = matrices[whole]
        else:
            left[whole] = matrices[whole].transpose(0, 2, 1)

    def restore(self, side, numbers, out):
        left, right = self._factors_in(numbers)
        counts, decoded = self._counts(side), self.fold.room(out)
        for p, q, (columns, rows), matrix in zip(left, right, counts, decoded, strict=True):
            if columns == rows:
                np.matmul(p[:columns].T, q[:rows], out=matrix)
            else:
                matrix[...] = q if rows else p.T
        if self._shrink != 1:
            decoded *= self._shrink
        self.fold.cut(out)

    restore_sum = Carrier.restore_sum

    def encode(self, x, messages, generators):
        numbers = self._numbers[: len(x)]
        self.choose(x, messages[:, : self.side_nbytes], numbers, generators)
        for part, counts, stack, packed, places in self._stacks(messages, numbers):
            for vectors, place, _ in places:
                stack[place] = vectors
            pairs = zip(generators, counts, strict=True) if part.random else ()
            part.encode(stack, packed, [g for g, count in pairs for _ in range(count)])
            for _, place, message in places:
                message[:] = packed[place].reshape(-1)

    def _carried(self, messages):
        message_lengths(messages)
        numbers = self._numbers[: len(messages)]
        for part, _, stack, packed, places in self._stacks(messages, numbers):
            for _, place, message in places:
                packed[place] = message.reshape(-1, part.nbytes)
            part.decode(packed, stack)
            for vectors, place, _ in places:
                vectors[...] = stack[place]
        return numbers

    def _stacks(self, messages, numbers):
        """Of either group that is sent: its compressor, how many vectors the messages hold, room
        for all of them and for their messages; and a message its vectors, their place in that room
        and their bytes."""
        n, at = len(messages), np.full(len(messages), self.side_nbytes)
        counts = self._counts(messages[:, : self.side_nbytes])
        for (part, held, _, stack, packed), sent in zip(self._parts, counts.T, strict=True):
            length, total, bounds = stack.shape[2], int(sent.sum()), at + sent * part.nbytes
            ends = np.cumsum(sent)
            vectors = numbers[:, held].reshape(n, self.q, length)
            places = [
                (own[:count], slice(end - count, end), message[start:bound])
                for own, count, end, message, start, bound in zip(
                    vectors, sent, ends, messages, at, bounds, strict=True
                )
            ]
            stacks = stack.reshape(-1, length)[:total], packed.reshape(-1, part.nbytes)[:total]
            if total:
                yield part, sent, *stacks, places
            at = bounds
