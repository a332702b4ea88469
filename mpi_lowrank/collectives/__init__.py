"""How messages and coefficients travel: what each way hands over, bills and costs. No MPI here."""

from typing import Any

from mpi_lowrank.registry import Registry

collectives: Registry[Any] = Registry("collectives")  # of both kinds: the case's key says which


def of_kind(kind: type) -> list[str]:
    """The names of the collectives of a kind: `Topology` or `Reduction`."""
    return [name for name in collectives.names() if issubclass(collectives[name], kind)]
