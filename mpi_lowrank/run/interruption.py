"""Ctrl-C, scancel and kill: what a signal means before a run, during it, and the second time."""

import signal
import time

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)

ECHO = 1.0
"""Seconds in which further signals are the same request: launcher and Slurm may both pass it on."""


class StopAgreed(Exception):
    """All ranks have agreed to stop before a case's first round."""


class Interruption:
    """Whether somebody asked this rank to stop.

    Until `install`, while there is nothing to lose, a signal ends the process at once. From then on
    it is noted: a rank inside an MPI call cannot act on a signal, and one that acts alone leaves
    the others waiting, so ranks agree on it. A second signal raises KeyboardInterrupt.
    """

    def __init__(self):
        self._since: float | None = None

    def install(self) -> None:
        """Note SIGINT, SIGTERM and SIGUSR1 from here on."""
        for number in SIGNALS:
            signal.signal(number, self._note)

    def wished(self) -> bool:
        return self._since is not None

    def _note(self, number: int, frame: object) -> None:
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        if now - self._since > ECHO:
            for other in SIGNALS:  # what is left to do, writing the record, is done in peace
                signal.signal(other, signal.SIG_IGN)
            raise KeyboardInterrupt


def end_at_once() -> None:
    """Let Ctrl-C end the process as the other signals do, without a traceback."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
