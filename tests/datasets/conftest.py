import pytest

from mpi_lowrank.datasets.libsvm_sets import cache_folder


@pytest.fixture
def ground_truth():
    """LIBSVM's own file of that name, from the folder of fetched data."""

    def path(name):
        found = cache_folder() / name
        return found if found.exists() else pytest.skip(f"{found} is not there")

    return path
