"""Messages have the same bits whichever kernels are used."""

import numpy as np
import pytest
from harness import decode

from mpi_lowrank.certificate import default_specs, drive
from mpi_lowrank.compressors import compressors
from mpi_lowrank.config.options import read_spec
from mpi_lowrank.run.components import make_operator

pytest.importorskip("numba")
GATHERED = [spec for spec in default_specs() if not compressors[read_spec(spec).name].shared]
SPECS = [spec for spec in GATHERED if not compressors[read_spec(spec).name].summed_by_kernels]
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


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", ["7x16", "16x7", "10x12", "1x112", "112x1"])
def test_a_compiled_svd_differs_by_round_off(shape, dtype, monkeypatch):
    told, eps, rows = [], np.finfo(dtype).eps, ROWS.astype(dtype)
    for kernels in ("numpy", "numba"):
        monkeypatch.setenv("MPI_LOWRANK_KERNELS", kernels)
        spec = f"svd:rank=1,shape={shape},wire={dtype}"
        operator = make_operator(read_spec(spec), (112,), dtype, 3)
        drive.prepare(operator, 3)
        assert operator._at_once == (kernels == "numba" and "112" not in shape)
        told.append(decode(operator, drive.pack(operator, rows), 112, dtype))
    error = np.linalg.norm(told[1] - told[0], axis=1)
    assert (error <= 60 * eps * np.linalg.norm(rows, axis=1)).all()
