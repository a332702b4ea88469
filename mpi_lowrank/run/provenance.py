"""Where a record comes from: code, versions, command."""

import importlib.metadata
import json
import os
import platform
import sys
from pathlib import Path

import mpi_lowrank
from mpi_lowrank.machine.revision import revision
from mpi_lowrank.text.names import printable

PACKAGES = ("mpi4py", "numpy", "scipy", "h5py", "threadpoolctl")


def attributes() -> dict:
    """The record's root attributes that describe the code."""
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    versions |= {"python": platform.python_version(), "mpi_lowrank": mpi_lowrank.__version__}
    return {
        "command": printable(" ".join(sys.argv)),
        "git_revision": revision(Path(mpi_lowrank.__file__).parents[1]),
        "versions": json.dumps(versions),
        "slurm_job_id": os.environ.get("SLURM_JOB_ID"),
    }
