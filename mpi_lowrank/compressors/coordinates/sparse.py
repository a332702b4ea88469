"""Compressors that keep k of d coordinates: values and their indices."""

from abc import abstractmethod
from dataclasses import replace
from math import ceil, sqrt
from typing import Any, Literal

import numpy as np

from mpi_lowrank.component import option
from mpi_lowrank.compressors import compressors
from mpi_lowrank.compressors.base import Promise
from mpi_lowrank.compressors.composed.carrier import Carrier, Groups
from mpi_lowrank.compressors.wire.bits import BitFields, bits_for
from mpi_lowrank.compressors.wire.messages import MessageError
from mpi_lowrank.errors import OptionError


class Sparsifier(Carrier):
    """A message holds k indices of ceil(log2 d) bits and k values. Subclasses choose the indices.

    Wire: ceil(k ceil(log2 d) / 8) bytes and k numbers.
    """

    family = "some coordinates"
    factor = 1.0
    """What the kept values are multiplied by."""
    k: int = option()

    def coordinates(self, **constants: Any) -> tuple[Groups, Promise]:
        """What `chosen` returns for k coordinates, with the promise of these constants."""
        if not 1 <= self.k <= self.d:
            raise OptionError("k", self.k, f"an integer from 1 to d = {self.d}")
        self._indices = BitFields(self.k, bits_for(self.d))
        return ((self.k, 1),), Promise(self._indices.nbytes, 0, **constants)

    def prepare(self, local, total):
        super().prepare(local, total)
        self._indices.prepare(total)
        self._sent = np.empty((total, self.k), self._indices.dtype)
        self._positions = np.empty((total, self.k), np.intp)
        self._offsets = np.arange(total)[:, np.newaxis] * self.d

    @abstractmethod
    def select(self, x: np.ndarray, generators) -> np.ndarray:
        """The coordinates to keep, (workers, k) int64, increasing along a row."""

    def choose(self, x, side, numbers, generators):
        n, coordinates = len(x), self.select(x, generators)
        self._sent[:n] = coordinates
        self._indices.pack(self._sent[:n], side)
        positions = np.add(coordinates, self._offsets[:n], out=self._positions[:n])
        x.reshape(-1).take(positions, out=numbers, mode="clip")
        numbers *= self.factor

    def restore(self, side, numbers, out):
        positions = self._coordinates_of(side)
        positions += self._offsets[: len(side)]
        out[...] = 0
        out.reshape(-1)[positions] = numbers

    def restore_sum(self, side, numbers, weights, out):
        positions = self._coordinates_of(side)
        numbers *= weights[:, np.newaxis]
        out[:] = 0
        np.add.at(out, positions.reshape(-1), numbers.reshape(-1))

    def _coordinates_of(self, side):
        n = len(side)
        self._indices.unpack(side, self._sent[:n])
        positions = self._positions[:n]
        positions[...] = self._sent[:n]
        falling = (positions[:, 1:] <= positions[:, :-1]).any()
        if n and (falling or positions[:, -1].max() >= self.d):
            raise MessageError(
                f"{self.name}: indices are below d = {self.d} and increase; these do not"
            )
        return positions


SAMPLED = 2**14
"""Numbers from which on `largest` first takes a sample."""

_SAMPLE = 2**12
"""At least so many numbers in it."""

_PIECE = 2**15
"""Numbers that are compared at a time."""


def largest(magnitudes: np.ndarray, k: int) -> np.ndarray:
    """Where the k largest of `magnitudes` (d,) are, increasing; of equal ones the first.

    A sample tells a number that nearly always at least k and not many more exceed: to choose among
    these takes a fraction of the time of partitioning all. If fewer do, all are partitioned.
    """
    places = _reached(magnitudes, _exceeded(magnitudes, k))
    if len(places) < k:
        places = np.arange(len(magnitudes))
    values = magnitudes[places]
    threshold = np.partition(values, len(values) - k)[-k]
    kept = values >= threshold
    spare = k - np.count_nonzero(values > threshold)
    kept[np.flatnonzero(values == threshold)[spare:]] = False
    return places[kept]


def _exceeded(magnitudes: np.ndarray, k: int) -> float:
    """By a sample, a number that k of `magnitudes` reach but for four standard deviations."""
    sample = magnitudes[:: max(1, len(magnitudes) // _SAMPLE)]
    mean = k * len(sample) / len(magnitudes)
    rank = ceil(mean + 4 * sqrt(mean)) + 8
    return 0 if rank >= len(sample) else np.partition(sample, len(sample) - rank)[-rank]


def _reached(magnitudes: np.ndarray, bound: float) -> np.ndarray:
    """Where `magnitudes` are at least `bound`, compared in pieces: no mask of all of them."""
    pieces = range(0, len(magnitudes), _PIECE)
    return np.concatenate([np.flatnonzero(magnitudes[i : i + _PIECE] >= bound) + i for i in pieces])


@compressors.register("topk")
class TopK(Sparsifier):
    """The k coordinates of largest magnitude; of equal ones, those of lowest index.

    alpha = k/d, attained at flat vectors (Stich, Cordonnier, Jaggi 2018).
    """

    examples = (
        "k=8",
        "k=8+natural",
        "k=8+natural_dithering:levels=4",
        "k=8+exponential_rounding:base=4.0,rounding=nearest",
        "k=20+randk:k=5+natural",
    )

    def chosen(self):
        return self.coordinates(alpha=self.k / self.d)

    def prepare(self, local, total):
        super().prepare(local, total)
        self._magnitudes = np.empty((local, self.d), self.dtype)
        self._ordered = np.empty_like(self._magnitudes)
        self._mask = np.empty((local, self.d), bool)

    def worst_choice(self):
        return np.ones(self.d)

    def select(self, x, generators):
        n = len(x)
        magnitudes = np.abs(x, out=self._magnitudes[:n])
        if self.k == 1:
            return magnitudes.argmax(axis=1)[:, np.newaxis]
        if self.d >= SAMPLED:
            return np.array([largest(row, self.k) for row in magnitudes])
        ordered, mask = self._ordered[:n], self._mask[:n]
        np.copyto(ordered, magnitudes)
        ordered.partition(self.d - self.k, axis=1)
        threshold = ordered[:, self.d - self.k, np.newaxis]
        np.greater_equal(magnitudes, threshold, out=mask)
        if np.count_nonzero(mask) > n * self.k:
            self._drop_late_ties(magnitudes, threshold, mask)
        return (np.flatnonzero(mask) % self.d).reshape(n, self.k)

    def _drop_late_ties(self, magnitudes, threshold, mask):
        """Of the coordinates at the threshold keep the first ones, so that a row keeps k."""
        tied = magnitudes == threshold
        spare = self.k - np.count_nonzero(magnitudes > threshold, axis=1)
        mask &= ~tied | (np.cumsum(tied, axis=1) <= spare[:, np.newaxis])


@compressors.register("randk")
class RandK(Sparsifier):
    """k coordinates that each worker draws for itself, uniformly and without replacement.

    `scale = "contractive"` keeps the values: alpha = k/d, with equality for every x.
    `scale = "unbiased"` multiplies them by d/k: omega = d/k - 1, with equality for every x.
    """

    examples = ("k=8", "k=8,scale=unbiased", "k=8,scale=unbiased+natural")
    scale: Literal["contractive", "unbiased"] = option("contractive")

    def chosen(self):
        if self.scale == "contractive":
            return self.coordinates(alpha=self.k / self.d, random=True)
        groups, promise = self.coordinates(random=True)
        self.factor = self.d / self.k
        return groups, replace(promise, omega=self.factor - 1)

    def prepare(self, local, total):
        super().prepare(local, total)
        self._coordinates = np.empty((local, self.k), np.int64)

    def worst_choice(self):
        return np.arange(1.0, self.d + 1)

    def select(self, x, generators):
        rows = self._coordinates[: len(x)]
        for row, generator in zip(rows, generators, strict=True):
            row[:] = generator.choice(self.d, self.k, replace=False, shuffle=False)
        rows.sort(axis=1)
        return rows
