"""TOML to frozen dataclasses; an error names the file, the key, the value and what is allowed."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal

from mpi_lowrank.choice import Choice, spell
from mpi_lowrank.compressors import compressors
from mpi_lowrank.errors import KeyProblem, UserError
from mpi_lowrank.methods import methods
from mpi_lowrank.names import naming_problem
from mpi_lowrank.options import choose, convert, known
from mpi_lowrank.problems import problems
from mpi_lowrank.registry import Registry
from mpi_lowrank.sweep import sweep

METRICS = ("loss", "grad_norm_sq", "train_accuracy", "test_accuracy")
"""What a case can be stopped by: the losses by falling to it, the accuracies by rising to it."""


@dataclass(frozen=True)
class Data:
    """Which rows, and which worker gets which."""

    name: str | None = None  # a known data set or a LIBSVM file's path; None: the problem's default
    order: Literal["contiguous", "shuffled", "by_label"] = "contiguous"  # of rows over workers
    test_fraction: float = 0.0  # share of the rows held out, chosen by the seed


@dataclass(frozen=True)
class Case:
    """One run. A key given at the top of the file holds for all cases; a list makes a sweep."""

    method: Choice
    compressor: Choice = field(default_factory=lambda: Choice("identity"))
    problem: Choice = field(default_factory=lambda: Choice("logistic"))
    data: Data = field(default_factory=Data)
    workers: int | None = None  # None: one a rank
    rounds: int = 1000
    multiple: float | None = None  # of the theory's stepsize; 1 if no stepsize is given
    stepsize: float | str | None = None  # a number, or a multiple of 1/L such as "8/L"
    topology: Literal["allgather", "server"] = "allgather"
    reduction: Literal["mpi", "ordered"] = "mpi"  # of shared compressors' coefficients
    dtype: Literal["float32", "float64"] = "float64"  # of the state; messages have their own wire
    x0: Literal["normal", "zeros"] = "normal"  # normal: default_rng(seed).standard_normal(d)
    seed: int = 0
    evaluate_every: int = 1  # rounds; the last one is evaluated as well
    loss_every: int = 1  # rounds between rows with loss and accuracy, if `stop` names neither
    stop: Mapping[str, float] = field(default_factory=dict)  # metric = value: ends the case
    label: str = ""


@dataclass(frozen=True)
class Experiment:
    """A configuration file: its cases, and the case that ratios are taken to."""

    name: str
    source: Path
    text: str
    cases: tuple[Case, ...]
    baseline: str


SHARED_KEYS = {"name", "baseline", "cases"}
COMPONENTS: dict[str, Registry] = {
    "method": methods,
    "compressor": compressors,
    "problem": problems,
}


def load(path: Path, settings: tuple[str, ...] = ()) -> Experiment:
    """Read a configuration file and parse it, in one process; see `read` and `parse`."""
    return parse(read(path), path, settings)


def read(path: Path) -> str:
    """The text of a configuration file. Raises UserError if it cannot be read."""
    try:
        return Path(path).read_text()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not TOML: {error}") from error


def parse(text: str, path: Path, settings: tuple[str, ...] = ()) -> Experiment:
    """The experiment that a configuration's text describes; errors name `path`, unread here.

    Each of `settings`, KEY=VALUE, overrides one key first. Raises UserError for a mistake.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path}: is not TOML: {error}") from error
    for setting in settings:
        _override(table, setting)
    try:
        return _experiment(table, Path(path), text + "".join(f"\n# --set {s}" for s in settings))
    except KeyProblem as problem:
        raise UserError(f"{path}: {problem}") from problem


def _override(table: dict, setting: str) -> None:
    key, equals, value = setting.partition("=")
    if not equals or not key:
        raise UserError(
            f"--set {setting}: expected KEY=VALUE, such as rounds=100 or data.order=..."
        )
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value
    *path, last = key.split(".")
    for target in _targets(table, path, setting):
        target[last] = parsed


def _targets(table: dict, path: list[str], setting: str) -> list[dict]:
    """The tables that a dotted path names; `cases` is every case, `cases.2` the third."""
    targets = [table]
    for step in path:
        found = []
        for target in targets:
            if isinstance(target, list) and step.isdigit() and int(step) < len(target):
                found.append(target[int(step)])
            elif isinstance(target, list):
                found += [case.setdefault(step, {}) for case in target]
            else:
                found.append(target.setdefault(step, {}))
        targets = found
    targets = [t for target in targets for t in (target if isinstance(target, list) else [target])]
    if not all(isinstance(target, dict) for target in targets):
        raise UserError(f"--set {setting}: {'.'.join(path)} is no table with keys of its own")
    return targets


def _experiment(table: dict, path: Path, text: str) -> Experiment:
    listed = table.get("cases")
    if not isinstance(listed, list) or not listed or not all(isinstance(c, dict) for c in listed):
        raise KeyProblem("cases", listed, "one [[cases]] table or more, each with a method")
    shared = {key: value for key, value in table.items() if key not in SHARED_KEYS}
    known(shared, [f.name for f in fields(Case) if f.name != "label"] + [*SHARED_KEYS], "")
    cases = []
    for number, own in enumerate(listed):
        where = f"cases[{number}]."
        known(own, [f.name for f in fields(Case)], where)
        if "method" not in shared | own:
            raise KeyProblem(where + "method", None, ", ".join(methods.names()))
        cases += [_case(point, where) for point in sweep(_merge(shared, own))]
    name, labels = str(table.get("name", path.stem)), _labels(cases)
    if problem := naming_problem(name, labels):
        raise KeyProblem(*problem)
    cases = tuple(_relabel(case, label) for case, label in zip(cases, labels, strict=True))
    baseline = table.get("baseline", labels[0])
    if baseline not in labels:
        raise KeyProblem("baseline", baseline, "the label of a case: " + ", ".join(labels))
    return Experiment(name, path, text, cases, baseline)


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
    values = {}
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
            values[spec.name] = _stop(given, key)
        else:
            values[spec.name] = convert(given, spec.type, key)
    case = Case(**values)
    _check(case, where)
    return case


def over_L(stepsize: str) -> float | None:
    """The 8 of "8/L"; None if the text is not of that form."""
    number, slash, unit = stepsize.partition("/")
    try:
        return float(number) if (slash, unit) == ("/", "L") else None
    except ValueError:
        return None


def _check(case: Case, where: str) -> None:
    step = case.stepsize
    if isinstance(step, str) and (step := over_L(step)) is None:
        raise KeyProblem(where + "stepsize", case.stepsize, 'a number, or one such as "8/L"')
    positive = {"rounds": case.rounds, "evaluate_every": case.evaluate_every}
    positive |= {
        "loss_every": case.loss_every,
        "workers": case.workers,
        "multiple": case.multiple,
        "stepsize": step,
    }
    for key, value in positive.items():
        if value is not None and not value > 0:
            raise KeyProblem(where + key, value, "a number above 0")
    if not 0 <= case.seed < 2**63:
        raise KeyProblem(where + "seed", case.seed, "an integer from 0 to below 2**63")
    if case.stepsize is not None and case.multiple is not None:
        raise KeyProblem(where + "multiple", case.multiple, "either multiple or stepsize, not both")
    if not problems[case.problem.name].smooth and not isinstance(case.stepsize, float):
        allowed = f"a number: {case.problem.name} has no known L for the theory's stepsize"
        raise KeyProblem(where + "stepsize", case.stepsize, allowed)
    method, shared = methods[case.method.name], compressors[case.compressor.name].shared
    if not method.needs_compressor and case.compressor.name not in ("identity", "dense"):
        allowed = f"identity or dense: {case.method.name} sends its gradients whole"
        raise KeyProblem(where + "compressor", case.compressor, allowed)
    if method.needs_server and (case.topology != "server" or shared):
        allowed = f'"server", with messages of each worker: {case.method.name} needs it'
        raise KeyProblem(where + "topology", case.topology, allowed)
    if shared and case.topology == "server":
        allowed = f"allgather: {case.compressor.name} is Allreduced, without a server"
        raise KeyProblem(where + "topology", case.topology, allowed)
    if not 0 <= case.data.test_fraction < 1:
        allowed = "a number from 0 to below 1"
        raise KeyProblem(where + "data.test_fraction", case.data.test_fraction, allowed)
    if "test_accuracy" in case.stop and case.data.test_fraction == 0:
        allowed = "a metric that is recorded: test_accuracy needs data.test_fraction above 0"
        raise KeyProblem(where + "stop.test_accuracy", case.stop["test_accuracy"], allowed)


def _data(given: object, key: str) -> Data:
    table = {"name": given} if isinstance(given, str) else given
    if not isinstance(table, dict):
        raise KeyProblem(key, given, "a name or a table")
    types = {spec.name: spec.type for spec in fields(Data)}
    known(table, list(types), key + ".")
    return Data(**{k: convert(v, types[k], f"{key}.{k}") for k, v in table.items()})


def _stop(given: object, key: str) -> dict[str, float]:
    if not isinstance(given, dict):
        raise KeyProblem(key, given, "a table such as {grad_norm_sq = 1e-7}")
    known(given, list(METRICS), key + ".")
    return {metric: convert(value, float, f"{key}.{metric}") for metric, value in given.items()}


def _labels(cases: list[Case]) -> list[str]:
    """A label a case: method, compressor, stepsize, and what else tells equal ones apart."""
    labels = [case.label or _short(case) for case in cases]
    told = [_flat(case) for case in cases]
    for key in dict.fromkeys(key for flat in told for key in flat):
        for label in {label for label in labels if labels.count(label) > 1}:
            same = [i for i, other in enumerate(labels) if other == label]
            if len({told[i].get(key) for i in same}) > 1:
                for i in same:
                    labels[i] = f"{label} {key}={told[i].get(key, '-')}"
    return labels


def _flat(case: Case) -> dict[str, str]:
    """All that a case is, a text a key; options of the problem and the data by their own names."""
    flat = {}
    for spec in fields(Case):
        value = getattr(case, spec.name)
        if isinstance(value, Data):
            value = Choice(value.name or "", {"order": value.order, "test": value.test_fraction})
        if isinstance(value, Choice) and spec.name in ("problem", "data"):
            flat[spec.name] = value.name
            flat |= {option: spell(given) for option, given in value.options.items()}
        else:
            flat[spec.name] = spell(value)
    return flat


def _short(case: Case) -> str:
    parts = [str(case.method)]
    if methods[case.method.name].needs_compressor or case.compressor != Choice("identity"):
        parts.append(str(case.compressor))
    step = case.stepsize
    if step is None:
        parts.append(f"{case.multiple or 1:g}x")
    else:
        parts.append(step if isinstance(step, str) else f"stepsize={step:g}")
    return " ".join(parts)


def _relabel(case: Case, label: str) -> Case:
    values = {spec.name: getattr(case, spec.name) for spec in fields(Case)}
    return Case(**values | {"label": label})
