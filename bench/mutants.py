"""What the tests would not notice: the code with one small mistake, against its module's tests.

`mistakes.py` makes the mutants. One is killed when a test fails, hangs or cannot be imported; one
that no test kills is printed with its place. `mutants.toml` says of some why they cannot matter.
"""

import argparse
import fnmatch
import gc
import importlib
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from queue import Queue

from mistakes import Mutant, mutants, text_of

ROOT = Path(__file__).resolve().parents[1]

SERIAL = "serial"

NO_TESTS = (4, 5)
"""pytest's exit status for a path that is not there, or for no test in it."""

WHOLE = "serial tests/test_columns.py"

EXCHANGE = "tests/comm/test_exchange.py tests/comm/test_silent_workers.py"

VALIDITY = "tests/comm/test_validity.py tests/certificate/test_mistakes.py"

DOOR = "tests/comm/test_door.py tests/comm/test_parcels.py"

TESTS = {
    "run/evaluation.py": (
        "1 tests/comm/test_evaluator.py",
        WHOLE,
        "serial tests/test_evaluation.py",
    ),
    "run/validity.py": (f"1 {VALIDITY}", f"2 {VALIDITY}", WHOLE),
    "run/watch.py": (f"1 {VALIDITY}", f"2 {VALIDITY}", WHOLE),
    "rounds/randomness.py": ("serial tests/test_randomness.py",),
    "collectives": ("serial tests/collectives", f"1 {EXCHANGE}", f"2 {EXCHANGE}"),
    "exchange": (f"1 {EXCHANGE}", f"2 {EXCHANGE}", WHOLE, "2 tests/certificate"),
    "comm/mpi.py": (f"1 {DOOR}", f"2 {DOOR}", f"2 {EXCHANGE}"),
    "door": ("serial tests/door", f"1 {DOOR}", f"2 {DOOR}", f"2 {EXCHANGE}"),
    "methods": ("serial tests/methods tests/test_config.py", WHOLE),
    "problems": (
        "serial tests/problems/test_defaults.py tests/problems/test_{}.py",
        "serial tests/problems",
        WHOLE,
    ),
    "compressors": (
        "serial tests/compressors/test_constants.py tests/compressors/test_options.py"
        " tests/compressors/test_wire_sizes.py",
        "serial tests/compressors/test_{}.py",
        "serial tests/compressors/test_extremes.py",
    ),
    "compressors/composed/blocks.py": (
        "serial tests/compressors/test_gathered.py tests/compressors/test_shared.py",
    ),
    **dict.fromkeys(
        ("compressors/factors/factorizations.py", "compressors/factors/adaptive.py"),
        (
            "serial tests/compressors/test_constants.py tests/compressors/test_options.py"
            " tests/compressors/test_wire_sizes.py",
            "serial tests/compressors/test_{}.py tests/compressors/test_lowrank.py",
            "serial tests/compressors/test_extremes.py",
        ),
    ),
    "compressors/factors/allreduced.py": ("serial tests/compressors/test_shared.py",),
}
"""What is to kill the mutants of a module, quickest first: ranks, or "serial", and pytest's paths.

{} is the module's name, where there is such a file, else nothing. Of the compressors only what
DECLARING declare is changed: constants, sizes, refusals.
"""

DECLARING = (
    *("__init__", "promised", "chosen", "see", "reducing", "coordinates", "factors", "project_on"),
    *("level_values", "in_a_period", "plan", "remainder", "_constants", "_combined"),
)
"""The functions in which a compressor is made."""

ELSEWHERE = {
    "whole": "gathered",
    "sparse": "gathered",
    "trits": "bits",
}
"""Where the tests of a module are that has no file of its name."""


def modules() -> dict[str, tuple[str, ...]]:
    """Every module below the names of TESTS, with its tests."""
    found = {}
    for name, tests in TESTS.items():
        path = ROOT / "mpi_lowrank" / name
        for module in [path] if path.is_file() else sorted(path.rglob("*.py")):
            lines = (_tested(line, module.stem) for line in tests)
            there = tuple(line for line in lines if "/" in line)
            found[str(module.relative_to(ROOT / "mpi_lowrank"))] = there
    return found


def _tested(line: str, stem: str) -> str:
    """The line with the module's own name, or that where its tests are, and the files there are."""
    ranks, *paths = line.split()
    names = stem, ELSEWHERE.get(stem, stem)
    wished = [[path.replace("{}", name) for name in names] for path in paths]
    there = [next((path for path in two if (ROOT / path).exists()), None) for two in wished]
    return " ".join([ranks, *filter(None, there)])


def answers() -> list[dict[str, str]]:
    """The rows of `mutants.toml`: file, perhaps function, before, perhaps after, and the reason."""
    return tomllib.loads((ROOT / "bench" / "mutants.toml").read_text())["mutants"]


def answers_to(row: dict[str, str], mutant: Mutant) -> bool:
    """Whether the row is about the mutant: a pattern for its file, the rest word by word."""
    told = {key: row[key] for key in row if key not in ("reason", "file")}
    named = fnmatch.fnmatch(mutant.file, row["file"])
    return named and all(getattr(mutant, key) == value for key, value in told.items())


class Copy:
    """A copy of the repository in which one module after the other is changed and tested."""

    def __init__(self, folder: Path):
        self.folder = folder
        ignored = shutil.ignore_patterns(".*", "__pycache__", "*.h5", "*.egg-info", "build")
        shutil.copytree(ROOT, folder, ignore=ignored)
        self._reach = os.environ | {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}

    def test(self, mutant: Mutant, tests: tuple[str, ...], patience: float) -> str:
        """What became of the mutant: "killed", "timeout" or "survived"."""
        path = self.folder / "mpi_lowrank" / mutant.file
        kept = path.read_text()
        self._write(path, text_of(mutant, kept))
        try:
            for line in tests:
                fate = self.session(line, patience)
                if fate != "survived":
                    return fate
            return "survived"
        finally:
            self._write(path, kept)

    @staticmethod
    def _write(path, text):
        for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
            compiled.unlink()
        path.write_text(text)

    def session(self, line: str, patience: float) -> str:
        """What becomes of one line of tests."""
        ranks, paths = line.split(maxsplit=1)
        given = ["-x", "-q", "-p", "no:cacheprovider", "--no-header", *paths.split()]
        if ranks in (SERIAL, "1"):
            kind = ["-m", "not mpi"] if ranks == SERIAL else ["--with-mpi", "-m", "mpi"]
            return self._forked([*given, *kind], patience)
        mpirun = Path(sys.executable).with_name("mpirun")
        command = [mpirun, "-n", ranks, sys.executable, "-m", "pytest", "--with-mpi", "-m", "mpi"]
        with open(self.folder / "output", "w") as output:
            started = subprocess.Popen(
                [*command, *given],
                cwd=self.folder,
                env=self._reach,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
            return _await(started.pid, started.poll, patience)

    def _forked(self, given: list[str], patience: float) -> str:
        """pytest in a child of this process, which has imported what takes long."""
        child = os.fork()
        if child == 0:
            os.setsid()
            os.chdir(self.folder)
            os.environ.update(self._reach)
            sys.path.insert(0, str(self.folder))
            output = os.open("output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(output, 1), os.dup2(output, 2)
            os._exit(_pytest(given))

        def poll():
            ended, status = os.waitpid(child, os.WNOHANG)
            return os.waitstatus_to_exitcode(status) if ended else None

        return _await(child, poll, patience)


def _pytest(given):
    import pytest

    try:
        return int(pytest.main(given))
    except BaseException:
        return 1


def _await(pid, poll, patience):
    deadline = time.monotonic() + patience
    while (code := poll()) is None and time.monotonic() < deadline:
        time.sleep(0.01)
    if code is None:
        os.killpg(pid, signal.SIGKILL)
        while poll() is None:
            time.sleep(0.01)
        return "timeout"
    if code in NO_TESTS:
        raise RuntimeError(f"pytest had nothing to run: exit status {code}")
    return "killed" if code else "survived"


def warm_up() -> None:
    """Import what the tests need and the mutants are not part of."""
    for name in ("numpy.testing", "scipy.sparse.linalg", "scipy.special", "h5py", "ml_dtypes"):
        importlib.import_module(name)
    for name in ("pytest", "hypothesis", "threadpoolctl", "pooch", "tqdm"):
        importlib.import_module(name)
    gc.freeze()


def everything(names: Sequence[str] = ()) -> Iterator[Mutant]:
    """Every mutant of the modules whose names begin so; of all without names."""
    for file in modules():
        if not names or file.startswith(tuple(names)):
            only = DECLARING if file.startswith("compressors") else ()
            yield from mutants(file, (ROOT / "mpi_lowrank" / file).read_text(), only)


def choose(names: Sequence[str], sample: int | None, seed: int) -> list[Mutant]:
    """The mutants of the named modules, or a sample of so many of each."""
    draw, chosen = random.Random(seed), []
    for _, made in itertools.groupby(everything(names), key=lambda mutant: mutant.file):
        made = list(made)
        chosen += draw.sample(made, min(sample or len(made), len(made)))
    draw.shuffle(chosen)  # a run that is ended early has seen a little of everything
    return chosen


def check(unchanged: Copy, chosen: list[Mutant]) -> None:
    """End unless the tests pass where nothing is changed."""
    for line in sorted({line for mutant in chosen for line in modules()[mutant.file]}):
        began = time.monotonic()
        fate = unchanged.session(line, 600)
        print(f"{time.monotonic() - began:6.1f} s  {line}", flush=True)
        if fate != "survived":
            sys.exit(f"{fate} without a change:\n{(unchanged.folder / 'output').read_text()}")


def judge(mutant: Mutant, own: Copy, patience: float) -> dict:
    """A row of the result: the mutant, what became of it, and how long that took."""
    began = time.monotonic()
    known = any(answers_to(row, mutant) for row in answers())
    fate = "answered" if known else own.test(mutant, modules()[mutant.file], patience)
    return asdict(mutant) | {"fate": fate, "seconds": time.monotonic() - began}


def judged(chosen: list[Mutant], jobs: int, patience: float) -> Iterator[dict]:
    """The rows of all of them, in order; every thread has a copy of the repository."""
    with tempfile.TemporaryDirectory() as folder:
        copies: Queue[Copy] = Queue()
        for job in range(jobs):
            copies.put(Copy(Path(folder) / str(job)))
        check(copies.queue[0], chosen)

        def one(mutant):
            own = copies.get()
            try:
                return judge(mutant, own, patience)
            finally:
                copies.put(own)

        with ThreadPoolExecutor(jobs) as pool:
            yield from pool.map(one, chosen)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*", help="such as methods or door/door.py; default: all")
    parser.add_argument("--sample", type=int, help="mutants of a module; default: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--patience", type=float, default=90, help="seconds a session of tests")
    parser.add_argument("--out", type=Path, default=Path("results/mutants.json"))
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    warm_up()
    rows = []
    chosen = choose(given.modules, given.sample, given.seed)
    for row in judged(chosen, given.jobs, given.patience):
        rows.append(row)
        given.out.write_text(json.dumps(rows, indent=1))
        if row["fate"] == "survived":
            place = f"{row['file']}:{row['line']} in {row['function']}"
            print(f"{place}: {row['before']}  ->  {row['after']}", flush=True)
    fates = Counter(row["fate"] for row in rows)
    print(f"{len(rows)} of {sum(1 for _ in everything())} mutants:", dict(fates))
    return 1 if fates["survived"] else 0


if __name__ == "__main__":
    sys.exit(main())
