"""How far a run is: a bar on a terminal, a line every 30 s elsewhere; on rank 0 only."""

import sys
import time

from tqdm import tqdm

EVERY = 30.0
"""Seconds between two lines of a log."""


class Progress:
    """The progress of one case; a context manager."""

    def __init__(self, label: str, number: int, cases: int, rounds: int, root: bool):
        self.label, self.rounds = f"[{number + 1}/{cases}] {label}", rounds
        self._root, self._terminal = root, root and sys.stderr.isatty()
        self._bar: tqdm | None = None

    def __enter__(self) -> "Progress":
        self._due = time.monotonic() + EVERY
        if self._terminal:
            self._bar = tqdm(total=self.rounds, desc=self.label, unit="round", leave=False)
        return self

    def __exit__(self, *_) -> None:
        if self._bar:
            self._bar.close()

    def show(self, done: int, measures) -> None:
        """Say that `done` rounds are over and what the model measures."""
        if self._bar:
            self._bar.update(done - self._bar.n)
            self._bar.set_postfix_str(f"|grad|^2 {measures.grad_norm_sq:.1e}", refresh=False)
        elif self._root and time.monotonic() >= self._due:
            self._due += EVERY
            text = f"{self.label}: round {done} of {self.rounds}, loss {measures.loss:.6g}"
            print(f"{text}, |grad|^2 {measures.grad_norm_sq:.2e}", file=sys.stderr, flush=True)
