"""How an MPI test session ends when a test fails or hangs, seen from outside."""

import shutil
import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent

import pytest

LIMIT_SECONDS = 10.0


@pytest.fixture
def session(tmp_path, mpirun):
    """Run MPI tests, given as text, on two ranks with this project's fixtures."""
    shutil.copy(Path(__file__).with_name("conftest.py"), tmp_path)
    header = "import numpy as np\nimport pytest\n\npytestmark = pytest.mark.mpi\n\n"

    def run(tests: str) -> tuple[subprocess.CompletedProcess, float]:
        (tmp_path / "test_given.py").write_text(header + dedent(tests))
        pytest_options = "--with-mpi --color=no -q -p no:cacheprovider"
        limit_options = "--timeout=5 --timeout-method=thread"
        command = [mpirun, "-n", "2", sys.executable, "-m", "pytest"]
        command += [*pytest_options.split(), *limit_options.split(), "test_given.py"]
        start = time.monotonic()
        ended = subprocess.run(
            command,
            cwd=tmp_path,
            timeout=60,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return ended, time.monotonic() - start

    return run


def test_session_that_passes_ends_with_zero_and_one_summary(session):
    ended, _ = session("""
        def test_sum(comm):
            total = np.zeros(1)
            comm.Allreduce(np.ones(1), total)
            assert total[0] == 2
    """)
    assert ended.returncode == 0, ended.stdout
    assert ended.stdout.count("1 passed") == 1


def test_failure_on_every_rank_ends_the_session_non_zero(session):
    ended, seconds = session("""
        def test_fails(comm):
            assert comm.size == 3
    """)
    assert ended.returncode != 0
    assert "1 failed" in ended.stdout
    assert seconds < LIMIT_SECONDS


def test_failure_on_one_rank_fails_the_test_on_all(session):
    ended, _ = session("""
        def test_fails_on_the_last_rank(comm):
            assert comm.rank == 0, "only here"
    """)
    assert ended.returncode != 0
    assert "AssertionError: only here" in ended.stdout
    assert "failed on rank 1 of 2" in ended.stdout
    assert "1 passed, 1 error" in ended.stdout


def test_failure_before_a_collective_ends_the_job(session):
    ended, seconds = session("""
        def test_leaves_its_peer_waiting(comm):
            assert comm.rank == 0, "never arrives"
            comm.Barrier()

        def test_next(comm):
            pass
    """)
    assert ended.returncode != 0
    assert "AssertionError: never arrives" in ended.stdout
    assert "the job ends here" in ended.stdout
    assert seconds < LIMIT_SECONDS


def test_hanging_test_ends_the_job(session):
    ended, seconds = session("""
        def test_waits_for_ever(comm):
            if comm.rank == 1:
                comm.Recv(np.zeros(1), source=0)
    """)
    assert ended.returncode != 0
    assert "Timeout" in ended.stdout
    assert "comm.Recv" in ended.stdout
    assert seconds < LIMIT_SECONDS


def test_what_a_failed_test_left_unmatched_does_not_reach_the_next(session):
    # The root of a small Bcast returns before the other rank, which fails, has received it.
    ended, _ = session("""
        def broadcast(comm, number):
            value = np.full(1, number if comm.rank == 0 else np.nan)
            comm.Bcast(value)
            return value[0]

        def test_first(comm):
            assert comm.rank == 0, "fails before it receives"
            broadcast(comm, 1.0)

        def test_second(comm):
            assert broadcast(comm, 2.0) == 2.0
    """)
    assert "fails before it receives" in ended.stdout
    assert "test_second failed" not in ended.stdout
    assert "2 passed, 1 error" in ended.stdout


def test_serial_session_cannot_import_mpi():
    with pytest.raises(ModuleNotFoundError):
        import mpi4py  # noqa: F401
