"""Ctrl-C, scancel and kill: the run ends at its next evaluation, on all ranks together."""

import signal


class Interruption:
    """Whether somebody asked this rank to stop.

    A rank inside an MPI call cannot act on a signal, and one that acts alone leaves the others
    waiting; so the wish is noted, and ranks agree on it. A second signal raises KeyboardInterrupt.
    """

    def __init__(self):
        self.wished = False

    def install(self) -> None:
        """Take over SIGINT and SIGTERM."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._note)

    def _note(self, number: int, frame: object) -> None:
        if self.wished:
            raise KeyboardInterrupt
        self.wished = True
