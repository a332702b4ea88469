"""Where a record comes from: code, versions, command."""

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import mpi_lowrank
from mpi_lowrank.names import printable

PACKAGES = ("mpi4py", "numpy", "scipy", "h5py", "threadpoolctl")


def git_revision() -> str | None:
    """The commit of the source tree, "+changes" where it is not clean; None outside git."""
    folder = Path(mpi_lowrank.__file__).parent
    # The tree may belong to somebody else, which git distrusts unless told otherwise.
    git = ["git", "-c", "safe.directory=*", "-C", str(folder)]
    try:
        if Path(_output([*git, "rev-parse", "--show-toplevel"])) != folder.parent:
            return None  # installed inside somebody else's repository
        commit = _output([*git, "rev-parse", "HEAD"])
        changed = _output([*git, "status", "--porcelain", "--untracked-files=no"])
    except (OSError, subprocess.SubprocessError):
        return None
    return commit + ("+changes" if changed else "")


def _output(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()


def attributes() -> dict:
    """The record's root attributes that describe the code."""
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    versions |= {"python": platform.python_version(), "mpi_lowrank": mpi_lowrank.__version__}
    return {
        "command": printable(" ".join(sys.argv)),
        "git_revision": git_revision(),
        "versions": json.dumps(versions),
        "slurm_job_id": os.environ.get("SLURM_JOB_ID"),
    }
