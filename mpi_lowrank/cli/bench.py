"""The command `bench`, and its records where other commands meet them."""

import argparse
import json
from pathlib import Path

from mpi_lowrank.cli.parsing import add_command, add_commands, add_json, add_out
from mpi_lowrank.cli.ranks import on_all_ranks, progress
from mpi_lowrank.machine import output
from mpi_lowrank.report.numbers import finite

REPEATED = """
Each row repeats until the 95 % confidence interval of its median, whatever the distribution,
reaches no further than 5 %, or a limit is reached; the row says which. The record has every sample:
mpi-lowrank show prints it again.
"""

BENCH_EXAMPLE = f"""\
example:
  mpirun -n 2 mpi-lowrank bench collectives --out results/collectives.h5
  mpirun -n 2 mpi-lowrank bench kernels --out results/kernels.h5
  mpirun -n 2 mpi-lowrank bench round --out results/round.h5
  mpirun -n 2 mpi-lowrank bench scaling --out results/scaling.h5
{REPEATED}"""

COLLECTIVES_EXAMPLE = f"""\
example:
  mpirun -n 2 mpi-lowrank bench collectives --out results/collectives.h5
  mpirun -n 2 mpi-lowrank bench collectives --sizes 4096 65536 --seconds 0.5 --overwrite --json

The calls of the door, each after a barrier, the slowest rank's seconds; Send is half of a message
to the last rank and back. All data are compared: a wrong byte ends the bench, on every rank.
{REPEATED}"""


KERNELS_EXAMPLE = f"""\
example:
  mpirun -n 2 mpi-lowrank bench kernels --out results/kernels.h5
  mpi-lowrank bench kernels --sizes 100000 --only natural topk:k=1000+natural --json

Every compressor with each of its examples, budgets scaled to the vector's numbers: 1 % of the
coordinates, rank 4. Encode and decode of one worker's vector on each rank, all ranks at once, and
memcpy of the same bytes between them; of an Allreduced compressor the last step is the decoding.
{REPEATED}"""


ROUND_EXAMPLE = f"""\
example:
  mpirun -n 2 mpi-lowrank bench round --out results/round.h5

EF21 with Top-1 on mushrooms, 20 workers, through all that `mpi-lowrank run` does; runs alternate
with the baseline, what the EF21 paper's scripts do in one process: a loop over workers with dense
shards, products with `A * y[:, None]`, an argpartition. MPI_LOWRANK_KERNELS chooses the kernels.
{REPEATED}"""


SCALING_EXAMPLE = f"""\
example:
  mpirun -n 2 mpi-lowrank bench scaling --out results/scaling.h5
  mpi-lowrank plot results/scaling.h5 -o results/scaling.png

GD, EF21 with gathered Top-K and EF21 with Allreduced PowerSGD, a 128 x 128 matrix for each worker;
the ranks that take no part sleep. Ranks that share cores are marked: their rows tell no scaling.
{REPEATED}"""


def add_bench(commands) -> None:
    text = "Measure calls and compressors on these ranks; each bench prints its verdict."
    benches = add_commands(commands, "bench", text, BENCH_EXAMPLE, "NAME", dest="bench")
    text = "The calls by size: percentiles, bandwidth, and a fitted latency and bandwidth for each."
    collectives = add_command(benches, "collectives", bench, text, epilog=COLLECTIVES_EXAMPLE)
    told = "bytes that each rank hands over (default: 4 to 8 MiB)"
    collectives.add_argument("--sizes", type=int, nargs="+", metavar="BYTES", help=told)
    _add_common(collectives, 2.0, 1000)
    text = "Every compressor's encode and decode by size, beside memcpy of the same bytes."
    kernels = add_command(benches, "kernels", bench, text, epilog=KERNELS_EXAMPLE)
    told = "numbers in the vector (default: 100000 1000000)"
    kernels.add_argument("--sizes", type=int, nargs="+", metavar="COUNT", help=told)
    kernels.add_argument("--only", nargs="+", metavar="SPEC", help="these, as they are written")
    told = "the state's type (default: float32)"
    kernels.add_argument("--dtype", choices=("float32", "float64"), default="float32", help=told)
    _add_common(kernels, 2.0, 1000)
    text = "Where a round's time goes on each rank, its wait for others, beside a plain script."
    one = add_command(benches, "round", bench, text, epilog=ROUND_EXAMPLE)
    told = "rounds of a run, each run being a repeat (default: 500)"
    one.add_argument("--rounds", type=int, default=500, metavar="COUNT", help=told)
    _add_common(one, 30.0, 100)
    text = "A round on 1, 2, 4, ... ranks: with the same workers, and with as many for each rank."
    scaling = add_command(benches, "scaling", bench, text, epilog=SCALING_EXAMPLE)
    told = "numbers of ranks (default: 1, 2, 4, ... and all)"
    scaling.add_argument("--ranks", type=int, nargs="+", metavar="COUNT", help=told)
    told = "rounds of a run, each run being a repeat (default: 50)"
    scaling.add_argument("--rounds", type=int, default=50, metavar="COUNT", help=told)
    _add_common(scaling, 10.0, 30)


def _add_common(parser: argparse.ArgumentParser, seconds: float, repeats: int) -> None:
    """The record, and the limits of a row's repeats."""
    add_out(parser, "RECORD", "the record (default: results/NAME.h5)")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier record")
    told = f"at which a row's repeats end (default: {seconds:g})"
    parser.add_argument("--seconds", type=float, default=seconds, help=told)
    told = f"at which they end as well (default: {repeats})"
    parser.add_argument("--repeats", type=int, default=repeats, metavar="COUNT", help=told)
    add_json(parser)


def bench(options: argparse.Namespace) -> int:
    return on_all_ranks(f"bench {options.bench}", lambda comm: _bench_on(comm, options))


def _bench_on(comm, options: argparse.Namespace) -> int:
    from mpi_lowrank.benchmarks import session
    from mpi_lowrank.benchmarks.catalogue import BENCHES
    from mpi_lowrank.comm import parcels, world
    from mpi_lowrank.record.place import make_folder

    given = parcels.from_root(comm, _given(options))
    name, silent = given["bench"], comm.rank > 0
    if given["out"] is None:
        given["out"] = f"results/{name}.h5"
        world.agree(comm, lambda: None if silent else make_folder(Path("results")))
    session.run(comm, name, BENCHES[name], given, lambda plan: progress(plan, "row", silent))
    out = Path(given["out"])
    world.agree(comm, lambda: None if silent else output.say(_told(out, given["json"])))
    return 0


def _given(options: argparse.Namespace) -> dict:
    """The options as JSON holds them."""
    given = {name: value for name, value in vars(options).items() if name != "command"}
    return given | {"out": given["out"] and str(given["out"])}


def _told(out: Path, as_json: bool) -> str:
    from mpi_lowrank.benchmarks.sheets.report import format_bench
    from mpi_lowrank.record.bench import BenchRecord

    record = BenchRecord(out)
    if as_json:
        return json.dumps(finite(record.rows), indent=1)
    return f"{format_bench(record)}\nrecord: {out}"


def show_bench(path: Path, as_json: bool) -> None:
    """Print what the bench printed that wrote this record; as JSON its attributes and rows."""
    from mpi_lowrank.benchmarks.sheets.report import format_bench
    from mpi_lowrank.record.bench import BenchRecord

    record = BenchRecord(path)
    whole = finite({"path": str(path), **record.attributes, "rows": record.rows})
    output.say(json.dumps(whole, indent=1) if as_json else format_bench(record))
