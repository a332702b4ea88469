"""An exchange that remembers what its last call was given, for who compares it with what came."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from mpi_lowrank.compressors.base import Operator
from mpi_lowrank.exchange.exchange import Exchange
from mpi_lowrank.rounds.state import State


class Witness(NamedTuple):
    """The last call, through the case's own compressor C."""

    vectors: np.ndarray
    """The v of the local workers, (workers, d). Where C is Allreduced, what each one adds to the
    mean of all v."""
    heard: np.ndarray
    """C(v), (workers, d). Where C is Allreduced, that of the mean, (d,)."""
    spoke: np.ndarray
    """Who sent, (workers,) bool."""

    @classmethod
    def kept_in(cls, notes: State, compressor: Operator, dtype: np.dtype) -> Witness:
        """Its arrays, new ones of the case's notes."""
        one_or_rows = notes.array if compressor.shared else notes.rows
        return cls(
            vectors=notes.rows("v", compressor.d, dtype),
            heard=one_or_rows("C(v)", compressor.d, dtype),
            spoke=notes.rows("spoke", (), bool),
        )


class Witnessed(Exchange):
    """Results are those of an Exchange; copies are made outside the method's clock.

    A mean is formed before it is added, where an Exchange adds while it forms it.
    """

    def __init__(self, *ways: Any, notes: State):
        super().__init__(*ways)
        self._notes, self._heard = notes.within("exchange"), True

    def prepare(self, compressor, name="uplink"):
        super().prepare(compressor, name)
        if name == "uplink":
            self._watched = compressor
            self._witness = Witness.kept_in(self._notes, compressor, self.dtype)
            self._seen = self._notes.array("seen", (), bool)

    def __call__(self, x, compressor, weights=None, active=None, own=True, share=True, add_to=None):
        if compressor is not self._watched:
            return super().__call__(x, compressor, weights, active, own, share, add_to)
        with self._aside():
            self._keep(x, weights, active)
        given, mean = super().__call__(x, compressor, weights, active, own, share)
        if compressor.shared:
            with self._aside():
                self._witness.heard[:] = mean
        if add_to is None:
            return given, mean
        add_to += mean
        return given, add_to

    @property
    def operators(self) -> list[Operator]:
        """All that was prepared, for either way."""
        return [*self._channels, *self._broadcasts]

    def witness(self) -> Witness | None:
        """The last call; None before the first one. Holds until the next one."""
        self.put_away()
        return self._witness if self._seen else None

    def put_away(self) -> None:
        """Decode what is not decoded yet: it is part of the case's notes."""
        if not self._heard:
            heard = self.heard(self._watched)
            if heard is not None:
                self._witness.heard[:] = heard
            self._heard = True

    def _keep(self, x, weights, active):
        vectors, _, spoke = self._witness
        vectors[:], spoke[:] = x, True if active is None else active[self.placement.workers]
        if self._watched.shared:
            total, workers = self.placement.total, self.placement.workers
            each = 1 / total if weights is None else weights[workers, np.newaxis]
            vectors *= spoke[:, np.newaxis] * each
        self._seen[()], self._heard = True, False

    @contextmanager
    def _aside(self) -> Iterator[None]:
        """Nobody's time."""
        self.clock.lap("update")
        with self.clock.stopped():
            yield
            self.clock.lap("update")
