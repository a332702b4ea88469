"""A guarantee that speaks of every run, and does not hold in this one, makes it not valid."""

from __future__ import annotations

import numpy as np

from mpi_lowrank.rounds.state import State
from mpi_lowrank.run.loop import Observer, Verdict
from mpi_lowrank.run.rows import Row
from mpi_lowrank.run.theory import Theory


class Guarantees(Observer):
    """Holds each row against what a deterministic compressor and its method's theorem promise."""

    def __init__(self, theory: Theory, notes: State):
        self._theory, notes = theory, notes.within("guarantees")
        self._alpha, self._descent, self._bound = (
            Broken(notes, name) for name in ("alpha", "descent", "bound")
        )
        self._squares, self._allowance = notes.array("sum |grad f|^2"), notes.array("round-off")
        self._last = notes.array("last row", 3)

    def put_away(self) -> None:
        self._theory.put_away()

    def row_measured(self, row: Row) -> None:
        outcome, theorem = row.theory, self._theory.theorem
        assert outcome is not None
        if outcome.excess > 0 and self._theory.alpha is not None:
            self._alpha.note(row.done, outcome.realised_alpha, self._theory.alpha)
        if theorem is None or not theorem.certain:
            return
        if np.isfinite(row.measures.loss):
            self._compare(row, theorem.gamma / 2)
        self._squares += row.measures.grad_norm_sq

    def _compare(self, row: Row, half: float) -> None:
        """The Lyapunov function has fallen by what it should; so it never rises.

        Counted are those rounds that have a row, and round-off that rounds add to it.
        """
        assert row.theory is not None
        owed, psi = half * self._squares.item(), row.theory.lyapunov
        done, before, round_off = self._last.tolist()
        if row.done > 0:
            allowance = (row.done - done) * max(round_off, row.theory.round_off)
            self._allowance += allowance
            if psi + owed > before + allowance:
                self._descent.note(row.done, psi + owed, before)
            if owed > self._theory.start + self._allowance.item():
                self._bound.note(row.done, owed / half, self._theory.start / half)
        self._last[:] = row.done, psi + owed, row.theory.round_off

    def case_ended(self, verdict: Verdict) -> None:
        verdict.reasons += self._alpha.told(
            "the compressor contracts less than it promises: 1 - |C(v) - v|^2 / |v|^2 is {:.6g} "
            "for a worker's last message after round {}, alpha {:.6g}"
        )
        verdict.reasons += self._descent.told(
            "the Lyapunov function does not fall as the method's theorem says: with gamma/2 |grad "
            "f|^2 of the rows before it is {:.9g} after round {}, was {:.9g}"
        )
        verdict.reasons += self._bound.told(
            "the method's theorem does not hold: sum |grad f|^2 is {:.6g} before round {}, at most "
            "{:.6g} is promised"
        )


class Broken:
    """Where a guarantee was broken first: after how many rounds, what was measured and promised."""

    def __init__(self, notes: State, name: str):
        self._first = notes.array(name, 3)

    def note(self, done: int, measured: float, promised: float) -> None:
        if not self._first[0]:
            self._first[:] = done, measured, promised

    def told(self, text: str) -> list[str]:
        """The reason, of measured, round and promised; none where it was kept."""
        done, measured, promised = self._first.tolist()
        return [text.format(measured, int(done) - 1, promised)] if done else []
