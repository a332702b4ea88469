"""The command line: its options, and how errors are told."""

import argparse
from pathlib import Path

import mpi_lowrank
from mpi_lowrank.cli import commands as do
from mpi_lowrank.cli.bench import add_bench
from mpi_lowrank.cli.completion import add_completion
from mpi_lowrank.cli.parsing import Parser, add_command, add_commands, add_json, add_out
from mpi_lowrank.cli.status import FAILED, INTERRUPTED
from mpi_lowrank.errors import UserError
from mpi_lowrank.machine import output
from mpi_lowrank.predict import BANDWIDTHS, LATENCY, RANKS
from mpi_lowrank.registry import KINDS
from mpi_lowrank.text.options import COSTS, FORMATS

EXAMPLE = """\
example:
  mpirun -n 2 mpi-lowrank run bench/mushrooms.toml --out results/mushrooms.h5
  mpi-lowrank table results/mushrooms.h5 --median grad_norm_sq=1e-6
  mpi-lowrank plot results/mushrooms.h5 --median grad_norm_sq=1e-6
"""

RUN_EXAMPLE = """\
example:
  mpirun -n 4 mpi-lowrank run bench/mushrooms.toml --out results/more.h5 \\
      --set rounds=200 --set data.test_fraction=0.2 --set 'cases.3.stepsize=["4/L","16/L"]'

KEY is a key of the file: rounds, data.order, cases.multiple (of every case), cases.2.multiple (of
the third one). VALUE is TOML; a list makes a sweep, the cross product of cases. All keys are
listed in mpi_lowrank/config/README.md.

A case that raises is recorded as failed, with its traceback, and the next one runs. Cases whose
results are not valid are named at the end, with the reasons.

exit status:
  0    every case ran to its end
  1    a case failed, or the job had to be ended; with --strict also: a case is not valid
  2    a mistake in the configuration, the data, the options or the launch: nothing ran
  130  interrupted (Ctrl-C, SIGTERM, SIGUSR1); the same command goes on

Where --out names a record of the same cases, those that ended stay, an interrupted or killed one
goes on from its checkpoint, and what failed or is missing runs. --overwrite starts anew.

A signal is heeded within about a second, a second one at once. Open MPI's mpirun ends its ranks
half a second after Ctrl-C or SIGTERM, with status 1: SIGUSR1 leaves them the time they need.
"""


def main(arguments: list[str] | None = None) -> int:
    """Carry out one command; the exit status: 0, FAILED, BROKEN or INTERRUPTED."""
    try:
        try:
            options = make_parser().parse_args(arguments)
            return options.command(options) or 0
        finally:
            output.flush()
    except UserError as error:
        output.complain("error", error)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        output.drop()  # the reader, such as head, has seen enough
        return 0


def make_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="mpi-lowrank",
        description=mpi_lowrank.__doc__,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=mpi_lowrank.__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_run(commands)
    _add_reports(commands)
    _add_predict(commands)
    _add_certify(commands)
    add_bench(commands)
    _add_list(commands)
    _add_data(commands)
    add_completion(commands, parser)
    return parser


def _add_run(commands) -> None:
    text = "Run the cases of a configuration under mpirun or srun, and write a record."
    parser = add_command(commands, "run", do.run, text, epilog=RUN_EXAMPLE)
    parser.add_argument("config", type=Path, metavar="CONFIG.toml")
    add_out(parser, "RECORD", "the record (default: results/NAME.h5)")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace a finished record, once this one is done"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would become of each case, and run nothing"
    )
    parser.add_argument("--cases", metavar="GLOB", help="run those whose label fits: 'EF21 *'")
    parser.add_argument("--shard", metavar="I/N", help="run the I-th of N shares of the cases")
    parser.add_argument(
        "--checkpoint-every",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="from which a killed case goes on (default: 60); 0: only when a signal comes",
    )
    told = "delay every call by its time on such a network: 100mbit,50us; seconds are modelled"
    parser.add_argument("--throttle", metavar="BANDWIDTH,LATENCY", help=told)
    told = "print warnings and errors alone: no progress, no name of the record"
    parser.add_argument("--quiet", action="store_true", help=told)
    parser.add_argument(
        "--strict", action="store_true", help="exit with status 1 if a case is not valid"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override a key of the file"
    )


MERGE_EXAMPLE = """\
example:
  mpi-lowrank merge results/mine-1.h5 results/mine-2.h5 -o results/mine.h5

Of a case in several records the one that ended is taken. The merged record goes on like any other.
"""

TABLE_EXAMPLE = """\
example:
  mpi-lowrank table results/mine.h5 --target grad_norm_sq=1e-6
  mpi-lowrank table results/mine.h5 --target loss=0.3 --target grad_norm_sq=1e-6 --cases 'EF21 *' \\
      --columns compressor.k,multiple,reached.rounds,reached2.rounds --sort reached.rounds \\
      --format markdown
  mpi-lowrank table results/mushrooms.h5 --median grad_norm_sq=1e-6   # a row for all seeds
"""

BEST_EXAMPLE = """\
example:
  mpi-lowrank best results/mine.h5 --target grad_norm_sq=1e-6 --by uplink_bytes

Cases that differ in the stepsize alone compete, those that differ in the seed alone stand together:
the step whose median over the seeds is least stands for a method. A seed that never arrives took
infinitely many.
"""

PLOT_EXAMPLE = """\
example:
  mpi-lowrank plot results/mine.h5 -o results
  mpi-lowrank plot results/mine.h5 --best grad_norm_sq=1e-6 --y loss --x total_bytes -o mine.svg
  mpi-lowrank plot results/mushrooms.h5 --median grad_norm_sq=1e-6    # a line for all seeds
"""


PAGE_EXAMPLE = """\
example:
  mpi-lowrank report results/mine.h5 -o results/mine.html
"""


def _add_reports(commands) -> None:
    merge = add_command(
        commands,
        "merge",
        do.merge,
        "Join records of one configuration, of which each has some of the cases.",
        epilog=MERGE_EXAMPLE,
    )
    merge.add_argument("records", nargs="+", type=Path, metavar="RECORD")
    add_out(merge, "RECORD", "the record of all of them", required=True)
    table = add_command(
        commands,
        "table",
        do.table,
        "Print a row per case: rounds, bytes per worker, seconds, loss, gradient, accuracy.",
        epilog=TABLE_EXAMPLE,
    )
    table.add_argument("records", nargs="+", type=Path, metavar="RECORD")
    table.add_argument(
        "--target",
        action="append",
        default=[],
        metavar="METRIC=VALUE",
        help="what each case needs to reach it, such as loss=0.1; may be given several times",
    )
    _add_median(table)
    _add_form(table)
    _add_best(commands)
    plot = add_command(
        commands,
        "plot",
        do.plot,
        "Draw accuracy, loss and gradient against bytes, rounds and seconds, as PNG, PDF or SVG.",
        epilog=PLOT_EXAMPLE,
    )
    plot.add_argument("records", nargs="+", type=Path, metavar="RECORD")
    told = "a folder (default: the record's), or for one figure a .png, .pdf or .svg"
    add_out(plot, "PATH", told)
    plot.add_argument("--cases", metavar="GLOB", help="cases whose label fits: 'EF21 *'")
    _add_view(plot)
    add_json(plot)
    _add_compare(commands)
    _add_page(commands)
    show = add_command(
        commands,
        "show",
        do.show,
        "Print where a record comes from: code, machines, MPI, data, constants.",
        epilog="example:\n  mpi-lowrank show results/mushrooms.h5",
    )
    show.add_argument("record", type=Path, metavar="RECORD")
    told = "every case of many, and the configuration"
    show.add_argument("--all", action="store_true", help=told)
    add_json(show)


PREDICT_EXAMPLE = """\
example:
  mpi-lowrank predict results/mine.h5 --target grad_norm_sq=1e-6 -o results/predicted.png
  mpi-lowrank predict results/mine.h5 --bandwidth 10mbit..1gbit --latency 1ms --ranks 8..64

Gradients, compressors and updates take what they took in the record, the wire takes its model's
time, and one does not overlap the other. Every rank has a worker, with as much data as in the
record, and the rounds to a target stay those of the record. The table is for the first number of
ranks, the figure for the whole range.
"""


def _add_predict(commands) -> None:
    text = "Predict the time of a record's methods on other networks: does compression pay there?"
    predict = add_command(commands, "predict", do.predict, text, epilog=PREDICT_EXAMPLE)
    predict.add_argument("record", type=Path, metavar="RECORD")
    told = "the time to reach it, such as grad_norm_sq=1e-6, not that of a round"
    predict.add_argument("--target", metavar="METRIC=VALUE", help=told)
    told = "of every rank's link (default: %(default)s)"
    predict.add_argument("--bandwidth", default=BANDWIDTHS, metavar="LOW..HIGH", help=told)
    told = "of a message (default: %(default)s)"
    predict.add_argument("--latency", default=LATENCY, metavar="TIME", help=told)
    predict.add_argument("--ranks", default=RANKS, metavar="LOW..HIGH", help="default: %(default)s")
    told = "a heat map of the fastest method: a file (.png, .pdf, .svg) or a folder"
    add_out(predict, "FIGURE", told)
    predict.add_argument("--format", choices=("text", "json"), default="text", help="default: text")


COMPARE_EXAMPLE = """\
example:
  mpi-lowrank compare results/mine.h5 results/mine-again.h5

Every column of every case is compared to the bit, but for the seconds: of these there is a ratio.
The exit status is 0 if all cases are the same, 1 if one differs or is missing.
"""


def _add_compare(commands) -> None:
    text = "Say in which round two records of the same cases differ first, and which is slower."
    compare = add_command(commands, "compare", do.compare, text, epilog=COMPARE_EXAMPLE)
    compare.add_argument("record", type=Path, metavar="RECORD")
    compare.add_argument("other", type=Path, metavar="OTHER")
    add_json(compare)


def _add_best(commands) -> None:
    text = "Print each method at its best step, medians over seeds, and ratios to a baseline."
    best = add_command(commands, "best", do.best, text, epilog=BEST_EXAMPLE)
    best.add_argument("records", nargs="+", type=Path, metavar="RECORD")
    told = "what each method needs to reach it, such as loss=0.1"
    best.add_argument("--target", required=True, metavar="METRIC=VALUE", help=told)
    _add_cost(best)
    _add_form(best)


def _add_page(commands) -> None:
    text = "Write one HTML page that needs no network: conclusions, curves, validity, origins."
    page = add_command(commands, "report", do.report, text, epilog=PAGE_EXAMPLE)
    page.add_argument("records", nargs="+", type=Path, metavar="RECORD")
    add_out(page, "FILE", "default: NAME.html beside the record")
    told = "where its slider begins (default: where most cases were to stop)"
    page.add_argument("--target", metavar="METRIC=VALUE", help=told)
    _add_cost(page)


def _add_cost(parser: argparse.ArgumentParser) -> None:
    """By which cost the best step is found, and what it is compared with."""
    parser.add_argument(
        "--by",
        default="total_bytes",
        choices=COSTS,
        help="the cost that decides, from here to the target (default: total_bytes)",
    )
    told = "the method that ratios are to, as the table names it (default: the record's)"
    parser.add_argument("--baseline", metavar="NAME", help=told)


def _add_form(parser: argparse.ArgumentParser) -> None:
    """Which rows are printed, in which form."""
    parser.add_argument("--cases", metavar="GLOB", help="rows whose label fits: 'EF21 *'")
    told = "keys of the JSON or options of the case: rounds,loss,problem.lambda,reached.rounds"
    parser.add_argument("--columns", metavar="KEY,...", type=_keys, help=told)
    told = "a column: the best first, or texts by the alphabet"
    parser.add_argument("--sort", metavar="KEY", help=told)
    parser.add_argument("--format", choices=FORMATS, default="text", help="default: text")
    told = "the same as --format json"
    parser.add_argument("--json", dest="format", action="store_const", const="json", help=told)


def _keys(given: str) -> list[str]:
    return given.split(",")


def _add_view(plot: argparse.ArgumentParser) -> None:
    """One figure in place of all."""
    told = f"{', '.join(COSTS)}; with --best also an option that is a number, such as workers"
    plot.add_argument("--x", metavar="KEY", help=told)
    told = "default: grad_norm_sq; with an option as --x costs, such as uplink_bytes,rounds"
    plot.add_argument("--y", metavar="METRIC", help=told)
    told = "a panel for each value of these, such as problem,workers"
    plot.add_argument("--panels", metavar="KEY,...", type=_keys, help=told)
    plot.add_argument("--color", metavar="KEY", help="a colour for each value of this")
    told = "name curves by these, such as method,compressor.k"
    plot.add_argument("--labels", metavar="KEY,...", type=_keys, help=told)
    kinds = plot.add_mutually_exclusive_group()
    told = "each method at the step that takes least of --x to reach it"
    kinds.add_argument("--best", metavar="METRIC=VALUE", help=told)
    told = "bytes to reach it against rounds, a mark for each compressor at its best step"
    kinds.add_argument("--frontier", metavar="METRIC=VALUE", help=told)
    _add_median(kinds)


def _add_median(parser) -> None:
    told = (
        "take cases that differ in their seed alone together: medians of what they need to reach it"
    )
    parser.add_argument("--median", metavar="METRIC=VALUE", help=told)


CERTIFY_EXAMPLE = """\
example:
  mpi-lowrank certify                                   # every compressor, a minute or two
  mpi-lowrank certify topk:k=8 "svd:rank=1,shape=7x16+natural" --verbose
  mpirun -n 2 mpi-lowrank certify --ranks

SPEC is NAME or NAME:OPTION=VALUE,...; a second one behind a + carries the first one's numbers.
The exit status is 1 if a promise does not hold.
"""


def _add_certify(commands) -> None:
    text = "Measure what compressors promise: alpha or omega, bytes, draws, what receivers read."
    parser = add_command(commands, "certify", do.certify, text, epilog=CERTIFY_EXAMPLE)
    parser.add_argument("specs", nargs="*", metavar="SPEC", help="default: all of them")
    parser.add_argument(
        "--ranks", action="store_true", help="measure over MPI what only several ranks can show"
    )
    parser.add_argument("--verbose", action="store_true", help="show every promise on its own line")
    add_json(parser)


def _add_list(commands) -> None:
    text = "List the compressors, methods, problems, data sets and collectives, with their options."
    parser = add_command(
        commands,
        "list",
        do.list_components,
        text,
        epilog="example:\n  mpi-lowrank list compressors\n  mpi-lowrank list topk",
    )
    told = f"{', '.join(KINDS)}; or one component's name, to be told of it alone"
    parser.add_argument("name", nargs="?", metavar="NAME", help=told)
    add_json(parser)


def _add_data(commands) -> None:
    text = "List, fetch or check data sets in LIBSVM's format."
    epilog = "example:\n  mpi-lowrank data fetch a9a\n  mpi-lowrank data check mine.txt"
    actions = add_commands(commands, "data", text, epilog, "ACTION")
    add_json(
        add_command(actions, "list", do.data_list, "List the known data sets and where they are.")
    )
    fetch = add_command(
        actions, "fetch", do.data_fetch, "Download a data set and verify its checksum."
    )
    fetch.add_argument("name", metavar="NAME")
    check = add_command(actions, "check", do.data_check, "Read a file and say what is in it.")
    check.add_argument("file", type=Path, metavar="FILE")
    add_json(check)
