"""The cross product of the lists in a case of a configuration."""

import itertools
from collections.abc import Callable, Iterator

from mpi_lowrank.errors import OptionError

Path = tuple[str, ...]
"""Where a value stands: the keys that lead to it."""

IsOneValue = Callable[[Path, dict, list], bool]
"""Whether a list is one value of its key, such as a shape; its path, and the table it is in."""


def sweep(table: dict, is_one_value: IsOneValue) -> Iterator[dict]:
    """The cross product of all lists in a case, but for those that are one value."""
    axes = [[(path, value) for value in values] for path, values in _lists(table, is_one_value)]
    if not axes:
        yield table
        return
    for point in itertools.product(*axes):
        # A table in a list may hold lists of its own.
        yield from sweep(_at(table, dict(point)), is_one_value)


def _at(table: dict, point: dict[Path, object], path: Path = ()) -> dict:
    """The table with one value in the place of each list."""
    chosen = {}
    for key, value in table.items():
        here = (*path, key)
        inner = _at(value, point, here) if isinstance(value, dict) else value
        chosen[key] = point.get(here, inner)
    return chosen


def _lists(table: dict, is_one_value: IsOneValue, path: Path = ()) -> Iterator[tuple[Path, list]]:
    for key, value in table.items():
        here = (*path, key)
        if isinstance(value, dict):
            yield from _lists(value, is_one_value, here)
        elif isinstance(value, list) and not is_one_value(here, table, value):
            if not value:
                raise OptionError(".".join(here), value, "one value or more")
            yield here, value
