"""Compiled once per machine: Numba's cache, filled by one process while the others wait."""

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import FunctionCache

LOCK = "mpi_lowrank.lock"


def compiled(*signatures: str, **options: Any) -> Callable[[Callable], Callable]:
    """A decorator: `numba.njit` for these signatures, at once and from the cache where it is there.

    A thousand ranks that start together compile one time: whoever comes first holds a lock on the
    cache's folder, which is NUMBA_CACHE_DIR, else beside the code, else the user's cache. Where no
    folder can be written each process compiles for itself. A kernel calls no function of another
    file: the cache would not notice that one changing.
    """

    def decorate(function: Callable) -> Callable:
        folder = _folder(function)
        with _alone(folder):
            return _compile(function, signatures, options, cache=folder is not None)

    return decorate


def _compile(function: Callable, signatures: Sequence[str], options: dict, cache: bool) -> Callable:
    jit = numba.njit(list(signatures), cache=cache, **options)
    try:
        return jit(function)
    except Exception:
        if not cache:
            raise
        FunctionCache(function).flush()  # what lies there may be damaged
        return jit(function)


def _folder(function: Callable) -> Path | None:
    """Where Numba keeps what it makes of the function; None if there is no such place."""
    try:
        return Path(FunctionCache(function).cache_path)
    except RuntimeError:  # no folder that Numba may write
        return None


@contextmanager
def _alone(folder: Path | None) -> Iterator[None]:
    """Hold the folder's lock; without one where its file system has none."""
    file = None
    if folder is not None:
        with suppress(OSError):
            file = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        if file is not None:
            os.close(file)
