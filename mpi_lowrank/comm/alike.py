"""The check, before anything runs, that every rank has the same code."""

import hashlib
import importlib.util
import platform
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import ml_dtypes
import mpi4py
import numpy as np
import scipy
from mpi4py import MPI

import mpi_lowrank
from mpi_lowrank import kernels
from mpi_lowrank.comm import parcels, world
from mpi_lowrank.errors import UserError
from mpi_lowrank.machine.launch import library_name
from mpi_lowrank.registry import KINDS

CODE = (".py", ".so", ".npz")
"""Suffixes of the files that make a package what it is: code, and the data it carries."""

NAMED = 5
"""The most ranks that an error names."""

ABSENT = ["none", ""]


def check_alike(comm: MPI.Intracomm, command: str) -> None:
    """Collective: refuse to run if a rank has another command or other code than rank 0.

    Raises AgreedError; its line names the ranks, what differs and both values.
    """
    world.agree(comm, kernels.check)
    everybody = parcels.from_all(comm, {"command": [command, ""], **local_code()})
    world.agree(comm, lambda: compare(everybody))


def local_code() -> dict[str, list[str]]:
    """The code that makes this rank's numbers: by name, what is compared and where it lies."""
    folder = Path(mpi_lowrank.__file__).parent
    packages = (np, scipy, ml_dtypes, mpi4py)
    versions = {package.__name__: package.__version__ for package in packages}
    versions |= {"Python": platform.python_version(), "kernels": kernels.told()}
    versions |= {"MPI": library_name(MPI.Get_library_version())}
    code = {"mpi-lowrank": [f"{mpi_lowrank.__version__}, files {_digest([folder])}", str(folder)]}
    code |= {name: [version, ""] for name, version in versions.items()}
    for kind in KINDS:
        for entry in entry_points(group=f"mpi_lowrank.{kind}"):
            code[f"the plug-in {entry.name} of {kind}"] = _plugin(entry)
    return code


def compare(everybody: list[dict[str, list[str]]]) -> None:
    """Raise UserError for the first thing that differs between a rank and rank 0."""
    for what in dict.fromkeys(what for code in everybody for what in code):
        found = [code.get(what, ABSENT) for code in everybody]
        other = next((one for one in found if one[0] != found[0][0]), None)
        if other is not None:
            ranks = _ranks([rank for rank, one in enumerate(found) if one[0] == other[0]])
            told = f"{what} is {_shown(other)} on {ranks}, {_shown(found[0])} on rank 0"
            raise UserError(f"{told}; start the same command in the same environment everywhere")


def _plugin(entry: EntryPoint) -> list[str]:
    package = entry.module.partition(".")[0]
    found = importlib.util.find_spec(package)  # of a top level: nothing is imported for it
    named = (found.submodule_search_locations or [found.origin or ""]) if found else []
    places = [Path(place) for place in named if Path(place).exists()]
    whose = f"{entry.dist.name} {entry.dist.version}" if entry.dist else "no distribution"
    told = f"{entry.value} of {whose}, files {_digest(places)}"
    return [told, ", ".join(map(str, places))]


def _digest(places: list[Path]) -> str:
    """A digest of the code in these folders and files: of its paths inside them and its bytes."""
    sums = hashlib.blake2b(digest_size=8)
    for place in places:
        inside = sorted(path for path in place.rglob("*") if path.suffix in CODE)
        for path in inside if place.is_dir() else [place]:
            sums.update(f"{path.relative_to(place)}\0{path.stat().st_size}\0".encode())
            sums.update(path.read_bytes())
    return sums.hexdigest()


def _shown(one: list[str]) -> str:
    value, place = one
    return f"{value} in {place}" if place else value


def _ranks(ranks: list[int]) -> str:
    named = ", ".join(map(str, ranks[:NAMED]))
    more = f" and {len(ranks) - NAMED} more" if len(ranks) > NAMED else ""
    return f"rank {named}" if len(ranks) == 1 else f"ranks {named}{more}"
