"""How the ledger grows with rounds and ranks, and what an evaluation takes as workers become more.

    python bench/growth.py

The ledger is that of rounds with three calls and an evaluation each, after a setup of 100 calls.
The ranks' ledgers are alike, so that one is made and counted for all: no ranks run. "Call by call"
is a row of 76 bytes for each call and rank. Evaluations are of logistic regression on mushrooms, in
one process, with the loss; the gradients are those that the method takes over.
"""

import argparse
from itertools import product
from pathlib import Path
from time import perf_counter

from mpi_lowrank import config
from mpi_lowrank.door import Alone, Door
from mpi_lowrank.door.ledger import SETUP, Ledger
from mpi_lowrank.record import LEDGER_DTYPE
from mpi_lowrank.run.assembly import assemble, ground

CALL_BY_CALL = 76
CALLS = [("Allreduce", "uplink"), ("Allreduce", "uplink"), ("Bcast", "downlink")]
CALLS += [("Allreduce", "evaluation")] * 3
SETUP_CALLS, REPEATS = 100, 20

CASE = """
workers = {workers}
rounds = 1
data = "mushrooms"
stepsize = 0.001
[[cases]]
method = "DCGD"
compressor = "topk:k=2"
"""


def ledger(rounds: int, ranks: int) -> Ledger:
    """One rank's ledger after so many rounds."""
    made = Ledger(0, ranks)
    for call in range(SETUP_CALLS):
        made.add(SETUP, "Allreduce", "float64", call, 8 * call, 0.0, 0.0, "setup")
    for number in range(rounds):
        for op, purpose in CALLS:
            made.add(number, op, "float64", 112, 896, 896.0, 1e-5, purpose)
    return made


def evaluation(workers: int, repeats: int) -> list[float]:
    """Milliseconds of the gradients, and of an evaluation besides; the least of some."""
    (case,) = config.parse(CASE.format(workers=workers), Path("growth")).cases
    door = Door(Alone())
    made = assemble(case, ground(case, door), door)
    x, spent = made.method.step.model, []
    for _ in range(repeats):
        made.evaluate.gradients(x)  # the method's: what an evaluation held is taken
        began = perf_counter()
        made.evaluate.gradients.evaluated(x)
        held = perf_counter()
        made.evaluate(x, 0, last=True)
        spent.append((held - began, perf_counter() - held))
    return [1e3 * least for least in map(min, zip(*spent, strict=True))]


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, nargs="+", default=[1000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--ranks", type=int, nargs="+", default=[2, 16, 1000])
    parser.add_argument("--workers", type=int, nargs="+", default=[20, 1000, 5000, 8000])
    options = parser.parse_args()
    print("   rounds  ranks  rows a rank  MB on rank 0  call by call, MB")
    for rounds, ranks in product(options.rounds, options.ranks):
        rows = len(ledger(rounds, ranks).rows())
        calls = SETUP_CALLS + rounds * len(CALLS)
        ours, theirs = rows * LEDGER_DTYPE.itemsize, calls * CALL_BY_CALL
        told = f"{ours * ranks / 1e6:>14.2f}{theirs * ranks / 1e6:>18.1f}"
        print(f"{rounds:>9}{ranks:>7}{rows:>13}{told}")
    print("  workers  gradients, ms  evaluation besides, ms")
    for workers in options.workers:
        gradients, besides = evaluation(workers, REPEATS)
        print(f"{workers:>9}{gradients:>15.2f}{besides:>24.2f}")


if __name__ == "__main__":
    main()
