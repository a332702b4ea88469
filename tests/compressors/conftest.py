import numpy as np
import pytest
from spectra import D


@pytest.fixture
def rows():
    return np.random.default_rng(3).standard_normal((4, D)) * np.array([[1e-3], [1], [50], [1e6]])
