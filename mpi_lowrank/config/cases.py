"""TOML to frozen dataclasses; an error names the file, the key, the value and what is allowed."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from itertools import islice
from math import isfinite
from pathlib import Path
from typing import Any, Literal, get_type_hints

from mpi_lowrank.collectives import collectives, of_kind
from mpi_lowrank.collectives.base import Reduction, Topology
from mpi_lowrank.compressors import compressors
from mpi_lowrank.config import toml
from mpi_lowrank.config.case import Case, Experiment, Tune
from mpi_lowrank.config.options import choose, convert, is_one_value, known
from mpi_lowrank.config.sweep import sweep
from mpi_lowrank.config.tune import TUNED, candidates, tuned
from mpi_lowrank.datasets import Data
from mpi_lowrank.door.network import Network
from mpi_lowrank.errors import OptionError, UserError, hint, one_of
from mpi_lowrank.methods import methods
from mpi_lowrank.problems import problems
from mpi_lowrank.registry import Choice, Registry
from mpi_lowrank.steps import steps
from mpi_lowrank.text.names import naming_problem, title
from mpi_lowrank.text.spelling import spell

MOST = 10_000
"""The most cases of an experiment: a few long lists, by mistake, would make millions."""

SHARED_KEYS = {"name", "baseline", "cases"}
COMPONENTS: dict[str, Registry[Any]] = {
    "method": methods,
    "compressor": compressors,
    "step": steps,
    "problem": problems,
}
COLLECTIVES: dict[str, type] = {"topology": Topology, "reduction": Reduction}


def load(path: Path, settings: tuple[str, ...] = ()) -> Experiment:
    """Read a configuration file and parse it, in one process; see `read` and `parse`."""
    return parse(read(path), path, settings)


def read(path: Path) -> str:
    """The text of a configuration file. Raises UserError if it cannot be read."""
    return toml.read(path)


def parse(text: str, path: Path, settings: tuple[str, ...] = ()) -> Experiment:
    """The experiment that a configuration's text describes; errors name `path`, unread here.

    Each of `settings`, KEY=VALUE, overrides one key first. Raises UserError for a mistake.
    """
    table = toml.tables(text, path)
    for setting in settings:
        toml.override(table, setting)
    try:
        toml.check(table)
        return _experiment(table, Path(path), text + "".join(f"\n# --set {s}" for s in settings))
    except OptionError as error:
        raise UserError(f"{path}: {error}") from error


def _experiment(table: dict, path: Path, text: str) -> Experiment:
    listed = table.get("cases")
    if not isinstance(listed, list) or not listed or not all(isinstance(c, dict) for c in listed):
        raise OptionError("cases", listed, "one [[cases]] table or more, each with a method")
    shared = {key: value for key, value in table.items() if key not in SHARED_KEYS}
    known(shared, [f.name for f in fields(Case) if f.name != "label"] + [*SHARED_KEYS], "")
    swept = (case for number, own in enumerate(listed) for case in _swept(shared, own, number))
    cases = list(islice(swept, MOST + 1))
    if len(cases) > MOST:
        raise OptionError("cases", f"{MOST} and more", f"a sweep of at most {MOST}")
    name, labels = str(table.get("name", path.stem)), _labels(cases)
    if problem := naming_problem(name, labels):
        raise OptionError(*problem)
    labelled = tuple(_relabel(case, label) for case, label in zip(cases, labels, strict=True))
    baseline = table.get("baseline", labels[0])
    if baseline not in labels:
        raise OptionError("baseline", baseline, "the label of a case: " + one_of(labels, baseline))
    return Experiment(name, path, text, labelled, baseline, tuple(range(len(labelled))))


def _swept(shared: dict, own: dict, number: int) -> Iterator[Case]:
    where = f"cases[{number}]."
    known(own, [f.name for f in fields(Case)], where)
    if "method" not in shared | own:
        raise OptionError(where + "method", None, ", ".join(methods.names()))
    for point in sweep(_merge(shared, own), _is_one_value):
        yield from candidates(_case(point, where))


def _is_one_value(path: tuple[str, ...], table: dict, value: list) -> bool:
    """Only compressors stand within another component's table."""
    *within, option = path
    if len(within) > 1:
        return is_one_value(compressors, table, option, value)
    kinds = [COMPONENTS[key] for key in within if key in COMPONENTS]
    return any(is_one_value(kind, table, option, value) for kind in kinds)


def _merge(shared: dict, own: dict) -> dict:
    """A case's own keys over the shared ones; tables of options of one component are merged."""
    merged = dict(shared)
    if own.keys() & {"stepsize", "multiple"}:
        merged = {k: v for k, v in merged.items() if k not in ("stepsize", "multiple")}
    for key, value in own.items():
        old = merged.get(key)
        same = isinstance(old, dict) and isinstance(value, dict) and key not in COMPONENTS
        merged[key] = old | value if same else value
    return merged


def _case(table: dict, where: str) -> Case:
    values: dict[str, Any] = {}
    types = get_type_hints(Case)
    for spec in fields(Case):
        key = where + spec.name
        if spec.name not in table:
            continue
        given = table[spec.name]
        if spec.name in COMPONENTS:
            values[spec.name] = choose(COMPONENTS[spec.name], given, key)
        elif spec.name == "data":
            values[spec.name] = _data(given, key)
        elif spec.name == "stop":
            values[spec.name] = _targets(given, key)
        elif spec.name == "tune":
            values[spec.name] = _tune(given, key)
        elif spec.name in COLLECTIVES:
            named = of_kind(COLLECTIVES[spec.name])
            values[spec.name] = convert(given, Literal[*named], key)
        else:
            values[spec.name] = convert(given, types[spec.name], key)
    case = tuned(Case(**values), where)
    _check(case, where)
    return case


def over_L(stepsize: str) -> float | None:
    """The 8 of "8/L"; None if the text is not of that form."""
    number, slash, unit = stepsize.partition("/")
    try:
        known = (slash, unit) == ("/", "L") and isfinite(float(number))
    except ValueError:
        return None
    return float(number) if known else None


def _check(case: Case, where: str) -> None:
    step = None if case.tune else case.stepsize
    if isinstance(step, str) and (step := over_L(step)) is None:
        allowed = f'a number, one such as "8/L", or "{TUNED}"' + hint([TUNED], case.stepsize)
        raise OptionError(where + "stepsize", case.stepsize, allowed)
    positive: dict[str, float | None] = {
        "rounds": case.rounds,
        "evaluate_every": case.evaluate_every,
        "loss_every": case.loss_every,
        "workers": case.workers,
        "time_limit": case.time_limit,
        "multiple": case.multiple,
        "stepsize": step,
    }
    for key, value in positive.items():
        if value is not None and not value > 0:
            raise OptionError(where + key, value, "a number above 0")
    if case.sync_every < 0:
        raise OptionError(where + "sync_every", case.sync_every, "a number of rounds, or 0 for off")
    if case.throttle is not None:
        Network.read(case.throttle, where + "throttle")
    if not 0 <= case.seed < 2**63:
        raise OptionError(where + "seed", case.seed, "an integer from 0 to below 2**63")
    if case.stepsize is not None and case.multiple is not None:
        allowed = "either multiple or stepsize, not both"
        raise OptionError(where + "multiple", case.multiple, allowed)
    given = isinstance(case.stepsize, float) or case.tune
    if not problems[case.problem.name].smooth and not given:
        allowed = f'a number, or "{TUNED}": {case.problem.name} has no known L for the theory\'s'
        raise OptionError(where + "stepsize", case.stepsize, allowed)
    method, compressor = methods[case.method.name], compressors[case.compressor.name]
    if not method.needs_compressor and case.compressor.name not in ("identity", "dense"):
        allowed = f"identity or dense: {case.method.name} sends its gradients whole"
        raise OptionError(where + "compressor", case.compressor, allowed)
    server = collectives[case.topology].server
    if method.needs_server and (not server or compressor.shared):
        allowed = f'"server", with messages of each worker: {case.method.name} needs it'
        raise OptionError(where + "topology", case.topology, allowed)
    if server and (compressor.shared or compressor.overhears):
        why = "is Allreduced" if compressor.shared else "needs every message on every rank"
        allowed = f"allgather: {case.compressor.name} {why}, without a server"
        raise OptionError(where + "topology", case.topology, allowed)
    if case.data.alpha is not None:
        _check_alpha(case.data, where + "data.alpha")
    if not 0 <= case.data.test_fraction < 1:
        allowed = "a number from 0 to below 1"
        raise OptionError(where + "data.test_fraction", case.data.test_fraction, allowed)
    _check_targets(case, case.stop, where + "stop.")
    if case.tune:
        _check_targets(case, case.tune.target, where + "tune.target.")


def _check_targets(case: Case, targets: Mapping[str, float], where: str) -> None:
    measured = problems[case.problem.name].measured()
    known(targets, list(measured), where)
    held_out = [metric for metric in targets if measured[metric].held_out]
    if held_out and case.data.test_fraction == 0:
        metric = held_out[0]
        allowed = f"a metric that is recorded: {metric} needs data.test_fraction above 0"
        raise OptionError(where + metric, targets[metric], allowed)


def _check_alpha(data: Data, key: str) -> None:
    if data.order != "dirichlet":
        raise OptionError(key, data.alpha, 'none, or data.order = "dirichlet"')
    assert data.alpha is not None
    if not 1e-3 <= data.alpha < 1e6:
        raise OptionError(key, data.alpha, "a number from 0.001 to below 1000000")


def _data(given: object, key: str) -> Data:
    table = {"name": given} if isinstance(given, str) else given
    if not isinstance(table, dict):
        raise OptionError(key, given, "a name or a table")
    types = get_type_hints(Data)
    known(table, list(types), key + ".")
    return Data(**{k: convert(v, types[k], f"{key}.{k}") for k, v in table.items()})


def _tune(given: object, key: str) -> Tune:
    if not isinstance(given, dict):
        raise OptionError(key, given, 'a table such as {target = {loss = 0.1}, by = "rounds"}')
    known(given, [spec.name for spec in fields(Tune)], key + ".")
    target = _targets(given.get("target", {}), f"{key}.target")
    return Tune(target, convert(given.get("by", Tune.by), str, f"{key}.by"))


def _targets(given: object, key: str) -> dict[str, float]:
    if not isinstance(given, dict):
        raise OptionError(key, given, "a table such as {grad_norm_sq = 1e-7}")
    return {metric: convert(value, float, f"{key}.{metric}") for metric, value in given.items()}


def _labels(cases: list[Case]) -> list[str]:
    """A label per case: its title, stepsize, and what else tells equal ones apart."""
    labels = [case.label or _short(case) for case in cases]
    told = [_flat(case) for case in cases]
    for key in dict.fromkeys(key for flat in told for key in flat):
        same: dict[str, list[int]] = {}
        for number, label in enumerate(labels):
            same.setdefault(label, []).append(number)
        for label, numbers in same.items():
            if len({told[i].get(key) for i in numbers}) > 1:
                for i in numbers:
                    labels[i] = f"{label} {key}={told[i].get(key, '-')}"
    return labels


def _flat(case: Case) -> dict[str, str]:
    """All keys of a case as texts; options of problem and data have keys of their own."""
    flat = {}
    for spec in fields(Case):
        value = getattr(case, spec.name)
        if isinstance(value, Data):
            value = Choice(value.name or "", {"order": value.dealt, "test": value.test_fraction})
        if isinstance(value, Choice) and spec.name in ("problem", "data"):
            flat[spec.name] = value.name
            flat |= {option: spell(given) for option, given in value.options.items()}
        else:
            flat[spec.name] = spell(value)
    return flat


def _short(case: Case) -> str:
    rule = "" if case.step == Choice("plain") else str(case.step)
    called, step = title(str(case.method), str(case.compressor), rule), case.stepsize
    if step is None:
        return f"{called} {case.multiple or 1:g}x"
    return f"{called} {step if isinstance(step, str) else f'stepsize={step:g}'}"


def _relabel(case: Case, label: str) -> Case:
    values = {spec.name: getattr(case, spec.name) for spec in fields(Case)}
    return Case(**values | {"label": label})
