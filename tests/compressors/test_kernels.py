"""Messages have the same bits whichever kernels are used."""

import numpy as np
import pytest
from harness import decode

from mpi_lowrank.certificate import default_specs, drive
from mpi_lowrank.compressors import compressors
from mpi_lowrank.config.options import read_spec
from mpi_lowrank.run.components import make_operator

pytest.importorskip("numba")
SPECS = [spec for spec in default_specs() if not compressors[read_spec(spec).name].shared]
ROWS = np.random.default_rng(7).standard_normal((3, 112)) * [[1e-3], [1], [1e3]]
ROWS[0, 5], ROWS[1, ::2], ROWS[2, 7:30] = -0.0, 0, -4


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("spec", SPECS)
def test_every_operator_writes_and_reads_the_same_bits(spec, dtype, monkeypatch):
    told = {}
    for kernels in ("numpy", "numba"):
        monkeypatch.setenv("MPI_LOWRANK_KERNELS", kernels)
        operator = make_operator(read_spec(spec), (112,), dtype, 3)
        drive.prepare(operator, 3)
        messages = [drive.pack(operator, ROWS.astype(dtype), round) for round in range(4)]
        told[kernels] = messages, [decode(operator, messages[-1], 112, dtype)]
    np.testing.assert_array_equal(told["numba"][0], told["numpy"][0])
    np.testing.assert_array_equal(told["numba"][1], told["numpy"][1])
