"""A guarantee that speaks of every run, and does not hold in this one, makes it not valid."""

from __future__ import annotations

import numpy as np

from mpi_lowrank.rounds.state import State
from mpi_lowrank.run.loop import Observer, Verdict
from mpi_lowrank.run.rows import Row
from mpi_lowrank.run.theorems import Linear
from mpi_lowrank.run.theory import Outcome, Theory


class Guarantees(Observer):
    """Holds each row against what a deterministic compressor and its method's theorems promise."""

    def __init__(self, theory: Theory, notes: State):
        self._theory, notes = theory, notes.within("guarantees")
        self._alpha, self._descent, self._bound, self._linear = (
            Broken(notes, name) for name in ("alpha", "descent", "bound", "linear")
        )
        self._squares, self._allowance = notes.array("sum |grad f|^2"), notes.array("round-off")
        self._last, self._last_linear = notes.array("last row", 3), notes.array("last linear", 3)

    def put_away(self) -> None:
        self._theory.put_away()

    def row_measured(self, row: Row) -> None:
        outcome, (descent, linear) = row.theory, self._theory.theorems
        assert outcome is not None
        if outcome.excess > 0 and self._theory.alpha is not None:
            self._alpha.note(row.done, outcome.realised_alpha, self._theory.alpha)
        whole = np.isfinite(row.measures.loss)
        if linear is not None and linear.certain and whole:
            self._compare_linear(row.done, outcome, linear)
        if descent is None or not descent.certain:
            return
        if whole:
            self._compare(row.done, outcome, descent.gamma / 2)
        self._squares += row.measures.grad_norm_sq

    def _compare(self, now: int, outcome: Outcome, half: float) -> None:
        """The Lyapunov function has fallen by what it should; so it never rises.

        Counted are those rounds that have a row, and round-off that rounds add to it.
        """
        owed, psi, mine = half * self._squares.item(), outcome.lyapunov, outcome.allowances[0]
        done, before, round_off = self._last.tolist()
        if now > 0:
            allowance = (now - done) * max(round_off, mine)
            self._allowance += allowance
            if psi + owed > before + allowance:
                self._descent.note(now, psi + owed, before)
            if owed > self._theory.start + self._allowance.item():
                self._bound.note(now, owed / half, self._theory.start / half)
        self._last[:] = now, psi + owed, mine

    def _compare_linear(self, now: int, outcome: Outcome, linear: Linear) -> None:
        """That of the linear rate has shrunk by as many factors as there were rounds."""
        psi, mine = outcome.linear_lyapunov, outcome.allowances[1]
        done, before, round_off = self._last_linear.tolist()
        promised = before * linear.factor ** (now - done)
        if now > 0 and psi > promised + (now - done) * max(round_off, mine):
            self._linear.note(now, psi, promised)
        self._last_linear[:] = now, psi, mine

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
        verdict.reasons += self._linear.told(
            "the method's theorem of a linear rate does not hold: its Lyapunov function is {:.9g} "
            "after round {}, at most {:.9g} is promised"
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
