"""The method's own clock: where a round's seconds go."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

METHOD = ("gradient", "compress", "exchange", "decode", "update")
"""The phases of a round. `update` is the method's own arithmetic: what no other phase claims."""


class Clock:
    """Seconds by phase. It runs between `resume` and `pause`; evaluation is timed apart."""

    def __init__(self):
        self.seconds = dict.fromkeys((*METHOD, "evaluate"), 0.0)
        self._last = 0.0

    def resume(self) -> None:
        self._last = perf_counter()

    def lap(self, phase: str) -> None:
        """Charge the time since the last lap to `phase`."""
        now = perf_counter()
        self.seconds[phase] += now - self._last
        self._last = now

    def charge(self, phase: str, seconds: float) -> None:
        """Charge `phase` these seconds in place of the time since the last lap."""
        self.seconds[phase] += seconds
        self._last = perf_counter()

    def pause(self) -> None:
        self.lap("update")

    @contextmanager
    def evaluation(self) -> Iterator[None]:
        """Time the block as evaluation, outside the method's clock."""
        began = perf_counter()
        yield
        self.seconds["evaluate"] += perf_counter() - began

    def total(self) -> float:
        """Seconds of the method, evaluation left out."""
        return sum(self.seconds[phase] for phase in METHOD)
