"""The number types that can cross the wire but that a state cannot have."""

from typing import Literal

import ml_dtypes
import numpy as np

AnyWire = Literal["float64", "float32", "float16", "bfloat16"]
"""The type of a number in a dense message."""


def wire_dtype(wire: AnyWire) -> np.dtype:
    """The NumPy dtype of that name; bfloat16 is ml_dtypes'."""
    return np.dtype(ml_dtypes.bfloat16 if wire == "bfloat16" else wire)
