"""How far a run is: a bar on a terminal, a line every 30 s elsewhere; on rank 0 only."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from tqdm import tqdm

if TYPE_CHECKING:
    from mpi_lowrank.evaluation import Measures

EVERY = 30.0
"""Seconds between two lines of a log."""

LAUNCHERS = ("mpirun", "mpiexec", "mpiexec.hydra", "hydra_pmi_proxy", "prterun", "orterun")


def terminal() -> TextIO | None:
    """The terminal on which the user watches the run, open for writing; None if there is none.

    A launcher passes its ranks' output through pipes, in a session of their own: the terminal is
    the standard error of the launcher, if that is on this machine.
    """
    if sys.stderr.isatty():
        return sys.stderr
    launcher = None
    process = os.getppid()
    while _name(process) in LAUNCHERS:
        launcher, process = process, _parent(process)
    try:
        path = os.readlink(f"/proc/{launcher}/fd/2")
        return open(path, "w") if path.startswith(("/dev/pts/", "/dev/tty")) else None
    except OSError:
        return None


def _name(process: int) -> str:
    try:
        return Path(f"/proc/{process}/comm").read_text().strip()
    except OSError:
        return ""


def _parent(process: int) -> int:
    # The name, in brackets, may hold spaces; the parent is the second field behind it.
    return int(Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[1])


class Progress:
    """The progress of a sweep. `screen` is where a bar goes, if anywhere."""

    def __init__(self, cases: int, screen: TextIO | None, silent: bool):
        self.cases = cases
        self._screen, self._silent = screen, silent
        self._bar: tqdm | None = None
        self._due = time.monotonic() + EVERY

    @contextmanager
    def case(self, number: int, label: str, rounds: int) -> Iterator[None]:
        """Show case `number`, counted from 0, while the block carries it out."""
        self._label, self._rounds = f"[{number + 1}/{self.cases}] {label}", rounds
        if self._screen and not self._silent:
            self._bar = tqdm(
                total=rounds, desc=self._label, unit="round", leave=False, file=self._screen
            )
        try:
            yield
        finally:
            if self._bar:
                self._bar.close()

    def show(self, done: int, measures: Measures) -> None:
        """Say that `done` rounds are over and what the model measured last."""
        if self._bar:
            self._bar.update(done - self._bar.n)
            self._bar.set_postfix_str(f"|grad|^2 {measures.grad_norm_sq:.1e}", refresh=False)
        elif not self._silent and time.monotonic() >= self._due:
            self._due = time.monotonic() + EVERY
            text = f"{self._label}: round {done} of {self._rounds}"
            text += f", loss {measures.loss:.6g}" if measures.whole else ""
            text += f", |grad|^2 {measures.grad_norm_sq:.2e}"
            with suppress(OSError):  # the log may be on a disk that is full: the run goes on
                print(text, file=sys.stderr, flush=True)
