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

    `features` is (N, d), CSR, boolean where every stored number is 1, else float64; or a dense
    float64 array. `labels` is (N,) int8: of a LIBSVM file -1 and +1, -1 for the smaller of the
    file's two; of more classes their numbers from 0. `sha256` is that of the publisher's text.
    """

    name: str
    features: csr_array | np.ndarray
    labels: np.ndarray
    sha256: str


class Source(ABC):
    """Where a known data set comes from. A subclass gives these facts and is registered."""

    name: str  # given by the registry
    rows: int
    features: int
    licence: str  # and whom to credit
    sha256: str  # of the publisher's text (LIBSVM's, say), decompressed

    @abstractmethod
    def where(self) -> str:
        """Bundled, cached or not fetched."""

    @abstractmethod
    def fetch(self) -> Path:
        """The file that holds the data, downloaded if need be. Raises UserError."""

    @abstractmethod
    def load(self) -> Dataset:
        """The data, without a network. Raises UserError if they are not here or damaged."""
