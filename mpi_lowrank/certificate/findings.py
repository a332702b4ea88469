"""What is measured of a promise, and whose promise it is."""

from dataclasses import dataclass

from ml_dtypes import finfo

from mpi_lowrank.certificate import drive
from mpi_lowrank.compressors.base import Operator

SIGMAS = 4.5
"""Standard errors by which a measured mean may miss what is promised: one in 150 000 does."""


@dataclass(frozen=True)
class Finding:
    """One promise: what was promised, what was measured, on which input it was worst."""

    spec: str
    promise: str
    promised: float | str
    measured: float | str
    passed: bool
    bound: float | None = None
    """Half the width of the confidence interval of `measured`."""
    where: str = ""


@dataclass(frozen=True)
class Subject:
    """A compressor under test, made anew whenever it must have no past."""

    spec: str
    make: drive.Make

    @property
    def operator(self) -> Operator:
        return self.make()

    @property
    def slack(self) -> float:
        """The relative error that round-off on the wire explains."""
        return 8 * float(finfo(self.operator.precision).eps)
