"""What a data set is, and the known ones by name."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from mpi_lowrank.registry import Registry

datasets = Registry("datasets")


@dataclass(frozen=True)
class Dataset:
    """Rows of features and a label each.

    `features` is (N, d) CSR, boolean where every stored number is 1, else float64. `labels` is
    (N,) int8, -1 and +1, -1 for the smaller of the file's two. `sha256` is that of LIBSVM's text.
    """

    name: str
    features: csr_array
    labels: np.ndarray
    sha256: str


class Source(ABC):
    """Where a known data set comes from. A subclass gives these facts and is registered."""

    name: str  # given by the registry
    rows: int
    features: int
    licence: str  # and whom to credit
    sha256: str  # of LIBSVM's text, decompressed

    @abstractmethod
    def where(self) -> str:
        """Bundled, cached or not fetched."""

    @abstractmethod
    def fetch(self) -> Path:
        """The file that holds the data, downloaded if need be. Raises UserError."""

    @abstractmethod
    def load(self) -> Dataset:
        """The data, without a network. Raises UserError if they are not here or damaged."""
