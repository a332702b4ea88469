import os
import subprocess
import sys

import pytest

from mpi_lowrank.errors import UserError
from mpi_lowrank.machine.launch import (
    blas_threads,
    check_library,
    check_size,
    library_name,
    read_launch,
    told_rank,
)

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


BAD = {
    "PMI_RANK": "abc",
    "OMPI_COMM_WORLD_RANK": "-1",
    "SLURM_STEP_NUM_TASKS": "",
    "PMI_SIZE": "0",
    "OMPI_COMM_WORLD_SIZE": "9" * 400,
    "PMIX_RANK": "²",
    "OMP_NUM_THREADS": "1000000000",
}


@pytest.mark.parametrize(("variable", "text"), BAD.items())
def test_a_variable_that_is_no_number_is_one_short_line(variable, text):
    with pytest.raises(UserError) as error:
        blas_threads({variable: text}) and read_launch({variable: text})
    message = str(error.value)
    assert message.startswith(f"{variable} = '{text[:40]}': allowed is an integer from ")
    assert len(message) < 200 and "\n" not in message


def test_threads_are_one_unless_told_and_within_what_the_machine_may_bear():
    assert blas_threads({}) == blas_threads({"OMP_NUM_THREADS": ""}) == 1
    assert blas_threads({"OMP_NUM_THREADS": "3"}) == 3
    for text in ("0", "-1", "4,2", "9" * 400, "nan"):
        with pytest.raises(UserError):
            blas_threads({"OMP_NUM_THREADS": text})


def test_the_rank_is_the_first_that_a_launcher_has_told():
    assert told_rank({"PMI_RANK": "abc", "OMPI_COMM_WORLD_RANK": "3"}) == 3
    assert told_rank({"SLURM_PROCID": ""}) == told_rank({}) == 0


@pytest.mark.parametrize("variable", ["PMI_RANK", "SLURM_STEP_NUM_TASKS", "OMP_NUM_THREADS"])
def test_a_launch_with_such_a_variable_ends_with_one_line_and_status_2(variable):
    command = [sys.executable, "-m", "mpi_lowrank", "run", "bench/mushrooms.toml"]
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PMI", "OMPI_COMM"))}
    environment = inherited | {variable: BAD[variable]}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2 and ended.stderr.count("\n") == 1
    assert ended.stderr.startswith(f"mpi-lowrank: error: {variable} = ")


def test_every_rank_of_a_launch_with_such_a_variable_ends_with_status_2(mpirun):
    environment = os.environ | {"SLURM_STEP_NUM_TASKS": "", "PMIX_RANK": "none"}
    told = "os.write(1, b'%d\\n' % c.main(['run', 'some.toml']))"  # one write: lines stay whole
    script = f"import os, sys, mpi_lowrank.cli as c; {told}; sys.exit(2)"
    command = [mpirun, "-n", "2", sys.executable, "-c", script]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert ended.stdout.split() == ["2", "2"], ended.stderr
    assert ended.stderr.count("mpi-lowrank: error: ") == 1
