"""What a case had spent by each of its rows, and what it took to a target."""

import numpy as np

from mpi_lowrank.record.reader import Case

METHODS_OWN = (b"uplink", b"downlink")
"""The purposes of a method's own calls; the others are setup, evaluation, control."""


def spent(case: Case, cost: str) -> np.ndarray:
    """One of COSTS by each row (rows,): rounds, seconds, or bytes per worker."""
    names = {"rounds": ["round"], "total_bytes": ["uplink_bytes", "downlink_bytes"]}
    first, *more = [case[name] for name in names.get(cost, [cost])]
    return first + more[0] if more else first


def of_rounds(ledger: np.ndarray) -> np.ndarray:
    """The method's own calls in its rounds."""
    own: np.ndarray = ledger[np.isin(ledger["purpose"], METHODS_OWN) & (ledger["round"] >= 0)]
    return own


def arrival(case: Case, metric: str, value: float) -> int | None:
    """The first row in which the metric has reached the value; None if none has."""
    if metric not in case.metrics:
        return None
    met = case.metrics[metric].reached(case[metric], value)
    return int(np.argmax(met)) if np.any(met) else None
