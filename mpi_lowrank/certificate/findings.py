"""What was measured of a promise, and the compressor that promised it."""

from dataclasses import dataclass

from ml_dtypes import finfo

from mpi_lowrank.certificate import drive
from mpi_lowrank.compressors.base import Operator

SIGMAS = 4.5
"""Standard errors by which a measured mean may miss the promise: 1 in 150 000 misses by more."""


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
    """A compressor under test; `make` makes one without a past."""

    spec: str
    make: drive.Make

    @property
    def operator(self) -> Operator:
        return self.make()

    @property
    def slack(self) -> float:
        """The relative error that round-off on the wire explains."""
        return 8 * float(finfo(self.operator.precision).eps)
