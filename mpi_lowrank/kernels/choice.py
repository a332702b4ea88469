"""Which kernels a process uses: the one place where that is decided."""

import os
from collections.abc import Mapping
from importlib import import_module, metadata
from importlib.util import find_spec
from types import ModuleType

from mpi_lowrank.errors import UserError, one_of

VARIABLE = "MPI_LOWRANK_KERNELS"
"""numpy, numba, or auto: Numba where it is installed and arrays are LARGE."""

CHOICES = ("auto", "numpy", "numba")

LARGE = 2**18
"""Numbers from which on compiled kernels pay for the import of Numba, a third of a second."""


def family(name: str, numbers: int) -> ModuleType:
    """The kernels of that name for arrays of so many numbers: compiled, or plain.

    Compiles what no run on this machine has compiled before. Raises UserError as `check` does, and
    where the Numba that is installed cannot be imported.
    """
    choice = check()
    if choice == "numpy" or (choice == "auto" and (numbers < LARGE or not _installed())):
        return import_module(f"mpi_lowrank.kernels.plain.{name}")
    try:
        return import_module(f"mpi_lowrank.kernels.compiled.{name}")
    except ImportError as error:
        why = f"Numba cannot be imported ({error})"
        raise UserError(f"{why}; set {VARIABLE}=numpy to do without") from error


def told() -> str:
    """What `family` chooses from, for records: "numpy", "numba 0.68.1" or where which is used."""
    choice = check()
    if choice == "numpy" or not _installed():
        return "numpy"
    numba = f"numba {metadata.version('numba')}"
    return numba if choice == "numba" else f"{numba} from {LARGE} numbers, else numpy"


def check(environment: Mapping[str, str] = os.environ) -> str:
    """The choice that the environment makes; auto unless told.

    Raises UserError for another word, and where Numba is wanted and not there.
    """
    choice = environment.get(VARIABLE) or "auto"
    if choice not in CHOICES:
        raise UserError(f"{VARIABLE} = {choice!r}: allowed is {one_of(CHOICES, choice)}")
    if choice == "numba" and not _installed():
        raise UserError(f"{VARIABLE} = numba: it is not installed; pip install numba, or unset it")
    return choice


def _installed() -> bool:
    return find_spec("numba") is not None
