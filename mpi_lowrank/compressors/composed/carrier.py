"""A compressor that chooses numbers, which travel in the messages of another one."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from mpi_lowrank.compressors.base import Compressor, Promise, coarsest
from mpi_lowrank.compressors.whole import Identity
from mpi_lowrank.compressors.wire.numbers import Wired
from mpi_lowrank.errors import OptionError
from mpi_lowrank.rounds.state import State

Groups = tuple[tuple[int, int], ...]
"""(length, count) each: `count` vectors of `length` numbers."""


class Carrier(Wired, Compressor):
    """A compressor that chooses what is sent: side information, and numbers in another's messages.

    Each vector of numbers travels in a message of its own, of `inner`. Groups of vectors stand for
    factors that are multiplied. All factors but one are orthonormal, so that independent unbiased
    errors multiply.

    Wire: the side information, `side_nbytes` long, then the groups' messages. Subclasses write
    `chosen` in place of `promised`, `choose` and `restore`.
    """

    orthonormal = True
    """Whether all factors but one are orthonormal, so that the variances of the groups multiply."""

    def __init__(
        self,
        block: tuple[int, ...],
        dtype: DTypeLike,
        *,
        workers: int = 1,
        inner: Callable[[int], Compressor] | None = None,
        **options: Any,
    ):
        """`inner` makes the compressor of so many numbers; by default they go whole, as `wire`."""
        self._make_inner = inner or self._as_they_are
        super().__init__(block, dtype, workers=workers, **options)

    def _as_they_are(self, length: int) -> Compressor:
        return Identity((length,), self.dtype, workers=self.workers, wire=self.wire)

    @abstractmethod
    def chosen(self) -> tuple[Groups, Promise]:
        """The groups of numbers, and what is promised if these travel without loss.

        `nbytes` and `published_bits` are those of the side information alone.
        """

    def promised(self) -> Promise:
        """What is promised of this compressor, C_1, with its numbers sent by `inner`, C_2.

        zeta is the product of 1 + omega over the groups. An unbiased C_1 gets
        omega = (1 + omega_1) zeta - 1 (Horvath et al. 2019, theorem 3). A contractive C_1 is
        scaled by 1 / zeta and gets alpha = alpha_1 / zeta: E|C_2 C_1 / zeta - x|^2 <=
        (E|C_1 - x|^2 - |x|^2) / zeta + |x|^2. If C_1 chooses coordinates of x itself and C_2 is
        contractive, alpha = alpha_1 alpha_2.
        """
        self.groups, own = self.chosen()
        self.side_nbytes = own.nbytes
        self.inner = [self._make_inner(length) for length, _ in self.groups]
        zeta = prod(1 + part.omega for part in self.inner if part.omega is not None)
        biased = [part for part in self.inner if part.omega is None]
        self._check_inner(own, zeta, biased)
        self._shrink, alpha, omega = 1.0, own.alpha, own.omega
        if omega is not None:
            alpha, omega = None, (1 + omega) * zeta - 1
        elif alpha is not None:
            self._shrink = 1 / zeta
            alpha = alpha / zeta * prod(part.alpha for part in biased if part.alpha is not None)
        parts = [(part, count) for part, (_, count) in zip(self.inner, self.groups, strict=True)]
        return replace(
            own,
            nbytes=own.nbytes + sum(count * part.nbytes for part, count in parts),
            published_bits=own.published_bits + sum(n * part.published_bits for part, n in parts),
            alpha=alpha,
            omega=omega,
            random=own.random or any(part.random for part in self.inner),
            homogeneous=all(part.homogeneous for part in self.inner),
            precision=coarsest(self.inner),
        )

    def _check_inner(self, own: Promise, zeta: float, biased: Sequence[Compressor]) -> None:
        """Raise OptionError for messages with which nothing of `own` could be promised."""
        told, allowed = self.inner[0].name, ""
        if any(part.variable or part.common for part in self.inner):
            allowed = "one whose messages have one length, and whose draws are its worker's own"
        elif biased and (own.omega is not None or len(self.inner) > 1 or biased[0].alpha is None):
            told = biased[0].name
            allowed = f"an unbiased compressor behind {self.name}, whose constants it multiplies"
        elif zeta > 1 and not self.orthonormal:
            allowed = f"nothing lossy behind {self.name}"
        if allowed:
            raise OptionError("compose", told, allowed)

    def remember(self, state: State) -> None:
        for number, (part, (_, count)) in enumerate(zip(self.inner, self.groups, strict=True)):
            part.remember(state.within(f"carried {number}", count))

    def prepare(self, local: int, total: int) -> None:
        sizes = [length * count for length, count in self.groups]
        self._numbers = np.empty((total, sum(sizes)), self.dtype)
        self._parts, first, at = [], 0, self.side_nbytes
        for part, (length, count), size in zip(self.inner, self.groups, sizes, strict=True):
            part.prepare(local * count, total * count)
            held, place = slice(first, first + size), slice(at, at + part.nbytes * count)
            alone = len(sizes) == 1
            vectors = self._numbers if alone else np.empty((total, size), self.dtype)
            rows = np.empty((total, count, part.nbytes), np.uint8)
            self._parts.append((part, held, place, vectors.reshape(total, count, length), rows))
            first, at = held.stop, place.stop

    def worst_choice(self) -> np.ndarray | None:
        """As `worst_case`, if the numbers travel without loss."""
        return None

    def worst_case(self) -> np.ndarray | None:
        lossless = all(inner.omega == 0 for inner in self.inner)
        return self.worst_choice() if lossless else None

    @abstractmethod
    def choose(
        self,
        x: np.ndarray,
        side: np.ndarray,
        numbers: np.ndarray,
        generators: Sequence[np.random.Generator],
    ) -> None:
        """Write each row's side information (workers, side_nbytes) and numbers (workers, k)."""

    @abstractmethod
    def restore(self, side: np.ndarray, numbers: np.ndarray, out: np.ndarray) -> None:
        """Write what they stand for into the rows of `out`; `numbers` may be overwritten.

        Raises MessageError for side information that `choose` cannot have written, such as an
        index beyond d.
        """

    def restore_sum(
        self, side: np.ndarray, numbers: np.ndarray, weights: np.ndarray, out: np.ndarray
    ) -> None:
        """Write the weighted sum of what they stand for into `out`, (d,)."""
        row = np.empty((1, out.size), out.dtype)
        out[:] = 0
        for i, weight in enumerate(weights):
            self.restore(side[i : i + 1], numbers[i : i + 1], row)
            row *= weight
            out += row[0]

    def encode(
        self, x: np.ndarray, messages: np.ndarray, generators: Sequence[np.random.Generator]
    ) -> None:
        n = len(x)
        numbers = self._numbers[:n]
        self.choose(x, messages[:, : self.side_nbytes], numbers, generators)
        for part, held, place, vectors, rows in self._parts:
            count = vectors.shape[1]
            if len(self._parts) > 1:  # else they are the numbers themselves
                vectors[:n] = numbers[:, held].reshape(vectors[:n].shape)
            each = [g for g in generators for _ in range(count)] if part.random else ()
            packed = messages[:, place] if count == 1 else rows[:n].reshape(-1, part.nbytes)
            part.encode(vectors[:n].reshape(len(packed), -1), packed, each)
            if count != 1:
                messages[:, place] = rows[:n].reshape(n, -1)

    def decode(self, messages: np.ndarray, out: np.ndarray) -> None:
        self.restore(messages[:, : self.side_nbytes], self._carried(messages), out)

    def decode_sum(self, messages: np.ndarray, weights: np.ndarray, out: np.ndarray) -> None:
        numbers = self._carried(messages)
        self.restore_sum(messages[:, : self.side_nbytes], numbers, weights, out)

    def _carried(self, messages: np.ndarray) -> np.ndarray:
        """The numbers that the messages carry, (workers, k) in the state's dtype."""
        n = len(messages)
        numbers = self._numbers[:n]
        for part, held, place, vectors, rows in self._parts:
            packed, unpacked = messages[:, place], vectors[:n].reshape(-1, vectors.shape[2])
            if vectors.shape[1] != 1:
                rows[:n] = packed.reshape(rows[:n].shape)
                packed = rows[:n].reshape(len(unpacked), -1)
            part.decode(packed, unpacked)
            if len(self._parts) > 1:
                numbers[:, held] = vectors[:n].reshape(n, -1)
        if self._shrink != 1:
            numbers[:, self._parts[-1][1]] *= self._shrink
        return numbers
