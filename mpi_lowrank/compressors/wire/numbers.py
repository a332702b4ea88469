"""The type that numbers have inside a message."""

from collections.abc import Mapping
from typing import Any, Literal

import ml_dtypes  # noqa: F401  (NumPy knows bfloat16 by it)
import numpy as np

from mpi_lowrank.component import Component, option

Wire = Literal["float32", "float64"]
"""Types that a state can have as well."""

AnyWire = Literal["float64", "float32", "float16", "bfloat16"]
"""The type of a number in a dense message."""


class AnyWired(Component):
    """A compressor with the option `wire`, the type of a number in its messages."""

    wire: AnyWire = option("float32")

    number: np.dtype
    """The dtype of that name."""

    def set_options(self, given: Mapping[str, Any]) -> None:
        super().set_options(given)
        self.number = np.dtype(self.wire)


class Wired(AnyWired):
    """As `AnyWired`, with the types that a state can have as well."""

    wire: Wire = option("float32")
