"""Numbers in a form that people can read, or JSON."""

import math
from collections.abc import Iterable
from typing import Any

BYTE_UNITS = {"B": 1.0, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}


def finite(value: object) -> Any:
    """`value`, with None for each float in it that JSON has no word for (NaN, an infinity)."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list):
        return [finite(item) for item in value]
    return {key: finite(item) for key, item in value.items()} if isinstance(value, dict) else value


def byte_unit(values: Iterable[float | None]) -> str:
    """The largest decimal unit in which the smallest positive of `values` is at least 1.

    A column then needs no exponents. Where values span more than 1e5 the largest decides.
    """
    positive = [value for value in values if value]
    if not positive:
        return "MB"
    least = max(min(positive), max(positive) / 1e5)
    return max((unit for unit in BYTE_UNITS if BYTE_UNITS[unit] <= least), default="B", key=_size)


def short(value: float | None, digits: int = 3) -> str:
    """`value` to `digits` significant digits; with an exponent only where it would be too wide.

    "-" for None.
    """
    if value is None:
        return "-"
    if value == 0:
        return "0"
    if not 1e-6 <= abs(value) < 1e9:
        return f"{value:.{digits - 1}e}"
    decimals = digits - 1 - math.floor(math.log10(abs(value)))
    return f"{value:.{max(decimals, 0)}f}"


def _size(unit: str) -> float:
    return BYTE_UNITS[unit]
