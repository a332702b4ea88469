"""What --cases GLOB chooses of curves, rows and groups."""

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import TypeVar

from mpi_lowrank.errors import UserError, one_of

T = TypeVar("T")


def fits(name: str, glob: str | None) -> bool:
    """Whether `glob` is that name's; without one all fit."""
    return glob is None or fnmatchcase(name, glob)


def fitting(items: Sequence[T], glob: str | None, labels: Callable[[T], Sequence[str]]) -> list[T]:
    """The items of which one of the `labels` fits. UserError if none of them does."""
    found = [item for item in items if any(fits(label, glob) for label in labels(item))]
    if items and not found:
        known = [label for item in items for label in labels(item)]
        raise UserError(f"--cases {glob}: none fits of {one_of(known, glob)}")
    return found
