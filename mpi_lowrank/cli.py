"""The command line. Only `run` and `certify --ranks` import MPI; the rest needs none."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import mpi_lowrank
from mpi_lowrank.errors import UserError
from mpi_lowrank.machine import output
from mpi_lowrank.registry import KINDS
from mpi_lowrank.run.interruption import Interruption, end_at_once

FAILED = 2
"""The exit status of an error that a user can mend."""

BROKEN = 1
"""The exit status of a run with a case that failed, of a certificate with a broken promise."""

INTERRUPTED = 130
"""The exit status of a run that was asked to stop."""

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
the third one). VALUE is TOML; a list makes a sweep, the cross product of cases.

A case that raises is recorded as failed, with its traceback, and the next one runs.

exit status:
  0    every case ran to its end
  1    a case failed, or the job had to be ended
  2    a mistake in the configuration, the data, the options or the launch: nothing ran
  130  interrupted (Ctrl-C, SIGTERM, SIGUSR1); the record holds what there is

A signal is heeded within about a second, a second one at once. Open MPI's mpirun ends its ranks
half a second after Ctrl-C or SIGTERM, with status 1: SIGUSR1 leaves them the time they need.
"""


def main(arguments: list[str] | None = None) -> int:
    """Carry out one command; the exit status: 0, FAILED, BROKEN or INTERRUPTED."""
    try:
        try:
            options = _parser().parse_args(arguments)
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mpi-lowrank",
        description=mpi_lowrank.__doc__,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=mpi_lowrank.__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_run(commands)
    _add_reports(commands)
    _add_certify(commands)
    _add_list(commands)
    _add_data(commands)
    return parser


def _command(commands, name: str, function, text: str, **more) -> argparse.ArgumentParser:
    more.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
    parser = commands.add_parser(name, help=text, description=text, **more)
    parser.set_defaults(command=function)
    return parser


def _add_run(commands) -> None:
    text = "Run the cases of a configuration under mpirun or srun, and write a record."
    parser = _command(commands, "run", _run, text, epilog=RUN_EXAMPLE)
    parser.add_argument("config", type=Path, metavar="CONFIG.toml")
    parser.add_argument("--out", type=Path, help="the record (default: results/NAME.h5)")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace a finished record, once this one is done"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override a key of the file"
    )


TABLE_EXAMPLE = """\
example:
  mpi-lowrank table results/mine.h5 --target grad_norm_sq=1e-6
  mpi-lowrank table results/mushrooms.h5 --median grad_norm_sq=1e-6   # a row for all seeds
"""

PLOT_EXAMPLE = """\
example:
  mpi-lowrank plot results/mine.h5 -o results
  mpi-lowrank plot results/mushrooms.h5 --median grad_norm_sq=1e-6    # a line for all seeds
"""


def _add_reports(commands) -> None:
    table = _command(
        commands,
        "table",
        _table,
        "Print a row a case: rounds, bytes a worker, seconds, loss, gradient, accuracy.",
        epilog=TABLE_EXAMPLE,
    )
    table.add_argument("records", nargs="+", type=Path, metavar="RECORD")
    table.add_argument(
        "--target",
        metavar="METRIC=VALUE",
        help="what each case needs to reach it, such as loss=0.1",
    )
    _add_median(table)
    _add_json(table)
    plot = _command(
        commands,
        "plot",
        _plot,
        "Draw accuracy, loss and gradient against bytes, rounds and seconds, as PNG and PDF.",
        epilog=PLOT_EXAMPLE,
    )
    plot.add_argument("records", nargs="+", type=Path, metavar="RECORD")
    plot.add_argument("-o", "--output", type=Path, metavar="DIR", help="default: beside the record")
    _add_median(plot)
    _add_json(plot)
    show = _command(
        commands,
        "show",
        _show,
        "Print where a record comes from: code, machines, MPI, data, constants.",
        epilog="example:\n  mpi-lowrank show results/mushrooms.h5",
    )
    show.add_argument("record", type=Path, metavar="RECORD")
    _add_json(show)


def _add_median(parser: argparse.ArgumentParser) -> None:
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
    parser = _command(commands, "certify", _certify, text, epilog=CERTIFY_EXAMPLE)
    parser.add_argument("specs", nargs="*", metavar="SPEC", help="default: all of them")
    parser.add_argument(
        "--ranks", action="store_true", help="measure over MPI what only several ranks can show"
    )
    parser.add_argument("--verbose", action="store_true", help="show every promise on its own line")
    _add_json(parser)


def _add_list(commands) -> None:
    text = "List the compressors, methods, problems, data sets and collectives, with their options."
    parser = _command(
        commands, "list", _list, text, epilog="example:\n  mpi-lowrank list compressors"
    )
    parser.add_argument("kind", nargs="?", choices=KINDS)
    _add_json(parser)


def _add_data(commands) -> None:
    text = "List, fetch or check data sets in LIBSVM's format."
    epilog = "example:\n  mpi-lowrank data fetch a9a\n  mpi-lowrank data check mine.txt"
    data = commands.add_parser(
        "data",
        help=text,
        description=text,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = data.add_subparsers(required=True, metavar="ACTION")
    _add_json(_command(actions, "list", _data_list, "List the known data sets and where they are."))
    fetch = _command(actions, "fetch", _data_fetch, "Download a data set and verify its checksum.")
    fetch.add_argument("name", metavar="NAME")
    check = _command(actions, "check", _data_check, "Read a file and say what is in it.")
    check.add_argument("file", type=Path, metavar="FILE")
    _add_json(check)


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def _run(options: argparse.Namespace) -> int:
    return _under_mpi("run", lambda comm: _run_on(comm, options))


def _under_mpi(name: str, command: Callable) -> int:
    """Start MPI and carry out the command on its world; any error ends it on every rank."""
    end_at_once()
    try:
        from mpi_lowrank.comm import world
    except (ImportError, RuntimeError) as error:
        from mpi_lowrank.machine.launch import told_rank

        if told_rank() > 0:
            return FAILED
        cause = " ".join(str(error).split())
        raise UserError(f"no MPI: {cause}; install one, such as pip install mpich") from error
    try:
        comm = world.start()
    except world.AgreedError:
        return FAILED
    from mpi_lowrank.comm.alike import check_alike

    try:
        check_alike(comm, name)
        return command(comm)
    except world.AgreedError:
        return FAILED
    except KeyboardInterrupt:
        world.leave(comm, INTERRUPTED)
    except BaseException as error:
        world.abort(comm, error)


def _run_on(comm, options: argparse.Namespace) -> int:
    from mpi_lowrank import config
    from mpi_lowrank.comm import parcels, world
    from mpi_lowrank.record.place import make_folder
    from mpi_lowrank.run import experiment

    mine = world.agree(comm, lambda: None if comm.rank else _started_with(options))
    text, path, settings, out, overwrite = parcels.from_root(comm, mine)
    loaded = world.agree(comm, lambda: config.parse(text, Path(path), tuple(settings)))
    if out is None:
        world.agree(comm, lambda: None if comm.rank else make_folder(Path("results")))
    out = Path(out or f"results/{loaded.name}.h5")
    ended = experiment.run(loaded, comm, out, overwrite, Interruption())
    told = "interrupted; the record holds what there is"
    told = told if ended == "interrupted" else f"record: {out}"
    world.agree(comm, lambda: output.say(told) if comm.rank == 0 else None)
    return {"finished": 0, "failed": BROKEN, "interrupted": INTERRUPTED}[ended]


def _started_with(options: argparse.Namespace) -> tuple:
    """What `run` was given on this rank. Rank 0's is what all ranks run."""
    from mpi_lowrank import config

    out = None if options.out is None else str(options.out)
    path = options.config
    return config.read(path), str(path), options.set, out, options.overwrite


def _certify(options: argparse.Namespace) -> int:
    if options.ranks:
        return _under_mpi("certify --ranks", lambda comm: _certify_on(comm, options))
    from mpi_lowrank.certificate import certify

    findings = []
    for spec, make in _progress(_certified(options.specs)):
        findings += certify(spec, make)
    return _print_findings(options, findings)


def _certify_on(comm, options: argparse.Namespace) -> int:
    from mpi_lowrank.certificate.ranks import certify_ranks
    from mpi_lowrank.comm import parcels, world

    specs = parcels.from_root(comm, options.specs)
    chosen, findings = world.agree(comm, lambda: _certified(specs)), []
    for spec, make in _progress(chosen, silent=comm.rank > 0):
        findings += certify_ranks(comm, spec, make)
    world.agree(comm, lambda: _print_findings(options, findings) if comm.rank == 0 else None)
    return 0 if all(finding.passed for finding in findings) else BROKEN


def _certified(specs: list[str]) -> list:
    """The specifications to certify (all if none are given), and what makes each one."""
    from mpi_lowrank.certificate import default_specs, maker
    from mpi_lowrank.certificate.inputs import D
    from mpi_lowrank.config.options import read_spec

    chosen = [(spec, maker(read_spec(spec), spec)) for spec in specs or default_specs()]
    for _, make in chosen:
        make((D,), 1)
    return chosen


def _progress(items: list, silent: bool = False):
    from tqdm import tqdm

    from mpi_lowrank.machine.terminal import terminal

    screen = None if silent else terminal()
    bar = tqdm(items, unit="spec", leave=False, file=screen, disable=screen is None)
    for spec, make in bar:
        bar.set_description(spec)
        yield spec, make


def _print_findings(options: argparse.Namespace, findings: list) -> int:
    from dataclasses import asdict

    from mpi_lowrank.certificate import format_findings
    from mpi_lowrank.report.numbers import finite

    rows = [{key: finite(value) for key, value in asdict(f).items()} for f in findings]
    _print(options, rows, lambda _: format_findings(findings, options.verbose))
    return 0 if all(finding.passed for finding in findings) else BROKEN


def _records(paths: list[Path]) -> list:
    from mpi_lowrank.record import Record

    return [Record(path) for path in paths]


def _table(options: argparse.Namespace) -> None:
    from mpi_lowrank.report.medians import format_medians, median_rows
    from mpi_lowrank.report.table import format_table, read_target, table_rows

    records = _records(options.records)
    if options.median:
        rows = median_rows(records, read_target("--median", options.median))
        return _print(options, rows, format_medians)
    target = read_target("--target", options.target) if options.target else None
    _print(options, table_rows(records, target), format_table)


def _plot(options: argparse.Namespace) -> None:
    from mpi_lowrank.report.crossings import plot_medians
    from mpi_lowrank.report.figures import plot
    from mpi_lowrank.report.table import read_target

    folder = options.output or options.records[0].parent
    records = _records(options.records)
    try:
        if options.median:
            paths = plot_medians(records, read_target("--median", options.median), folder)
        else:
            paths = plot(records, folder)
    except OSError as error:
        raise UserError(
            f"{error.filename or folder}: cannot be written: {error.strerror}"
        ) from error
    _print(options, [str(path) for path in paths], "\n".join)


def _show(options: argparse.Namespace) -> None:
    from mpi_lowrank.report.show import format_show, show

    _print(options, show(_records([options.record])[0]), format_show)


def _list(options: argparse.Namespace) -> None:
    from mpi_lowrank.config.listing import format_list, listed

    kinds = [options.kind] if options.kind else KINDS
    _print(options, {kind: listed(kind) for kind in kinds}, format_list)


def _data_list(options: argparse.Namespace) -> None:
    from mpi_lowrank.config.listing import format_list, listed

    _print(options, {"datasets": listed("datasets")}, format_list)


def _data_fetch(options: argparse.Namespace) -> None:
    from mpi_lowrank.datasets import fetch

    output.say(str(fetch(options.name)))


def _data_check(options: argparse.Namespace) -> None:
    from mpi_lowrank.datasets import check

    found = check(options.file)
    _print(options, found, lambda f: "\n".join(f"{key:<10} {value}" for key, value in f.items()))


def _print(options: argparse.Namespace, value: object, as_text) -> None:
    output.say(json.dumps(value, indent=1) if options.json else as_text(value))
