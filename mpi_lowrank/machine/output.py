"""What commands print: no text can steer the terminal, and a full disk behind it is one line."""

import os
import sys
from contextlib import suppress

from mpi_lowrank.errors import LONGEST, UserError, short
from mpi_lowrank.text.names import printable


def say(text: str) -> None:
    """Print `text`, of one line or more, on standard output; UserError where that is full."""
    _write("\n".join(printable(line) for line in text.split("\n")) + "\n")


def flush() -> None:
    """Bring to standard output what was printed; UserError where that is full."""
    _write("")


def complain(kind: str, text: object) -> None:
    """Print one line on standard error, if that can be written: `kind` is error or warning."""
    with suppress(OSError):
        told = short(printable(str(text)), LONGEST)
        print(f"mpi-lowrank: {kind}: {told}", file=sys.stderr, flush=True)


def drop() -> None:
    """Forget what standard output has not taken, so that the interpreter does not try again."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def _write(text: str) -> None:
    try:
        print(text, end="", flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        drop()
        raise UserError(f"standard output: cannot be written: {error.strerror}") from error
