"""Bytes a second of every compressor's encode and decode, beside memcpy of the same vector.

    python bench/throughput.py
    python bench/throughput.py --d 100000 --only natural topk:k=1000+natural --json

One worker's vector of d Gaussian numbers, in a float32 and in a float64 state; matrices are as
square as d allows. Without --only it is every registered compressor with each of its examples, the
budgets scaled to d: 1 % of the coordinates (a quarter of them behind another compressor), rank 4.
GB/s are the state's bytes over the median of the repeats, encode with its check for numbers that
are not finite. `copies`: how many times a memcpy of the vector, measured between the repeats, goes
into that time. ns per number, at d/10 and d: what grows has left the cache, or is an SVD; a Python
loop over coordinates would take 100 ns and more at any d. Of an Allreduced compressor the last step
is taken for the decoding.
"""

import argparse
import json
import resource
from collections.abc import Callable, Iterator
from statistics import median
from time import perf_counter

import numpy as np
from families import FAMILIES, family, one_line, tensor_shape
from threadpoolctl import threadpool_limits

from mpi_lowrank.certificate import default_specs, drive
from mpi_lowrank.compressors import compressors
from mpi_lowrank.compressors.base import Operator, complete
from mpi_lowrank.compressors.factors.lowrank import matrix_shape
from mpi_lowrank.compressors.wire.messages import LENGTH
from mpi_lowrank.config.options import read_spec
from mpi_lowrank.errors import OptionError, UserError
from mpi_lowrank.registry import Choice
from mpi_lowrank.run.components import make_operator

STATES = ("float32", "float64")
RANK, SHARE = 4, 100
REPEATS = (5, 200)
"""At least and at most so many repeats; between them, as many as fit into the time given."""
TOO_SLOW = 5.0
"""Seconds a call at d/10, from which d itself is not tried."""
MEMORY = 4 << 30
"""Bytes of address space, so that an impossible size is refused and not swapped."""


def scaled(choice: Choice, d: int, share: int = SHARE) -> Choice:
    """An example made for a hundred numbers, with budgets for d of them."""
    known = compressors[choice.name].options
    options = {o: v for o, v in choice.options.items() if o != "shape"}
    options |= {o: RANK for o in ("rank", "columns", "budget") if o in known}
    if "k" in options:
        options["k"] = type(options["k"])(max(1, d // share))
    if choice.name == "bernoulli":
        options["p"] = 1.0  # else most messages are empty
    if "shape" in known and known["shape"].required:
        options["shape"] = tensor_shape(*matrix_shape((d,), "auto"))
    then = scaled(choice.then, d, 4 * share) if choice.then else None
    return Choice(choice.name, options, then)


def block_of(choice: Choice, d: int) -> tuple[int, ...]:
    return matrix_shape((d,), "auto") if compressors[choice.name].per_block else (d,)


def gathered(operator: Operator, x: np.ndarray) -> Callable[[int], tuple[float, float, int]]:
    """A call that takes a round's number: seconds of encode and of decode, bytes of the message."""
    drive.prepare(operator, 1)
    messages = np.zeros((1, operator.nbytes), np.uint8)
    out = np.empty_like(x)

    def once(round: int) -> tuple[float, float, int]:
        drive.begin(operator, 1, round, 0, 0)
        draws = drive.own_draws(operator, 1, round, 0, 0)
        began = perf_counter()
        operator.pack(x, messages, draws)
        encoded = perf_counter()
        operator.unpack(messages, out)
        decoded = perf_counter()
        nbytes = operator.nbytes
        if operator.variable:
            nbytes = int(messages[0, : LENGTH.itemsize].view(LENGTH)[0])
        return encoded - began, decoded - encoded, nbytes

    return once


def reduced(operator: Operator, x: np.ndarray) -> Callable[[int], tuple[float, float, int]]:
    """The same of a shared compressor and a single worker, the reductions not counted."""
    drive.prepare(operator, 1)
    own, mean = np.empty_like(x), np.empty_like(x[0])

    def once(round: int) -> tuple[float, float, int]:
        shared = drive.Stream(0, drive.Purpose.COMPRESS, drive.SHARED).at(round)
        draws = drive.own_draws(operator, 1, round, 0, 0)
        laps = [perf_counter()]

        def answer(rows: np.ndarray) -> np.ndarray:
            laps.append(perf_counter())
            received = rows[0].astype(x.dtype)
            laps.append(perf_counter())
            return received

        complete(operator.reduce(x, own, mean, shared, draws), answer, answer)
        laps.append(perf_counter())
        taken = [end - began for began, end in zip(laps[::2], laps[1::2], strict=True)]
        return sum(taken[:-1]), taken[-1], operator.nbytes

    return once


def measure(choice: Choice, d: int, state: str, seconds: float) -> dict[str, float]:
    """Medians: seconds of encode, decode and memcpy, bytes of the message."""
    x = np.random.default_rng(0).standard_normal((1, d), dtype=np.dtype(state).type)
    operator = make_operator(choice, block_of(choice, d), state, workers=1)
    once = (reduced if operator.shared else gathered)(operator, x)
    beside, taken = np.empty_like(x), []
    once(0)
    started = perf_counter()
    for repeat in range(1, REPEATS[1]):
        began = perf_counter()
        np.copyto(beside, x)
        copied = perf_counter() - began
        taken.append((*once(repeat), copied))
        if len(taken) >= REPEATS[0] and perf_counter() - started > seconds:
            break
    names = ("encode", "decode", "bytes", "memcpy")
    return {name: median(v) for name, v in zip(names, zip(*taken, strict=True), strict=True)}


def rows_of(choice: Choice, given: bool, d: int, seconds: float) -> Iterator[dict]:
    """A row a state, or one with the reason why there is none."""
    for state in STATES:
        row = {"family": family(choice), "state": state, "d": d}
        try:
            small = choice if given else scaled(choice, d // 10)
            whole = choice if given else scaled(choice, d)
            row["spec"] = one_line(whole)
            before = measure(small, d // 10, state, seconds)
            if (slow := max(before["encode"], before["decode"])) > TOO_SLOW:
                yield row | {"skipped": f"a call takes {slow:.0f} s at d = {d // 10}"}
                return
            yield row | figures(
                measure(whole, d, state, seconds), before, d, np.dtype(state).itemsize
            )
        except OptionError as error:
            yield row | {"skipped": f"{error.option} = {error.value}: allowed is {error.allowed}"}
            return
        except MemoryError:
            yield row | {"skipped": f"needs more than {MEMORY >> 30} GiB"}
            return


def figures(found: dict, before: dict, d: int, itemsize: int) -> dict:
    row = {"bytes": found["bytes"], "of_float32": found["bytes"] / (4 * d)}
    row["memcpy_gb_s"] = itemsize * d / found["memcpy"] / 1e9
    for part in ("encode", "decode"):
        row[f"{part}_gb_s"] = itemsize * d / found[part] / 1e9
        row[f"{part}_copies"] = found[part] / found["memcpy"]
        row[f"{part}_ns_tenth"] = before[part] / (d // 10) * 1e9
        row[f"{part}_ns"] = found[part] / d * 1e9
    return row


WIDTH = 28


def header(d: int) -> str:
    tenth, whole = (f"{n:.0e}".replace("+0", "") for n in (d // 10, d))
    part = f"{'GB/s':>7}{'copies':>7}{tenth:>7}{whole:>7}"
    upper = "".join(f"{name:>14}{'ns per number':>14}" for name in ("encode", "decode"))
    empty = f"{'':<{WIDTH + 3}}"
    return f"{empty}{upper}\n{'compressor':<{WIDTH + 3}}{part}{part}{'KB':>7}{'of f4':>6}"


def line(row: dict, first: bool) -> str:
    name = row["spec"] if first else ""
    head = f"{name}\n{'':<{WIDTH}}" if len(name) >= WIDTH else f"{name:<{WIDTH}}"
    head += f"{'f4' if row['state'] == 'float32' else 'f8':>3}"
    if "skipped" in row:
        reason = f"  skipped: {row['skipped']}"
        return head + (reason if len(reason) <= 97 - WIDTH else f"\n{reason}")
    cells = [
        short(row[f"{part}_{what}"])
        for part in ("encode", "decode")
        for what in ("gb_s", "copies", "ns_tenth", "ns")
    ]
    size = f"{short(row['bytes'] / 1e3):>7}{row['of_float32']:>6.3f}"
    return head + "".join(f"{cell:>7}" for cell in cells) + size


def short(value: float) -> str:
    """Three digits."""
    return f"{value:.0f}" if value >= 100 else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--d", type=int, default=10**6, help="numbers in the vector")
    parser.add_argument("--only", nargs="+", metavar="SPEC", help="these, as they are written")
    parser.add_argument("--seconds", type=float, default=0.4, help="of repeats a size and state")
    parser.add_argument("--threads", type=int, default=1, help="of BLAS")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    try:
        chosen = [read_spec(spec) for spec in options.only or default_specs()]
    except UserError as error:
        parser.error(str(error))
    if not options.only:  # examples that differ in what is scaled only are one
        chosen = list({scaled(choice, options.d): choice for choice in chosen}.values())
    chosen.sort(key=lambda choice: (FAMILIES.index(family(choice)), choice.name))
    with threadpool_limits(options.threads, user_api="blas"):
        found = [show(choice, options) for choice in chosen]
    rows = [row for some in found for row in some]
    if options.json:
        print(json.dumps(rows, indent=1))
    rows = [row for row in rows if "skipped" not in row]
    for state in () if options.json else STATES:
        speeds = [r["memcpy_gb_s"] for r in rows if r["state"] == state]
        if speeds:
            print(f"memcpy, {state}: {median(speeds):.1f} GB/s, median over the table")
        for row in rows:
            spec = read_spec(row["spec"])
            if (spec.name, row["state"]) == ("topk", state) and not spec.then:
                beside_argpartition(row, spec.options["k"])


def beside_argpartition(row: dict, k: int) -> None:
    """Print what share of np.argpartition's time Top-K's encode takes, check and packing too."""
    x = np.abs(
        np.random.default_rng(0).standard_normal(row["d"], dtype=np.dtype(row["state"]).type)
    )
    taken: list[float] = []
    for _ in range(REPEATS[0]):
        began = perf_counter()
        np.argpartition(x, row["d"] - k)
        taken.append(perf_counter() - began)
    share = row["encode_ns"] * row["d"] / 1e9 / median(taken)
    print(f"np.argpartition, {row['state']}: {1e3 * median(taken):.1f} ms, encode / it {share:.2f}")


_shown: list[str] = []


def show(choice: Choice, options: argparse.Namespace) -> list[dict]:
    """Measure, and unless it is for JSON print as it comes."""
    rows = []
    for row in rows_of(choice, bool(options.only), options.d, options.seconds):
        rows.append(row)
        if options.json:
            continue
        if not _shown:
            print(header(options.d))
        if row["family"] not in _shown:
            print(row["family"])
            _shown.append(row["family"])
        print(line(row, first=len(rows) == 1), flush=True)
    return rows


if __name__ == "__main__":
    main()
