"""What a data set is, and the known ones by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from mpi_lowrank.errors import UserError
from mpi_lowrank.registry import Registry

datasets: Registry[Source] = Registry("datasets")


@dataclass(frozen=True)
class Dataset:
    """Rows of features and a label each.

    `features` is (N, d), CSR, boolean where every stored number is 1, else float64; or a dense
    float64 array. `labels` is (N,): class numbers, kept as int32, or real targets, kept as float64;
    which of them its type says. Two classes are -1 and +1, of a LIBSVM file -1 for the smaller of
    its two; more of them are numbered from 0. `sha256` is that of the publisher's text. Raises
    UserError for labels that are neither.
    """

    name: str
    features: csr_array | np.ndarray
    labels: np.ndarray
    sha256: str
    held: range | None = None
    """Where several ranks have read it: which of its rows `features` are. Rank 0 has all labels,
    the others have none."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", _typed(np.asarray(self.labels), self.name))


def _typed(labels: np.ndarray, name: str) -> np.ndarray:
    if labels.dtype.kind == "f":
        return labels.astype(np.float64)
    if labels.dtype.kind in "biu" and np.array_equal(labels, kept := labels.astype(np.int32)):
        return kept
    allowed = "class numbers that fit int32, or real targets"
    raise UserError(f"data {name}: has labels of type {labels.dtype}; expected {allowed}")


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

    def text(self) -> Path | None:
        """Its LIBSVM file, if it is here and not compressed."""
        return None

    def verify(self, found: str, place: str, cached: bool = True) -> None:
        """Raise UserError, which names the place, if the text there has another sha256."""
        remedy = " after removing that file" if cached else ""
        if found != self.sha256:
            raise UserError(
                f"{place}: is not {self.name}, the sha256 of its text is {found}; expected "
                f"{self.sha256}; fetch it anew{remedy}"
            )

    @abstractmethod
    def load(self) -> Dataset:
        """The data, without a network. Raises UserError if they are not here or damaged."""
