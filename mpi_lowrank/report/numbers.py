"""Numbers in a form that people can read, or JSON."""

import math
from typing import Any


def finite(value: object) -> Any:
    """`value`, with None for each float in it that JSON has no word for (NaN, an infinity)."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list):
        return [finite(item) for item in value]
    return {key: finite(item) for key, item in value.items()} if isinstance(value, dict) else value


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
