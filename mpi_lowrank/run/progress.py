"""How far a sweep is: a bar on a terminal, a line every 30 s elsewhere; on rank 0 only."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from tqdm import tqdm

from mpi_lowrank.run.loop import Observer
from mpi_lowrank.run.rows import Row

EVERY = 30.0
"""Seconds between two lines of a log."""


class Progress(Observer):
    """The progress of a sweep. `screen`: where a bar is drawn; None: nowhere."""

    def __init__(self, cases: int, screen: TextIO | None, silent: bool):
        self.cases = cases
        self._screen, self._silent = screen, silent
        self._bar: tqdm | None = None
        self._due = time.monotonic() + EVERY
        self._began: tuple[float, int] | None = None
        """The second and the case with which this run began: earlier ones were there already."""

    @contextmanager
    def case(self, number: int, label: str, rounds: int) -> Iterator[Observer]:
        """Show case `number`, counted from 0, while the block carries it out.

        The cases of one search for a step have one number.
        """
        self._label, self._rounds = f"[{number + 1}/{self.cases}] {label}", rounds
        self._number, self._began = number, self._began or (time.monotonic(), number)
        if self._screen and not self._silent:
            self._bar = tqdm(
                total=rounds, desc=self._label, unit="round", leave=False, file=self._screen
            )
        try:
            yield self
        finally:
            if self._bar:
                self._bar.close()

    def row_measured(self, row: Row) -> None:
        """Say how many rounds are over and what the model measured last."""
        done, measures = row.done, row.measures
        if done == 0:
            return
        if self._bar:
            self._bar.update(done - self._bar.n)
            text = f"|grad|^2 {measures.grad_norm_sq:.1e}, all cases {self._left(done)}"
            self._bar.set_postfix_str(text, refresh=False)
        elif not self._silent and time.monotonic() >= self._due:
            self._due = time.monotonic() + EVERY
            text = f"{self._label}: round {done} of {self._rounds}"
            text += f", loss {measures.loss:.6g}" if measures.whole else ""
            text += f", |grad|^2 {measures.grad_norm_sq:.2e}, all cases {self._left(done)}"
            with suppress(OSError):  # the log may be on a disk that is full: the run goes on
                print(text, file=sys.stderr, flush=True)

    def _left(self, done: int) -> str:
        """The time until the last case ends, if all cases take what those so far did."""
        assert self._began
        second, first = self._began
        share = (self._number - first + done / self._rounds) / (self.cases - first)
        left = (time.monotonic() - second) * (1 - share) / share
        return f"{tqdm.format_interval(left)} left"
