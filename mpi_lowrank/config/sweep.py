"""The cross product of the lists in a case of a configuration."""

import itertools
from collections.abc import Iterator

from mpi_lowrank.errors import OptionError


def sweep(table: dict) -> Iterator[dict]:
    """The cross product of all lists in a case.

    A shape such as [m, c] and the stages of a composition are one value, a list of them is a sweep.
    """
    axes = [[(path, value) for value in values] for path, values in _lists(table, ())]
    if not axes:
        yield table
        return
    for point in itertools.product(*axes):
        yield from sweep(_at(table, dict(point)))  # a table in a list may hold lists of its own


def _at(table: dict, point: dict[tuple[str, ...], object], path: tuple[str, ...] = ()) -> dict:
    """The table with one value in the place of each list."""
    chosen = {}
    for key, value in table.items():
        here = (*path, key)
        inner = _at(value, point, here) if isinstance(value, dict) else value
        chosen[key] = point.get(here, inner)
    return chosen


def _lists(table: dict, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], list]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _lists(value, (*path, key))
        elif isinstance(value, list) and not _is_one_value(key, value):
            if not value:
                raise OptionError(".".join((*path, key)), value, "one value or more")
            yield (*path, key), value


def _is_one_value(key: str, value: list) -> bool:
    kinds = {"shape": int, "compose": str}
    return key in kinds and all(isinstance(item, kinds[key]) for item in value)
