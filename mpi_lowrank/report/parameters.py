"""What a case was run with: every option of its configuration, those at their defaults too."""

import json
from typing import Any

from mpi_lowrank.record import Case
from mpi_lowrank.report.numbers import finite
from mpi_lowrank.text.spelling import spell

NOT_OPTIONS = {"code", "ranks"}
"""What the numbers of a case depend on besides its options."""


def parameters(case: Case) -> dict[str, Any]:
    """The options by their names in a configuration: `workers`, `method`, `problem.lambda`.

    JSON-ready. Empty where the record has none, or where they are damaged.
    """
    try:
        told = json.loads(str(case.attributes.get("key")))
        return finite(_flat(told, "")) if isinstance(told, dict) else {}
    except (ValueError, RecursionError):
        return {}


def _flat(told: dict[str, Any], within: str) -> dict[str, Any]:
    """Tables as names with dots; a component's own name stands for itself."""
    flat: dict[str, Any] = {}
    for key, value in told.items():
        name = within if key == "name" and within else f"{within}.{key}".lstrip(".")
        if isinstance(value, dict):
            flat |= _flat(value, name)
        elif name not in NOT_OPTIONS:
            flat[name] = value
    return {name: value for name, value in flat.items() if name.split(".")[0] not in NOT_OPTIONS}


def spelled(value: object) -> str:
    """An option's value as people write it: 7x16 for a shape, "-" for none."""
    if value is None:
        return "-"
    return spell(tuple(value) if isinstance(value, list) else value)
