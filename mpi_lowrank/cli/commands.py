"""What the commands do. Only `run` and `certify --ranks` import MPI; the rest needs none."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from mpi_lowrank.cli.bench import show_bench
from mpi_lowrank.cli.ranks import on_all_ranks, progress
from mpi_lowrank.cli.status import BROKEN, INTERRUPTED
from mpi_lowrank.errors import UserError
from mpi_lowrank.machine import output
from mpi_lowrank.registry import KINDS
from mpi_lowrank.run.interruption import Interruption


def run(options: argparse.Namespace) -> int:
    return on_all_ranks("run", lambda comm: _run_on(comm, options))


def _run_on(comm, options: argparse.Namespace) -> int:
    from mpi_lowrank.comm import parcels, world
    from mpi_lowrank.record.place import make_folder
    from mpi_lowrank.run import experiment

    mine = world.agree(comm, lambda: None if comm.rank else _started_with(options))
    text, given = parcels.from_root(comm, mine)
    loaded = world.agree(comm, lambda: _chosen(text, given))
    out = given["out"]
    if out is None:
        world.agree(comm, lambda: None if comm.rank else make_folder(Path("results")))
    out = Path(out or f"results/{loaded.name}.h5")
    overwrite, every, quiet = given["overwrite"], given["checkpoint_every"], given["quiet"]
    if dry := given["dry_run"]:
        ended, told = "finished", experiment.dry_run(loaded, comm, out, overwrite)
    else:
        ended = experiment.run(loaded, comm, out, overwrite, Interruption(), every, quiet)
        same = "the same command" + " without --overwrite" * overwrite
        told = f"interrupted; the record holds what there is, and {same} goes on"
        told = told if ended == "interrupted" else f"record: {out}"
    speaks = comm.rank == 0 and not (quiet and ended in ("finished", "invalid") and not dry)
    world.agree(comm, lambda: output.say(told) if speaks else None)
    invalid = BROKEN if given["strict"] else 0
    return {"finished": 0, "invalid": invalid, "failed": BROKEN, "interrupted": INTERRUPTED}[ended]


def _started_with(options: argparse.Namespace) -> tuple:
    """What `run` was given on this rank. Rank 0's is what all ranks run."""
    from mpi_lowrank import config

    given = {name: value for name, value in vars(options).items() if name != "command"}
    paths = {name: value and str(value) for name, value in given.items() if name in PATHS}
    return config.read(options.config), given | paths


PATHS = ("config", "out")
"""The options of `run` that JSON does not hold as they are."""


def _chosen(text: str, given: dict):
    """The experiment with the cases that were chosen."""
    from mpi_lowrank import config

    every = given["checkpoint_every"]
    if not 0 <= every < float("inf"):
        raise UserError(f"--checkpoint-every {every:g}: allowed is a number of seconds, or 0")
    throttle = [f'cases.throttle="{given["throttle"]}"'] if given["throttle"] else []
    loaded = config.parse(text, Path(given["config"]), (*given["set"], *throttle))
    return config.select(loaded, given["cases"], given["shard"])


def certify(options: argparse.Namespace) -> int:
    if options.ranks:
        return on_all_ranks("certify --ranks", lambda comm: _certify_on(comm, options))
    from mpi_lowrank.certificate import certify

    findings = []
    for spec, make in progress(_certified(options.specs), "spec"):
        findings += certify(spec, make)
    return _print_findings(options, findings)


def _certify_on(comm, options: argparse.Namespace) -> int:
    from mpi_lowrank.certificate.ranks import certify_ranks
    from mpi_lowrank.comm import parcels, world

    specs = parcels.from_root(comm, options.specs)
    chosen, findings = world.agree(comm, lambda: _certified(specs)), []
    for spec, make in progress(chosen, "spec", silent=comm.rank > 0):
        findings += certify_ranks(comm, spec, make)
    world.agree(comm, lambda: _print_findings(options, findings) if comm.rank == 0 else None)
    return 0 if all(finding.passed for finding in findings) else BROKEN


def _certified(specs: list[str]) -> list:
    """The specifications to certify (all if none are given), and what makes each one."""
    from mpi_lowrank.certificate import default_specs, maker
    from mpi_lowrank.certificate.checks import WORKERS
    from mpi_lowrank.certificate.inputs import D
    from mpi_lowrank.config.options import read_spec

    chosen = [(spec, maker(read_spec(spec), spec)) for spec in specs or default_specs()]
    for _, make in chosen:
        make((D,), WORKERS)
    return chosen


def _print_findings(options: argparse.Namespace, findings: list) -> int:
    from dataclasses import asdict

    from mpi_lowrank.certificate import format_findings

    rows = [asdict(finding) for finding in findings]
    _print(options, rows, lambda _: format_findings(findings, options.verbose))
    return 0 if all(finding.passed for finding in findings) else BROKEN


def _records(paths: list[Path]) -> list:
    from mpi_lowrank.record import Record

    return [Record(path) for path in paths]


def merge(options: argparse.Namespace) -> None:
    from mpi_lowrank.record.merge import merge

    merge(options.records, options.out)
    output.say(f"record: {options.out}")


def table(options: argparse.Namespace) -> None:
    from mpi_lowrank.record.bench import is_bench
    from mpi_lowrank.report.medians import median_rows, median_tables
    from mpi_lowrank.report.table import read_target, table_rows, tables

    if len(options.records) == 1 and is_bench(options.records[0]):
        return _print_bench(options)
    records = _records(options.records)
    if options.median:
        rows = median_rows(records, read_target("--median", options.median))
        return _print_rows(options, rows, median_tables)
    targets = [read_target("--target", text) for text in options.target]
    _print_rows(options, table_rows(records, *targets), tables)


def _print_bench(options: argparse.Namespace) -> None:
    from mpi_lowrank.benchmarks.sheets.report import rows_of, tables_of
    from mpi_lowrank.record.bench import BenchRecord

    record = BenchRecord(options.records[0])
    _print_rows(options, rows_of(record), lambda rows: tables_of(record, rows))


def best(options: argparse.Namespace) -> None:
    from mpi_lowrank.report.best import best_rows, best_tables, in_order
    from mpi_lowrank.report.table import read_target

    target = read_target("--target", options.target)
    rows = best_rows(_records(options.records), target, options.by, options.baseline)
    ordered = in_order(rows, options.by)
    _print_rows(options, ordered, lambda rows: best_tables(rows, options.by))


def _print_rows(options: argparse.Namespace, rows: list, tables: Callable) -> None:
    from mpi_lowrank.report.formats import chosen, formatted

    rows = chosen(rows, options.cases)
    output.say(formatted(rows, tables, options.format, options.columns, options.sort))


def plot(options: argparse.Namespace) -> None:
    from mpi_lowrank.record.bench import is_bench

    out = options.out or options.records[0].parent
    bench = len(options.records) == 1 and is_bench(options.records[0])
    try:
        paths = _drawn_bench(options, out) if bench else _drawn(options, out)
    except OSError as error:
        raise UserError(f"{error.filename or out}: cannot be written: {error.strerror}") from error
    _print(options, [str(path) for path in paths], "\n".join)


def _drawn_bench(options: argparse.Namespace, out: Path) -> list[Path]:
    from mpi_lowrank.benchmarks.sheets.figure import plot_bench
    from mpi_lowrank.record.bench import BenchRecord

    return plot_bench(BenchRecord(options.records[0]), out)


def _drawn(options: argparse.Namespace, out: Path) -> list[Path]:
    """The figures that the options choose."""
    from mpi_lowrank.report.crossings import plot_medians
    from mpi_lowrank.report.frontier import plot_frontier
    from mpi_lowrank.report.table import read_target

    records = _records(options.records)
    if options.frontier:
        target = read_target("--frontier", options.frontier)
        return plot_frontier(records, target, out, options.cases)
    if options.median:
        target = read_target("--median", options.median)
        return plot_medians(records, target, out, options.cases)
    if any(getattr(options, name) for name in ("x", "y", "panels", "color", "labels", "best")):
        return _one_figure(options, records, out)
    return _every_figure(options, records, out)


def _every_figure(options: argparse.Namespace, records: list, out: Path) -> list[Path]:
    from mpi_lowrank.report.figures import FORMATS, plot
    from mpi_lowrank.report.promises import plot_promises
    from mpi_lowrank.report.verdict import MIXED, has_seconds

    if not has_seconds(records):
        output.complain("warning", f"figures of seconds are left out: {MIXED}")
    if out.suffix[1:] in FORMATS:
        raise UserError(f"-o {out}: a file holds one figure: choose it with --x and --y")
    return plot(records, out, options.cases) + plot_promises(records, out, options.cases)


def _one_figure(options: argparse.Namespace, records: list, out: Path) -> list[Path]:
    from mpi_lowrank.report.against import plot_against
    from mpi_lowrank.report.curves import View, plot_curves
    from mpi_lowrank.report.table import read_target
    from mpi_lowrank.text.options import COSTS

    target = read_target("--best", options.best) if options.best else None
    x, y = options.x or "uplink_bytes", options.y
    if target and x not in COSTS:
        costs = tuple(y.split(",")) if y else ("uplink_bytes", "total_bytes")
        return plot_against(records, target, x, costs, out, options.cases)
    keys = tuple(options.panels or ()), options.color, tuple(options.labels or ())
    view = View(x, y or "grad_norm_sq", *keys)
    best = (target, x) if target else None
    return plot_curves(records, view, out, options.cases, best)


def predict(options: argparse.Namespace) -> None:
    from mpi_lowrank.door.network import read_bandwidth, read_latency
    from mpi_lowrank.predict.figure import plot_predictions
    from mpi_lowrank.predict.rows import Grid, format_predictions, predict
    from mpi_lowrank.report.numbers import finite
    from mpi_lowrank.report.table import read_target

    (record,) = _records([options.record])
    target = read_target("--target", options.target) if options.target else None
    links = _range("--bandwidth", options.bandwidth, read_bandwidth)
    ranks = _range("--ranks", options.ranks, _read_ranks)
    grid = Grid.between(links, read_latency(options.latency, "--latency"), ranks)
    rows = predict(record, grid, ranks[0], target)
    if options.out:
        plot_predictions(record, grid, options.out, target)
    as_json = options.format == "json"
    output.say(json.dumps(finite(rows), indent=1) if as_json else format_predictions(rows))


def _range(option: str, text: str, read: Callable) -> tuple:
    """The two ends that LOW..HIGH names; of one value that value twice."""
    low, dots, high = text.partition("..")
    ends = read(low, option), read(high if dots else low, option)
    if ends[0] > ends[1]:
        raise UserError(f"{option} {text}: expected LOW..HIGH, the lower one first")
    return ends


def _read_ranks(text: str, option: str) -> int:
    if not text.isascii() or not text.isdigit() or not 2 <= int(text) <= 2**20:
        raise UserError(f"{option} {text}: expected whole numbers from 2 to {2**20}")
    return int(text)


def compare(options: argparse.Namespace) -> int:
    from mpi_lowrank.report.compare import compare, format_compare

    rows = compare(*_records([options.record, options.other]))
    _print(options, rows, format_compare)
    return 0 if all(row["same"] for row in rows) else BROKEN


def report(options: argparse.Namespace) -> None:
    from mpi_lowrank.page import write_page
    from mpi_lowrank.report.table import read_target

    target = read_target("--target", options.target) if options.target else None
    records = _records(options.records)
    output.say(str(write_page(records, options.out, target, options.by, options.baseline)))


def show(options: argparse.Namespace) -> None:
    from mpi_lowrank.record.bench import is_bench
    from mpi_lowrank.report.show import format_show, show

    if is_bench(options.record):
        return show_bench(options.record, options.json)
    shown = show(_records([options.record])[0])
    _print(options, shown, lambda shown: format_show(shown, options.all))


def list_components(options: argparse.Namespace) -> None:
    from mpi_lowrank.config.listing import format_found, format_list, found, listed

    if options.name and options.name not in KINDS:
        return _print(options, found(options.name), format_found)
    kinds = [options.name] if options.name else KINDS
    _print(options, {kind: listed(kind) for kind in kinds}, format_list)


def data_list(options: argparse.Namespace) -> None:
    from mpi_lowrank.config.listing import format_list, listed

    _print(options, {"datasets": listed("datasets")}, format_list)


def data_fetch(options: argparse.Namespace) -> None:
    from mpi_lowrank.datasets import fetch

    output.say(str(fetch(options.name)))


def data_check(options: argparse.Namespace) -> None:
    from mpi_lowrank.datasets import check

    found = check(options.file)
    _print(options, found, lambda f: "\n".join(f"{key:<10} {value}" for key, value in f.items()))


def _print(options: argparse.Namespace, value: object, as_text) -> None:
    from mpi_lowrank.report.numbers import finite

    output.say(json.dumps(finite(value), indent=1) if options.json else as_text(value))
