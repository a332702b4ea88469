"""Every configuration in bench/ loads, and every component that it names can be made."""

from pathlib import Path

import pytest

from mpi_lowrank import config
from mpi_lowrank.datasets import load
from mpi_lowrank.errors import UserError
from mpi_lowrank.methods import methods
from mpi_lowrank.problems import problems
from mpi_lowrank.run.components import make_compressor

FOLDER = Path(__file__).parents[2] / "bench"
FILES = [path for path in sorted(FOLDER.rglob("*.toml")) if "[[cases]]" in path.read_text()]


def test_there_is_something_to_load():
    assert {"mushrooms.toml", "frontier.toml", "audit.toml"} <= {path.name for path in FILES}


def a_dataset(name, carried):
    """The one of that name, in place of one that is too large for the package the problem's own."""
    try:
        return load(name or carried) if carried else None
    except UserError:
        return load(carried)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_configuration_loads_and_its_components_can_be_made(path):
    cases = config.load(path).cases
    assert len({case.label for case in cases}) == len(cases)
    kinds = {(c.data, c.problem, c.method, c.compressor, c.dtype, c.workers): c for c in cases}
    for case in kinds.values():
        problem, method = problems[case.problem.name], methods[case.method.name]
        dataset = a_dataset(case.data.name, problem.default_data)
        blocks = problem.model(dataset, problem.filled(case.problem.arguments()))
        operator, _ = make_compressor(case.compressor, case.dtype, blocks, case.workers or 4)
        assert operator.nbytes > 0
        method.check(method.filled(case.method.arguments()))
