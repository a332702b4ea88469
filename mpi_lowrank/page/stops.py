"""The targets at which the page's slider stops, and the one at which it begins."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from matplotlib.ticker import MaxNLocator

from mpi_lowrank.errors import UserError
from mpi_lowrank.record import THEORY, Case, Metric, Record
from mpi_lowrank.report.parameters import parameters
from mpi_lowrank.report.table import Target, all_metrics, is_recorded

MOST = 45
"""Stops of one metric."""
SPAN = 30
"""Values that span more than this factor have stops in decades."""
FIRST = "grad_norm_sq"


def shown_metrics(cases: Sequence[Case]) -> dict[str, Metric]:
    """What the page has curves and targets of: all that was recorded, but for theorems' columns."""
    told = all_metrics(cases).items()
    return {
        name: metric
        for name, metric in told
        if name not in THEORY and any(is_recorded(case, name) for case in cases)
    }


def first_target(records: list[Record]) -> Target:
    """The value at which most cases stop; else the hardest stop that half of the cases reach."""
    cases = [case for record in records for case in record.cases.values()]
    asked = Counter(stop for case in cases for stop in _asked(case))
    metrics = shown_metrics(cases)
    for (name, value), _ in asked.most_common():
        if name in metrics:
            return name, value
    if not metrics:
        paths = ", ".join(str(record.path) for record in records)
        raise UserError(f"{paths}: no metric is recorded yet")
    metric = metrics.get(FIRST) or next(iter(metrics.values()))
    reached = np.median(_bests(metric, cases))
    found = stops(metric, cases)
    return metric.name, next((s for s in reversed(found) if metric.reached(reached, s)), found[0])


def _asked(case: Case) -> list[Target]:
    """The targets at which the case was to stop."""
    told = parameters(case).items()
    stops = [(key.removeprefix("stop."), v) for key, v in told if key.startswith("stop.")]
    return [(name, float(v)) for name, v in stops if isinstance(v, int | float)]


def stops(metric: Metric, cases: Sequence[Case], more: Sequence[float] = ()) -> list[float]:
    """Round numbers between where cases began and the best they reached, and `more`.

    The easiest comes first.
    """
    values = np.array(_bests(metric, cases) + _starts(metric, cases))
    values = values[np.isfinite(values)]
    low, high = (values.min(), values.max()) if len(values) else (0.0, 0.0)
    between = _decades(low, high) if in_decades(metric, low, high) else _even(low, high)
    inside = [value for value in between if low <= value <= high]
    return sorted({*inside, *more} or {float(high)}, reverse=metric.falls)


def in_decades(metric: Metric, low: float, high: float) -> bool:
    wide = metric.scale == "plain" and high > SPAN * low
    return low > 0 and (metric.scale == "decades" or wide)


def _decades(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten; powers alone where those would be too many."""
    powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    digits = (1, 2, 5) if 3 * len(powers) <= MOST else (1,)
    return [float(f"{digit}e{power}") for power in powers[:MOST] for digit in digits]


def _even(low: float, high: float) -> list[float]:
    ticks = MaxNLocator(MOST, steps=[1, 2, 5, 10]).tick_values(low, high)
    return [float(f"{tick:.10g}") for tick in ticks]


def _bests(metric: Metric, cases: Sequence[Case]) -> list[float]:
    return [metric.best(case[metric.name]) for case in cases if is_recorded(case, metric.name)]


def _starts(metric: Metric, cases: Sequence[Case]) -> list[float]:
    columns = [case[metric.name] for case in cases if is_recorded(case, metric.name)]
    return [float(column[~np.isnan(column)][0]) for column in columns]
