"""Which cases' keys name the kernels: those whose sums the kernels take."""

from pathlib import Path

import pytest

from mpi_lowrank import config
from mpi_lowrank.run.keys import key

CASE = """
workers = 2
rounds = 1
stepsize = 0.1
problem = { name = "matrix", shape = [6, 4] }
[[cases]]
method = "EF21"
compressor = "SPEC"
"""


@pytest.mark.parametrize(
    ("spec", "named"), [("powersgd", True), ("svd", True), ("rsvd", False), ("topk:k=2", False)]
)
def test_a_key_names_the_kernels_where_they_take_sums(spec, named):
    (case,) = config.parse(CASE.replace("SPEC", spec), Path("some.toml"), ()).cases
    code = key(case, 1, None, {"numpy": "2", "MPI": "4", "kernels": "numba 0.68"})["code"]
    assert ("kernels" in code) == named


@pytest.mark.parametrize("problem", ["logistic", "least_squares"])
def test_a_key_names_the_kernels_where_they_take_a_problem_s_sums(problem):
    text = CASE.replace("SPEC", "topk:k=2").replace('name = "matrix", shape = [6, 4]', "NAME")
    text = text.replace("NAME", f'name = "{problem}"')
    (case,) = config.parse(text, Path("some.toml"), ()).cases
    assert "kernels" in key(case, 1, None, {"kernels": "numba 0.68"})["code"]
