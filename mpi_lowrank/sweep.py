"""The cross product of the lists in a case of a configuration."""

import itertools
from collections.abc import Iterator
from copy import deepcopy

from mpi_lowrank.errors import KeyProblem


def sweep(table: dict) -> Iterator[dict]:
    """The cross product of all lists in a case.

    A shape such as [m, c] and the stages of a composition are one value, a list of them is a sweep.
    """
    axes = [[(path, value) for value in values] for path, values in _lists(table, ())]
    if not axes:
        yield deepcopy(table)
        return
    for point in itertools.product(*axes):
        copy = deepcopy(table)
        for (*path, last), value in point:
            target = copy
            for step in path:
                target = target[step]
            target[last] = value
        yield from sweep(copy)  # a table in a list may hold lists of its own


def _lists(table: dict, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], list]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _lists(value, (*path, key))
        elif isinstance(value, list) and not _is_one_value(key, value):
            if not value:
                raise KeyProblem(".".join((*path, key)), value, "one value or more")
            yield (*path, key), value


def _is_one_value(key: str, value: list) -> bool:
    kinds = {"shape": int, "compose": str}
    return key in kinds and all(isinstance(item, kinds[key]) for item in value)
