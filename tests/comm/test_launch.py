import os
import subprocess
import sys

import pytest

from mpi_lowrank.comm.launch import check_library, check_size, library_name, read_launch
from mpi_lowrank.errors import UserError

MPICH, OPENMPI = "MPICH Version:\t5.0.2\nMPICH Release", "Open MPI v5.0.11, package: Open MPI"


@pytest.mark.parametrize(
    ("environment", "launcher", "size", "rank"),
    [
        ({}, None, 1, 0),
        ({"PMI_SIZE": "4", "PMI_RANK": "3"}, "mpich", 4, 3),
        ({"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1"}, "openmpi", 2, 1),
        ({"PMIX_RANK": "5"}, "pmix", 1, 5),
        ({"SLURM_STEP_NUM_TASKS": "8", "SLURM_PROCID": "7"}, "slurm", 8, 7),
        ({"SLURM_NTASKS": "8"}, None, 1, 0),
        ({"SLURM_STEP_NUM_TASKS": "2", "PMI_SIZE": "6", "PMI_RANK": "1"}, "mpich", 6, 1),
    ],
)
def test_launch_is_read_from_the_environment(environment, launcher, size, rank):
    launch = read_launch(environment)
    assert (launch.launcher, launch.size, launch.rank) == (launcher, size, rank)


def test_a_launcher_of_another_mpi_is_refused_by_name():
    launch = read_launch({"OMPI_COMM_WORLD_SIZE": "4"})
    check_library(launch, OPENMPI)
    with pytest.raises(UserError, match=r"openmpi's mpirun.*loads MPICH.*mpirun -n 4"):
        check_library(launch, MPICH)


def test_libraries_are_called_by_name_and_version():
    assert library_name(MPICH) == "MPICH 5.0.2"
    assert library_name(OPENMPI) == "Open MPI v5.0.11"


def test_singletons_are_refused_and_a_lone_process_is_not():
    check_size(read_launch({}), 1, MPICH)
    with pytest.raises(UserError, match=r"3 processes were launched.*world of 1.*mpirun -n 3"):
        check_size(read_launch({"SLURM_STEP_NUM_TASKS": "3"}), 1, MPICH)


@pytest.mark.parametrize(
    "launcher",
    [("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"), ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID")],
)
def test_processes_that_would_be_singletons_end_with_one_error(launcher, mpirun):
    size, rank = launcher
    command = [sys.executable, "-m", "mpi_lowrank", "run", "bench/mushrooms.toml"]
    # As the other launcher would: two plain processes, each told that it is one of two.
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PMI", "OMPI_COMM"))}
    ended = [
        subprocess.run(
            command, env=inherited | {size: "2", rank: str(r)}, capture_output=True, text=True
        )
        for r in range(2)
    ]
    assert [process.returncode for process in ended] == [2, 2]
    assert ended[0].stderr.startswith("mpi-lowrank: error: ")
    assert ended[0].stderr.count("\n") == 1 and f"{mpirun} -n 2" in ended[0].stderr
    assert ended[1].stderr == ""
