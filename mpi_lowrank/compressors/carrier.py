"""A compressor that chooses numbers, which travel in the messages of another one."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from math import prod

import numpy as np
from ml_dtypes import finfo

from mpi_lowrank.compressors.base import Compressor
from mpi_lowrank.compressors.dense import Identity
from mpi_lowrank.compressors.wires import AnyWire
from mpi_lowrank.errors import OptionError
from mpi_lowrank.rounds.state import State


class Carrier(Compressor):
    """A compressor that chooses what is sent: side information, and numbers in another's messages.

    The numbers come in `groups` of (length, count): `count` vectors of `length` numbers each. By
    default they travel as they are, in the type `wire`; `carry` puts another compressor in that
    place, applied to each vector by itself. Groups stand for factors that are multiplied: they are
    orthonormal but for one of them, so that independent unbiased errors multiply.

    Wire: `side_nbytes`, then the groups' messages. Subclasses set `groups` and `side_nbytes`,
    promise alpha or omega, call `travel_as_numbers`, and write `choose` and `restore`.
    """

    groups: tuple[tuple[int, int], ...]
    side_nbytes = 0
    orthonormal = True
    """Whether all factors but one are orthonormal, so that the variances of the groups multiply."""

    def travel_as_numbers(self, dtype: np.dtype, wire: AnyWire) -> None:
        """Let the numbers travel in the type `wire`."""
        self.dtype = np.dtype(dtype)
        self._own = self.alpha, self.omega, self.random
        self.carry(lambda length: Identity((length,), dtype, wire=wire))

    def carry(self, make: Callable[[int], Compressor]) -> None:
        """Let each vector of numbers travel as the message of make(its length).

        The constants follow, with zeta the product of 1 + omega over the groups. For an unbiased
        C_1 omega = (1 + omega_1) zeta - 1 (Horvath et al. 2019, theorem 3). A contractive C_1 is
        scaled by 1 / zeta, alpha = alpha_1 / zeta: E|C_2 C_1 / zeta - x|^2 <= (E|C_1 - x|^2 -
        |x|^2) / zeta + |x|^2. A contractive C_2 behind coordinates of x itself: alpha_1 alpha_2.
        """
        alpha, omega, random = self._own
        self.inner = [make(length) for length, _ in self.groups]
        zeta = prod(1 + inner.omega for inner in self.inner if inner.omega is not None)
        biased = [inner for inner in self.inner if inner.omega is None]
        if any(inner.variable or inner.common for inner in self.inner):
            allowed = "one whose messages have one length, and whose draws are its worker's own"
            raise OptionError("compose", self.inner[0].name, allowed)
        if biased and (omega is not None or len(self.groups) > 1 or biased[0].alpha is None):
            raise OptionError(
                "compose",
                biased[0].name,
                f"an unbiased compressor behind {self.name}, whose constants it multiplies",
            )
        if zeta > 1 and not self.orthonormal:
            raise OptionError("compose", self.inner[0].name, f"nothing lossy behind {self.name}")
        self._shrink = 1.0
        if omega is not None:
            self.promise_unbiased((1 + omega) * zeta - 1)
        elif alpha is not None:
            self._shrink = 1 / zeta
            self.alpha = (
                alpha / zeta * prod(inner.alpha for inner in biased if inner.alpha is not None)
            )
        counts = [count for _, count in self.groups]
        inner = list(zip(self.inner, counts, strict=True))
        self.nbytes = self.side_nbytes + sum(c * part.nbytes for part, c in inner)
        self.published_bits = sum(c * part.published_bits for part, c in inner)
        self.random = random or any(part.random for part in self.inner)
        self.homogeneous = all(part.homogeneous for part in self.inner)
        self.wire = max((part.wire for part in self.inner), key=lambda wire: finfo(wire).eps)

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
        """`worst_case` as long as the numbers travel as they are."""
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
        """Write what they stand for into the rows of `out`; `numbers` may be overwritten."""

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
