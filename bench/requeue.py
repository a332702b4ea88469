"""Let Slurm interrupt a sweep, let it go on, and compare with one that was left alone.

    python bench/requeue.py                            with this machine's Slurm
    python bench/requeue.py mine.sbatch --sbatch=--account=mine
    python bench/requeue.py --own                      as root: a Slurm of its own, and nodes die

The job script, `slurm/run.sbatch` or one's own copy, is submitted in a scratch folder below
`results/`: with ten minutes, with a limit of one minute (Slurm signals the job, which takes a
checkpoint and queues itself again), as an array with that limit and `mpi-lowrank merge` behind it,
and with `--own` on nodes that crash. All records must equal the first one to the bit: rows, bytes,
ledger, verdicts.
"""

import argparse
import calendar
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cluster import Cluster, Slurm, running, until
from kills import differences

from mpi_lowrank.record import Record
from mpi_lowrank.record.checkpoint import beside

ROOT = Path(__file__).parents[1]
ROUNDS = 10_000
TASKS = 2
PATIENCE = 900.0
"""Seconds in which a job that was submitted is to end."""

SWEEP = ("--cases", "EF21 *", "--set", "seed=0", "--set", "stop={}", "--set", "evaluate_every=50")
"""Six cases of bench/mushrooms.toml, for all of their rounds."""

SOON = ("--time=1", "--signal=B:USR1@10")
"""A limit of a minute: Slurm, which looks every 30 s, sends the signal after 20 to 50 s."""


@dataclass
class Finding:
    """A record that was interrupted, and in what it differs from the one that was left alone."""

    injected: str
    interrupted: int
    """How often its jobs started again."""
    record: Path
    lost: list[float] = field(default_factory=list)
    """Seconds since the checkpoint that it went on from, where that was not the last moment."""
    differences: list[str] = field(default_factory=list)


class Jobs:
    """Submits a job script in a project folder of its own, with the sweep behind it."""

    def __init__(self, slurm: Slurm, folder: Path, options: argparse.Namespace):
        self.slurm, self.folder, self._options = slurm, folder, options
        self.patience = options.patience
        (folder / "results").mkdir()
        for name in ("bench", ".venv"):
            (folder / name).symlink_to(ROOT / name)
        script = options.script.read_text()
        if options.launch:
            script = re.sub("^launch=.*$", f'launch="{options.launch}"', script, flags=re.MULTILINE)
        self._script = folder / "run.sbatch"
        self._script.write_text(script)

    def submit(self, *options: str, more: tuple[str, ...] = ()) -> str:
        """The number of a job whose record is `record(number)`."""
        rounds = ("--set", f"rounds={self._options.rounds}")
        given = (*self._options.sbatch, "--job-name=sweep", *options, self._script)
        return self.slurm.submit(*given, *SWEEP, *rounds, *more, cwd=self.folder)

    def merge(self, array: str) -> str:
        """The number of the job that joins the records of an array's tasks, once they are over."""
        told = f"{sys.executable} -m mpi_lowrank merge results/sweep-{array}_*.h5 -o results/sweep"
        options = (*self._options.sbatch, f"--dependency=afterok:{array}", "--time=5")
        output = "--output=results/merge-%j.log"
        return self.slurm.submit(*options, output, f"--wrap={told}-{array}.h5", cwd=self.folder)

    def record(self, number: str) -> Path:
        return self.folder / "results" / f"sweep-{number}.h5"

    def completed(self, number: str) -> int:
        """How often a job, or an array's tasks, started again; RuntimeError if one failed."""
        tasks = self.slurm.wait(number, self.patience)
        if states := {task["JobState"] for task in tasks} - {"COMPLETED"}:
            raise RuntimeError(f"job {number} ended as {', '.join(sorted(states))}")
        return self.restarts(number)

    def restarts(self, number: str) -> int:
        return sum(int(task["Restarts"]) for task in self.slurm.tasks(number))


def main() -> int:
    options = _options()
    Path("results").mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="requeue-", dir="results")).resolve()
    try:
        with _slurm(options.own) as slurm:
            findings = interrupt(Jobs(slurm, folder, options))
    except (RuntimeError, TimeoutError) as error:
        print(f"{error}; the jobs' logs are in {folder}/results")
        return 1
    shutil.rmtree(folder)
    print_table(findings)
    return not all(map(good, findings))


def good(finding: Finding) -> bool:
    return finding.interrupted > 0 and not finding.differences


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    script = ROOT / "slurm" / "run.sbatch"
    parser.add_argument("script", nargs="?", type=Path, default=script)
    parser.add_argument("--own", action="store_true", help="start a Slurm (root; slurm-wlm, munge)")
    parser.add_argument("--sbatch", action="append", default=[], help="an option for every job")
    parser.add_argument("--launch", help="instead of the script's own")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of each of six cases")
    parser.add_argument("--patience", type=float, default=PATIENCE, help="seconds for each job")
    options = parser.parse_args()
    if options.own:
        options.sbatch += ["--partition=all"]
    return options


@contextmanager
def _slurm(own: bool) -> Iterator[Slurm]:
    if not own:
        yield Slurm(dict(os.environ))
        return
    quiet = subprocess.DEVNULL
    with tempfile.TemporaryDirectory() as state, running(Path(state), quiet) as cluster:
        yield cluster


def interrupt(jobs: Jobs) -> list[Finding]:
    """One kind of interruption after the other."""
    whole = jobs.submit("--time=20")
    if jobs.completed(whole):
        raise RuntimeError(f"job {whole} was to be left alone, and started twice")
    expected = Record(jobs.record(whole))
    findings = [at_the_limit(jobs), as_an_array(jobs)]
    if isinstance(jobs.slurm, Cluster):
        findings.append(where_nodes_crash(jobs, jobs.slurm))
    for finding in findings:
        finding.differences = differences(expected, Record(finding.record))
    return findings


def at_the_limit(jobs: Jobs) -> Finding:
    number = jobs.submit(*SOON)
    return Finding("time limit of a job", jobs.completed(number), jobs.record(number))


def as_an_array(jobs: Jobs) -> Finding:
    array = jobs.submit(*SOON, f"--array=1-{TASKS}")
    merged = jobs.merge(array)
    restarts = jobs.completed(array)
    jobs.completed(merged)
    return Finding(f"time limit of an array's {TASKS} tasks", restarts, jobs.record(array))


def where_nodes_crash(jobs: Jobs, cluster: Cluster) -> Finding:
    """The node of rank 0 first, and that of rank 1 once the job has started again."""
    number = jobs.submit("--time=20", "--nodes=2", more=("--checkpoint-every", "2"))
    path, lost = jobs.record(number), []
    for rank in (0, 1):
        until(lambda: _goes_on(path, len(lost)), jobs.patience, f"checkpoint {rank + 1} of {path}")
        node = Record(path).attributes["hosts"][rank]
        lost.append(time.time() - beside(path).stat().st_mtime)
        cluster.crash(node)
        until(lambda: jobs.restarts(number) == len(lost), 120, f"Slurm to miss {node}")
        cluster.boot(node)
    return Finding("death of a node", jobs.completed(number), path, lost)


def _goes_on(path: Path, restarts: int) -> bool:
    """Whether a run that started again so many times has taken a checkpoint of its own."""
    if not (path.exists() and beside(path).exists()):
        return False
    sessions = Record(path).attributes["sessions"]
    began = calendar.timegm(time.strptime(sessions[-1][:20], "%Y-%m-%dT%H:%M:%SZ"))
    return len(sessions) == restarts + 1 and beside(path).stat().st_mtime > began + 1


def print_table(findings: list[Finding]) -> None:
    print(f"{'injected':<44}{'started again':<15}{'lost, s':<12}compared with one left alone")
    for one in findings:
        lost = ", ".join(f"{seconds:.1f}" for seconds in one.lost) or "0"
        told = f"{len(one.differences)} differences" if one.differences else "equal to the bit"
        print(f"{one.injected:<44}{one.interrupted:<15}{lost:<12}{told}")
    for one in findings:
        for difference in one.differences:
            print(f"{one.injected}: {difference}")
        if not one.interrupted:
            print(f"{one.injected}: the job ended before it came; take more --rounds")
    print("all went on, equal to the bit" if all(map(good, findings)) else "FAILED")


if __name__ == "__main__":
    sys.exit(main())
