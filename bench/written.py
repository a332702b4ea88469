"""How many bytes a run writes for its record, beside the bytes that the record has at its end.

    python bench/written.py
    python bench/written.py --every 1 --rows 2000

One long case, and a sweep of short ones; a flush after every so many rows. "whole" is what flushes
would have written that write the whole record each time.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import mpi_lowrank.record.flushes as flushes
from mpi_lowrank.record import COLUMNS, LEDGER_DTYPE, PHASES_DTYPE, RecordWriter

RANKS = 4
CALLS = 600


class Counted(RecordWriter):
    """A record that counts what is written for it: what its file grows by, or all of a new one."""

    written = whole = 0
    _file_now: tuple[int, int] = 0, 0

    def publish(self) -> bool:
        """As the record's; counts."""
        told = super().publish()
        self.count()
        return told

    def count(self) -> None:
        """Look at the file."""
        status, (file, size) = self.live.stat(), self._file_now
        self.written += status.st_size - (size if file == status.st_ino else 0)
        self.whole += len(self._file.id.get_file_image())
        self._file_now = status.st_ino, status.st_size


def sweep(path: Path, cases: int, rows: int, every: int) -> Counted:
    """Write a record of so many cases and rows of each."""
    random = np.random.default_rng(1)
    writer = Counted(path, {"config": "x" * 1000})
    writer.count()
    for number in range(cases):
        writer.start_case(f"case {number}", {"L_i": random.random(20), "method": "EF21"})
        for row in range(rows):
            told = dict(zip(COLUMNS, np.sort(random.random(len(COLUMNS))), strict=True))
            writer.append(told | {"round": row, "uplink_bytes": 28.0 * row})
            if row % every == 0:
                writer.publish()
        writer.finish_case({"status": "finished"}, _ledger(random), np.ones(RANKS, PHASES_DTYPE))
    writer.flush(now=True)
    writer.count()
    return writer


def _ledger(random: np.random.Generator) -> np.ndarray:
    ledger = np.ones(CALLS, LEDGER_DTYPE)
    ledger["rank"], ledger["round"] = np.arange(CALLS) % RANKS, np.arange(CALLS) // RANKS
    ledger["seconds"], ledger["bytes"] = random.random(CALLS), random.integers(1000, size=CALLS)
    return ledger


def main() -> None:
    """Print a line for the long case, and one for the sweep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("rows", 20_000), ("cases", 100), ("every", 20)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    flushes.INTERVAL = 0.0
    flushes.HEAD_START = np.inf
    print("record               flushed   MB at end   written   whole", *_lines(options), sep="\n")


def _lines(options: argparse.Namespace) -> Iterator[str]:
    rows, cases, every = options.rows, options.cases, options.every
    for told, shape in (("one long case", (1, rows)), ("sweep of cases", (cases, rows // cases))):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "r.h5")
            made = sweep(path, *shape, every)
            size = path.stat().st_size
        ratios = f"{made.written / size:>9.1f}x{made.whole / size:>7.0f}x"
        yield f"{told:<20}{rows // every:>8}{size / 1e6:>12.2f}{ratios}"


if __name__ == "__main__":
    main()
