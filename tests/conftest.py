"""Fixtures for both kinds of session: the serial one, without MPI, and the one under mpirun."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from pytest_mpi import MPIPlugin

from mpi_lowrank import registry

# How long a rank waits for its peers to end the same test before it ends the job. After a failure
# they probably wait for what it never sent; after success the timeout of the rank that hangs is to
# come first, since its stack is the one to be printed.
PATIENCE_AFTER_FAILURE = 3.0
PATIENCE_AFTER_SUCCESS = 600.0

failed = pytest.StashKey[bool]()

# An example takes as long as other tests on the same cores let it.
settings.register_profile("shared cores", deadline=None)
settings.load_profile("shared cores")


@pytest.hookimpl(trylast=True)
def pytest_configure(config):
    # What is tested is this package, whatever plug-ins the environment has.
    registry.entry_points = lambda group: ()
    # Hundreds of processes need not import Numba; the tests of compiled kernels ask for them.
    os.environ["MPI_LOWRANK_KERNELS"] = "numpy"
    if config.getoption("--with-mpi"):
        report_ranks(config)
    else:
        # An import of mpi4py in the serial session is an error from here on.
        sys.modules["mpi4py"] = None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    report = yield
    item.stash[failed] = item.stash.get(failed, False) or report.failed
    return report


def report_ranks(config):
    from mpi4py import MPI

    manager, world = config.pluginmanager, MPI.COMM_WORLD
    (verbose,) = (plugin for plugin in manager.get_plugins() if type(plugin) is MPIPlugin)
    manager.unregister(verbose)
    manager.register(TersePlugin())
    manager.register(FailuresAtOnce(world.rank, world.size))
    if world.rank:
        manager.unregister(name="terminalreporter")
        manager.register(SilentReporter(config, sys.stdout), "terminalreporter")


class TersePlugin(MPIPlugin):
    """pytest-mpi without the twenty lines on the MPI library that every rank would print."""

    pytest_terminal_summary = None


class SilentReporter(pytest.TerminalReporter):
    """Leaves the session's report to rank 0; what timeouts and internal errors print remains."""


for hook in dir(pytest.TerminalReporter):
    if hook.startswith("pytest_") and hook != "pytest_internalerror":
        setattr(SilentReporter, hook, None)


class FailuresAtOnce:
    """Prints a failure when it happens: the rank's peers may wait until a timeout ends the job."""

    def __init__(self, rank: int, size: int):
        self.rank, self.size = rank, size

    def pytest_runtest_logreport(self, report):
        if report.failed and self.size > 1:
            heading = f"rank {self.rank} of {self.size}: {report.nodeid} failed in {report.when}"
            print(f"\n{heading}\n{report.longreprtext}", file=sys.__stderr__, flush=True)


@pytest.fixture(scope="session")
def votes():
    """The communicator on which ranks agree how a test went; no test talks on it."""
    from mpi4py import MPI

    communicator = MPI.COMM_WORLD.Dup()
    yield communicator
    communicator.Free()


@pytest.fixture
def comm(request, votes):
    """Give one test its own duplicate of COMM_WORLD.

    A test that failed on any rank fails on all, and its duplicate is never freed or used again:
    what a failed test left unmatched cannot meet a call of the next one.
    """
    duplicate = votes.Dup()
    yield duplicate
    ranks = ranks_that_failed(request, votes)
    if not ranks:
        duplicate.Free()
    elif votes.rank not in ranks:
        pytest.fail(f"failed on rank {', '.join(map(str, ranks))} of {votes.size}", pytrace=False)


def ranks_that_failed(request, votes) -> list[int]:
    request.config.hook.pytest_timeout_cancel_timer(item=request.node)
    failed_here = request.node.stash[failed]
    patience = PATIENCE_AFTER_FAILURE if failed_here else PATIENCE_AFTER_SUCCESS
    ballots = np.empty(votes.size, np.uint8)
    vote = votes.Iallgather(np.array([failed_here], np.uint8), ballots)
    deadline = time.monotonic() + patience
    while not vote.Test():
        if time.monotonic() > deadline:
            end_job(request, votes, patience)
        time.sleep(0.0005)
    return np.flatnonzero(ballots).tolist()


def end_job(request, votes, patience: float):
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        message = f"waited {patience:g} s for the others at the end of {request.node.nodeid}"
        print(f"rank {votes.rank} of {votes.size}: {message}; the job ends here", file=sys.stderr)
        votes.Abort(1)


@pytest.fixture(scope="session")
def mpirun() -> str:
    """The launcher beside the Python that runs the tests, else the machine's own."""
    found = shutil.which("mpirun", path=Path(sys.executable).parent) or shutil.which("mpirun")
    return found or pytest.skip("no mpirun beside this Python or on the PATH")
