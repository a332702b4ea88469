"""Kill a small sweep at random moments, go on, and compare with one that was left alone.

    python bench/kills.py                           50 kills: a table of what was lost
    python bench/kills.py --kills 5 --seed 1

SIGKILL hits a rank or mpirun, of 2 ranks, anywhere from the start of MPI to the end of the last
case, until there were so many kills; each time the same command goes on. Sweep after sweep, the
record at the end must equal the other one to the bit: rows, uplink bytes, ledger, verdicts. What is
lost are the seconds since the checkpoint that the case goes on from.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np

from mpi_lowrank.machine.launch import own_mpirun
from mpi_lowrank.record import Record
from mpi_lowrank.record.checkpoint import beside, read

ROUNDS = 4000

CONFIG = """
workers = 4
rounds = {rounds}
evaluate_every = 50
problem = {{ name = "matrix", shape = [8, 14] }}
reduction = "ordered"

[[cases]]
method = "EF21"
compressor = ["randk:k=5", "powersgd:rank=2"]
stepsize = "0.05/L"

[[cases]]
method = "EF21-PP"
compressor = ["randk:k=5", "topk:k=5"]
stepsize = "0.05/L"
"""

RANKS = 2

COUNTED = (b"uplink", b"downlink", b"evaluation")
"""The purposes whose calls follow from the rounds: agreements follow the clock."""

VERDICT = ("status", "valid", "reasons", "stepsize", "L", "alpha", "message_bytes")


@dataclass
class Tally:
    """What the kills did."""

    kills: dict[str, int] = field(default_factory=lambda: {"ranks": 0, "mpirun": 0})
    sweeps: int = 0
    found: dict[str, int] = field(
        default_factory=lambda: {"between cases": 0, "in a case": 0, "before its checkpoint": 0}
    )
    """What was running, as far as the record tells, and whether it goes on."""
    lost: list[float] = field(default_factory=list)
    """Seconds since the checkpoint, of a case that goes on."""
    differences: list[str] = field(default_factory=list)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of each of four cases")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tally = kill(options.kills, random.Random(options.seed), options.rounds, Path(folder))
    print_table(tally)
    return bool(tally.differences)


def kill(kills: int, rng: random.Random, rounds: int, folder: Path) -> Tally:
    """So many kills, in as many sweeps as it takes."""
    config, whole, out = (folder / name for name in ("kills.toml", "whole.h5", "killed.h5"))
    config.write_text(CONFIG.format(rounds=rounds))
    began = time.monotonic()
    run(config, whole).wait()
    seconds, tally = time.monotonic() - began, Tally()
    expected = Record(whole)
    while sum(tally.kills.values()) < kills:
        while sum(tally.kills.values()) < kills and not _ends(config, out, rng, seconds, tally):
            pass
        _finish(config, out)
        tally.differences += differences(expected, Record(out))
        tally.sweeps += 1
        out.unlink()
    return tally


def run(config: Path, out: Path) -> subprocess.Popen:
    """Start the sweep, or go on with it."""
    program = [sys.executable, "-m", "mpi_lowrank", "run", str(config), "--out", str(out)]
    command = [own_mpirun(), "-n", str(RANKS), *program, "--checkpoint-every", "0.25"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(command, cwd=config.parent, start_new_session=True, **quiet)


def _ends(config: Path, out: Path, rng: random.Random, seconds: float, tally: Tally) -> bool:
    """Whether a session came to its end before it was killed."""
    session = run(config, out)
    try:
        session.wait(rng.uniform(0, seconds))
        return True
    except subprocess.TimeoutExpired:
        ranks = list(descendants(session.pid))
        whom = rng.choice(["ranks", "mpirun"]) if ranks else "mpirun"
        killed = time.time()
        os.kill(rng.choice(ranks) if whom == "ranks" else session.pid, signal.SIGKILL)
        session.wait(timeout=30)
        _wait_for_the_end_of(ranks)
    tally.kills[whom] += 1
    _count(out, killed, tally)
    return False


def descendants(pid: int) -> Iterator[int]:
    """The Python processes under a launcher."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in map(int, children):
        if "python" in _program(child):
            yield child
        yield from descendants(child)


def _program(pid: int) -> str:
    """The name of what the process runs; nothing if it has ended meanwhile."""
    try:
        return os.readlink(f"/proc/{pid}/exe").rpartition("/")[2]
    except OSError:
        return ""


def _wait_for_the_end_of(processes: list[int], patience: float = 30.0) -> None:
    deadline = time.monotonic() + patience
    while any(Path(f"/proc/{pid}/fd").exists() and _runs(pid) for pid in processes):
        if time.monotonic() > deadline:
            raise RuntimeError(f"a killed job left processes: {processes}")
        time.sleep(0.01)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _count(out: Path, killed: float, tally: Tally) -> None:
    """What the record holds of the case that was running."""
    cases = Record(out).cases.values() if out.exists() else ()
    running = [case for case in cases if case.attributes["status"] == "running"]
    checkpoint = read(beside(out))
    if not running:
        tally.found["between cases"] += 1
    elif checkpoint and checkpoint.case == running[0].attributes["run_id"]:
        tally.found["in a case"] += 1
        tally.lost.append(killed - beside(out).stat().st_mtime)
    else:
        tally.found["before its checkpoint"] += 1


def _finish(config: Path, out: Path) -> None:
    if status := run(config, out).wait(timeout=300):
        raise RuntimeError(f"the last session ended with status {status}")


def differences(expected: Record, found: Record) -> list[str]:
    """In what two records of one configuration are not the same to the bit."""
    told = [f"the cases are {list(found.cases)}"] if set(expected.cases) != set(found.cases) else []
    for label in expected.cases.keys() & found.cases.keys():
        one, other = expected.cases[label], found.cases[label]
        for name, column in one.columns().items():
            if name != "seconds" and column.tobytes() != other[name].tobytes():
                told.append(f"{label}: {name}")
        for name in VERDICT:
            if one.attributes.get(name) != other.attributes.get(name):
                told.append(f"{label}: {name} is {other.attributes.get(name)}")
        if calls(one.ledger) != calls(other.ledger):
            told.append(f"{label}: ledger")
    return told


def calls(ledger: np.ndarray) -> dict[tuple, int]:
    """How many calls there were of each kind, but for what they took."""
    rounds = ledger[np.isin(ledger["purpose"], COUNTED)]
    kinds, times = np.unique(
        rounds[[n for n in ledger.dtype.names if n != "seconds"]], return_counts=True
    )
    return dict(zip(map(tuple, kinds.tolist()), times.tolist(), strict=True))


def print_table(tally: Tally) -> None:
    told = {"killed": tally.kills, "where": tally.found}
    for what, numbers in told.items():
        print(f"{what + ':':<10}" + ", ".join(f"{n} {name}" for name, n in numbers.items()))
    if tally.lost:
        print(f"lost:     {median(tally.lost):.2f} s (median), {max(tally.lost):.2f} s (most)")
    print(f"sweeps:   {tally.sweeps}, each finished by the same command")
    for difference in tally.differences:
        print(difference)
    print(f"{len(tally.differences)} differences" if tally.differences else "all equal to the bit")


if __name__ == "__main__":
    sys.exit(main())
