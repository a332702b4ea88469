"""Where a record comes from: code, versions, command."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mpi_lowrank
from mpi_lowrank import kernels
from mpi_lowrank.comm import facts
from mpi_lowrank.config import Experiment
from mpi_lowrank.datasets import Dataset
from mpi_lowrank.door.network import Network
from mpi_lowrank.machine.revision import revision
from mpi_lowrank.text.names import printable

if TYPE_CHECKING:
    from mpi4py import MPI

PACKAGES = ("mpi4py", "numpy", "scipy", "h5py", "threadpoolctl")


def of_run(
    experiment: Experiment,
    datasets: Mapping[str, Dataset],
    comm: MPI.Intracomm,
    ranks: list[dict],
) -> dict:
    """The root attributes of a run's record; `ranks`: the facts of every rank."""
    timing, machine, code = (
        facts.timing_problems(ranks),
        facts.attributes(comm, ranks),
        attributes(),
    )
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    told = f"{created}, {comm.size} ranks, {code['git_revision'] or 'no revision'}"
    return {
        "name": experiment.name,
        "config": experiment.text,
        "created": created,
        "baseline": experiment.baseline,
        "seed": min(case.seed for case in experiment.cases),
        "throttles": _throttles(experiment),
        "data": sorted(datasets),
        "data_sha256": [datasets[name].sha256 for name in sorted(datasets)],
        "timing_valid": not timing,
        "timing_reasons": timing,
        "sessions": [f"{told}: {code['command']}"],
        **machine,
        **code,
    }


def _throttles(experiment: Experiment) -> list[str]:
    """The networks whose time the calls of some cases took."""
    texts = {experiment.cases[number].throttle for number in experiment.chosen}
    return sorted(str(Network.read(text)) for text in texts if text)


def joined(earlier: Mapping[str, Any], later: Mapping[str, Any]) -> dict:
    """The root attributes of a record that one run has begun and a later one goes on with.

    They are the later run's, but `sessions`, `data` and `timing_reasons` are those of both.
    """
    sums: dict[str, str] = {}
    for one in (earlier, later):
        sums |= dict(zip(one["data"], one["data_sha256"], strict=True))
    data = dict(sorted(sums.items()))
    reasons = list(dict.fromkeys([*earlier["timing_reasons"], *later["timing_reasons"]]))
    return {
        **later,
        "created": earlier["created"],
        "data": list(data),
        "data_sha256": list(data.values()),
        "timing_valid": not reasons,
        "timing_reasons": reasons,
        "sessions": [*earlier["sessions"], *later["sessions"]],
        "throttles": sorted({*earlier.get("throttles", []), *later["throttles"]}),
    }


def attributes() -> dict:
    """The record's root attributes that describe the code."""
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    versions |= {"python": platform.python_version(), "mpi_lowrank": mpi_lowrank.__version__}
    return {
        "command": printable(" ".join(sys.argv)),
        "git_revision": revision(Path(mpi_lowrank.__file__).parents[1]),
        "versions": json.dumps(versions),
        "kernels": kernels.told(),
        "slurm_job_id": os.environ.get("SLURM_JOB_ID"),
    }
