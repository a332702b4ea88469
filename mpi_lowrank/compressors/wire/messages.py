"""Messages: rows of bytes, headed by their length if it varies, and what is refused in them."""

from math import isfinite

import numpy as np

from mpi_lowrank.errors import UserError

LENGTH = np.dtype("<u4")
"""The header of a message that varies in length: its bytes, the header's own four included."""

LARGEST = 2**31 - 1
"""The most bytes of a message: NumPy counts those of a record in a C int."""


def check_size(nbytes: int) -> None:
    """Raise UserError for a message that would be empty or larger than LARGEST."""
    if not 1 <= nbytes <= LARGEST:
        raise UserError(f"a message would have {nbytes} bytes; allowed is from 1 to {LARGEST}")


class MessageError(ValueError):
    """A message that no encoder writes: truncated, too long, or with a field out of range."""


def fields(messages: np.ndarray, layout: np.dtype) -> np.ndarray:
    """The messages, (workers, nbytes) uint8, seen as (workers,) records of the packed `layout`."""
    if messages.shape[1] != layout.itemsize:
        raise MessageError(f"a message has {layout.itemsize} bytes; got {messages.shape[1]}")
    return messages.view(layout)[:, 0]


def finite(x: np.ndarray) -> bool:
    """Whether every number of x is finite; one pass unless a sum overflows."""
    with np.errstate(invalid="ignore", over="ignore"):
        return isfinite(np.add.reduce(x, axis=None)) or bool(np.isfinite(x).all())


def refuse(name: str, numbers: np.ndarray) -> None:
    """Raise MessageError for numbers of a message that are not finite: `pack` sends none."""
    if not finite(numbers):
        raise MessageError(f"{name}: what the message holds is not finite")


def message_lengths(messages: np.ndarray) -> np.ndarray:
    """The lengths that messages of varying length begin with, (workers,), a view.

    Raises MessageError for one that its row cannot hold.
    """
    lengths = messages[:, : LENGTH.itemsize].view(LENGTH)[:, 0]
    if len(lengths) and not LENGTH.itemsize <= lengths.min() <= lengths.max() <= messages.shape[1]:
        raise MessageError(
            f"a message's length is from {LENGTH.itemsize} to {messages.shape[1]} bytes; "
            f"got {lengths.min()} to {lengths.max()}"
        )
    return lengths
