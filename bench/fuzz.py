"""Hostile input, case after case: it is used, or refused by an error that is declared.

    python bench/fuzz.py --cases 1000000 --seed 0           a quarter of an hour of one core
    python bench/fuzz.py --only decoder LIBSVM              some targets alone

A traceback, a hang, a crash of the process and too much memory are findings; so are numbers that
are not finite where they must be, and an error that is no line. Each finding's input is kept in
`--out`. A case follows from the seed, its target and its number alone. What is tried is made in
`hostile/`.
"""

import argparse
import json
import mmap
import multiprocessing
import os
import resource
import sys
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from hostile import TARGETS, Target

LIMIT = 30.0
"""Seconds of a processor a case may take: a hang, whatever other work the machine has."""

PATIENCE = 10
"""How many times as long a case may last that waits in place of computing."""

MEMORY = 1 << 30
"""Bytes that a case may take beside what the process has."""

POLL = 0.1
"""Seconds between two looks at a worker."""

COUNTS = ("started", "began", "refused", "accepted", "found", "worst", "computed")
"""What a worker tells all the time: the number of its case, when that began, what the process had
computed until then, and so on."""

TICK = os.sysconf("SC_CLK_TCK")

Fork = multiprocessing.get_context("fork")


def draws(seed: int, target: str, number: int) -> Random:
    """Where a case comes from."""
    return Random(f"{seed} {target} {number}")


class Findings:
    """Writes inputs to a folder: one of each kind, and why it is there."""

    def __init__(self, folder: Path, seed: int):
        self.folder, self.seed = folder, seed

    def keep(self, target: Target, number: int, kind: str, told: str) -> None:
        """Keep the case's input unless one of its kind is kept already."""
        if kind in self._kinds():
            return
        path = self.folder / f"{target.name}-{number}"
        self.folder.mkdir(parents=True, exist_ok=True)
        header = {"target": target.name, "seed": self.seed, "case": number, "kind": kind}
        data = target.make(draws(self.seed, target.name, number))
        path.write_bytes(json.dumps(header).encode() + b"\n" + data)
        path.with_suffix(".txt").write_text(told, encoding="utf-8", errors="backslashreplace")

    def _kinds(self) -> set[str]:
        """Of all workers, those of earlier runs too."""
        kept = (path for path in self.folder.glob("*-*") if not path.suffix)
        return {json.loads(path.read_bytes().partition(b"\n")[0])["kind"] for path in kept}


def kind_of(error: BaseException) -> str:
    """The error's type and the place in the package, or last of all, where it was raised."""
    if isinstance(error, AssertionError):  # by this bench
        return str(error)[:40]
    frames = traceback.extract_tb(error.__traceback__)
    inside = [frame for frame in frames if "mpi_lowrank" in Path(frame.filename).parts]
    last = (inside or frames)[-1]
    return f"{type(error).__name__} in {Path(last.filename).name}:{last.lineno}"


def work(target: Target, numbers: range, findings: Findings, counts: np.ndarray) -> None:
    """Try these cases, in a process of its own; `counts` is what the parent looks at."""
    _confine()
    with TemporaryDirectory() as folder:
        for number in numbers:
            counts[6] = began = time.process_time()
            counts[:2] = number, time.monotonic()
            data = target.make(draws(findings.seed, target.name, number))
            try:
                counts[3 if target.accepts(data, Path(folder)) else 2] += 1
            except Exception as error:
                counts[4] += 1
                findings.keep(target, number, kind_of(error), traceback.format_exc())
            counts[5] = max(counts[5], time.process_time() - began)


def _confine() -> None:
    """Let the process have little more memory than it has now, and no core file."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


@dataclass
class Tried:
    """What became of a target's cases."""

    target: Target
    counts: np.ndarray = field(default_factory=lambda: _shared(len(COUNTS)))

    def row(self) -> tuple:
        refused, accepted, found = (int(count) for count in self.counts[2:5])
        return self.target.name, refused + accepted + found, refused, accepted, found


def _shared(size: int) -> np.ndarray:
    """Zeros that a fork shares with its parent."""
    return np.frombuffer(mmap.mmap(-1, 8 * size), np.float64)


def fuzz(target: Target, cases: int, findings: Findings, limit: float = LIMIT) -> Tried:
    """Try that many cases, in one process after the other: each until a case ends it."""
    tried, start = Tried(target), 0
    while start < cases:
        numbers = range(start, cases)
        worker = Fork.Process(target=work, args=(target, numbers, findings, tried.counts))
        tried.counts[:2], tried.counts[6] = (start, time.monotonic()), 0
        worker.start()
        how = _ended(worker, tried.counts, limit)
        if how is None:
            break
        at = int(tried.counts[0])
        tried.counts[4] += 1
        findings.keep(target, at, f"{target.name} {how}", how)
        start = at + 1
    return tried


def _ended(worker, counts: np.ndarray, limit: float) -> str | None:
    """Wait for the worker; how a case ended it, None if it has carried out all."""
    while worker.is_alive():
        worker.join(POLL)
        lasted, computed = time.monotonic() - counts[1], _cpu_seconds(worker.pid) - counts[6]
        if (computed > limit or lasted > PATIENCE * limit) and worker.is_alive():
            worker.kill()
            worker.join()
            return f"took longer than {limit:g} s"
    code = worker.exitcode
    return None if code == 0 else f"ended the process with {code}"


def _cpu_seconds(process: int) -> float:
    """What a process has computed; 0 once it has ended."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICK


def replay(path: Path) -> int:
    """Try a finding's input again, in this process: 1 if it still is one."""
    header, _, data = path.read_bytes().partition(b"\n")
    target = TARGETS[json.loads(header)["target"]]
    with TemporaryDirectory() as folder:
        accepted = target.accepts(data, Path(folder))
    print(f"{target.name}: {'accepted' if accepted else 'refused'}")
    return 0


def format_table(all_tried: list[Tried]) -> str:
    lines = ["| target | cases | refused | accepted | findings | worst, CPU seconds |"]
    lines.append("|--|--|--|--|--|--|")
    for tried in all_tried:
        cells = [*tried.row(), f"{tried.counts[5]:.2g}"]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=20_000, help="in all (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--out", type=Path, default=Path("build/fuzz"), help="folder of findings")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="try this finding again")
    options = parser.parse_args(arguments)
    if options.replay:
        return replay(options.replay)
    findings, all_tried = Findings(options.out, options.seed), []
    whole = sum(TARGETS[name].share for name in options.only)
    for name in options.only:
        cases = max(1, round(options.cases * TARGETS[name].share / whole))
        all_tried.append(fuzz(TARGETS[name], cases, findings))
        print(f"{name}: done", file=sys.stderr, flush=True)
    print(format_table(all_tried))
    found = sum(tried.row()[4] for tried in all_tried)
    if found:
        print(f"{found} findings, one of each kind in {options.out}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
