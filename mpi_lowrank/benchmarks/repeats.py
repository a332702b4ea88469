"""Repeating a measurement until its median is known, on all ranks alike."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from mpi_lowrank.benchmarks.interval import interval, uncertainty
from mpi_lowrank.door import Transport

WITHIN = 0.05
"""Medians are known when their interval reaches no further, in medians."""


class Limits(NamedTuple):
    """Where repeating ends though medians are not known; `least` repeats come before they can be.

    `seconds` are those that all repeats take, what is between them included.
    """

    repeats: int = 1000
    seconds: float = 2.0
    least: int = 6


@dataclass(frozen=True)
class Samples:
    """Seconds by part, a sample per repeat, the slowest rank's; `until`: what ended the repeats.

    That is `interval`, `seconds` or `repeats`.
    """

    seconds: Mapping[str, np.ndarray]
    until: str

    def median(self, part: str) -> float:
        return float(np.median(self.seconds[part]))

    def told(self, part: str, name: str = "") -> dict[str, Any]:
        """The part's median, its interval, and percentiles, as a row has them."""
        taken, before = self.seconds[part], f"{name}_" if name else ""
        low, high = interval(taken) or (None, None)
        p50, p95, p99 = np.percentile(taken, (50, 95, 99)).tolist()
        found = {"p50": p50, "p95": p95, "p99": p99, "low": low, "high": high}
        return {f"{before}{key}_seconds": value for key, value in found.items()}

    def ending(self, *parts: str) -> dict[str, Any]:
        """How many repeats there were, what ended them, and how well the medians are known."""
        worst = max(uncertainty(self.seconds[part]) for part in parts or self.seconds)
        count = len(next(iter(self.seconds.values())))
        return {"repeats": count, "until": self.until, "uncertainty": worst}


def repeat(
    transport: Transport,
    parts: Sequence[str],
    once: Callable[[], Sequence[float]],
    limits: Limits,
    deciding: int | None = None,
) -> Samples:
    """Collective: call `once` again and again; it returns this rank's seconds by part.

    The medians of the first `deciding` parts, or of all, must be known. All ranks see the same
    samples, the slowest rank's, and the slowest rank's clock: so they end together. That repeats
    end by what was seen costs the interval little, since it is looked at only each time that their
    number has doubled.
    """
    taken, spent, until = np.empty((0, len(parts))), 0.0, ""
    while not until:
        mine, began = [], perf_counter()
        for _ in range(_batch(len(taken), spent, limits)):
            mine.append(once())
        batch, elapsed = _slowest(transport, np.array(mine, float), perf_counter() - began)
        taken, spent = np.concatenate((taken, batch)), spent + elapsed
        until = _ended(taken[:, :deciding], spent, limits)
    return Samples(dict(zip(parts, taken.T.copy(), strict=True)), until)


def _batch(count: int, spent: float, limits: Limits) -> int:
    """As many as there were, so that agreements stay few, but none for which no time is left."""
    if count == 0:
        return 1
    fit = int((limits.seconds - spent) / spent * count) if spent > 0 else count
    return max(1, min(count, fit, limits.repeats - count))


def _slowest(transport: Transport, mine: np.ndarray, elapsed: float) -> tuple[np.ndarray, float]:
    sent = np.append(mine, elapsed)
    most = np.empty_like(sent)
    transport.allreduce(sent, most, "max")
    return most[:-1].reshape(mine.shape), float(most[-1])


def _ended(taken: np.ndarray, spent: float, limits: Limits) -> str:
    if len(taken) >= limits.least and all(uncertainty(part) <= WITHIN for part in taken.T):
        return "interval"
    if len(taken) >= limits.repeats:
        return "repeats"
    return "seconds" if spent >= limits.seconds else ""
