"""The sigmoid; products with sparse rows are SciPy's."""

import numpy as np
from scipy.special import expit

BY_PARTS = False
"""Whether rows of zeros and ones are multiplied by `times` and `transposed_times`."""


def sigmoid(t: np.ndarray) -> None:
    """1 / (1 + exp(-t)) in place."""
    expit(t, out=t)
