"""What each rank runs on, and whether seconds measured there can be trusted."""

import os
import platform
import socket
from collections import Counter
from typing import TYPE_CHECKING

from threadpoolctl import threadpool_info

from mpi_lowrank.machine import memory
from mpi_lowrank.machine.launch import library_name

if TYPE_CHECKING:
    from mpi4py import MPI


def local_facts() -> dict:
    """This rank's host, processor, memory, cores it may use, and BLAS."""
    blas = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    return {
        "host": socket.gethostname(),
        "cpu": _cpu_model(),
        "memory": memory.there(),
        "allowed": memory.allowed(),
        "cores": sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [],
        "blas": sorted({f"{p['internal_api']} {p['version']} {p['architecture']}" for p in blas}),
        "threads": max((pool["num_threads"] for pool in blas), default=1),
    }


def timing_problems(facts: list[dict]) -> list[str]:
    """Why seconds measured on these ranks are not to be trusted; empty if they are."""
    problems = []
    for host, ranks in Counter(fact["host"] for fact in facts).items():
        here = [fact for fact in facts if fact["host"] == host]
        cores = count_cores(here)
        threads = sum(fact["threads"] for fact in here)
        if threads > cores:
            problems.append(
                f"{host}: {ranks} ranks with {threads} BLAS threads in all on {cores} cores"
            )
    models = {fact["cpu"] for fact in facts}
    if len(models) > 1:
        problems.append("a mixed set of processors: " + "; ".join(sorted(models)))
    return problems


def count_cores(facts: list[dict]) -> int:
    """How many cores these ranks may use in all, those of this host where no system tells."""
    return len({(fact["host"], core) for fact in facts for core in fact["cores"]}) or (
        os.cpu_count() or 1
    )


def crowded(facts: list[dict]) -> bool:
    """Whether ranks share a core on some host."""
    hosts = Counter(fact["host"] for fact in facts)
    return any(
        ranks > count_cores([fact for fact in facts if fact["host"] == host])
        for host, ranks in hosts.items()
    )


def attributes(comm: "MPI.Intracomm", facts: list[dict]) -> dict:
    """The record's root attributes that describe MPI and the machines."""
    from mpi4py import MPI  # here, because this module is also imported where there is none

    version = MPI.Get_library_version()
    return {
        "mpi_library": library_name(version),
        "hosts": [fact["host"] for fact in facts],
        "cpu_models": sorted({fact["cpu"] for fact in facts}),
        "blas": "; ".join(sorted({blas for fact in facts for blas in fact["blas"]})),
        "binding": "; ".join(f"{rank}: {_span(f['cores'])}" for rank, f in enumerate(facts)),
        "threads": max(fact["threads"] for fact in facts),
        "ranks": comm.size,
    }


def _span(cores: list[int]) -> str:
    return f"{cores[0]}-{cores[-1]}" if len(cores) > 1 else ",".join(map(str, cores))


def _cpu_model() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line.split(":")[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
