"""The README's configuration, changed at random where users change theirs, and elsewhere."""

import json
import re
import tomllib
from copy import deepcopy
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from random import Random

import numpy as np

from mpi_lowrank import config
from mpi_lowrank.compressors import compressors
from mpi_lowrank.config import Case, Experiment
from mpi_lowrank.datasets import Dataset, load
from mpi_lowrank.door import Alone, Door
from mpi_lowrank.errors import UserError
from mpi_lowrank.methods import methods
from mpi_lowrank.problems import problems
from mpi_lowrank.record.metrics import METRICS
from mpi_lowrank.run.assembly import assemble, data_name, ground, place
from mpi_lowrank.run.check import check
from mpi_lowrank.run.loop import run_rounds
from mpi_lowrank.run.stopping import Divergence, Schedule, Targets
from mpi_lowrank.run.watch import Consistency, Estimate, FirstRounds, Replicas, Whole

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
ORIGINAL = tomllib.loads(re.search(r"`mine\.toml`:\n\n```toml\n(.*?)```", README, re.DOTALL)[1])
COMPONENTS = {"method": methods, "compressor": compressors, "problem": problems}
KEYS = [
    *(spec.name for spec in fields(Case)),
    *("name", "baseline", "cases", "order", "test_fraction", "compose", "", "é"),
    *METRICS,
    *(o for kind in COMPONENTS.values() for name in kind.names() for o in kind[name].options),
]
NUMBERS = [0, 1, 2, 3, 7, 16, 113, -1, 2**31, 2**63 - 1, 10**20, 10**400, True]
NUMBERS += [0.0, 0.1, 0.5, 1.5, -1.5, 5e-324, 1e-300, 1e30, 1e300, float("nan"), float("inf")]
TEXTS = [
    "",
    "a",
    "é",
    "\0",
    "\n",
    "\x1b",
    "../x",
    "8/L",
    "1e308/L",
    "nan/L",
    "x" * 300,
    "x" * 10**4,
]
TEXTS += ["topk:k=2", "svd:rank=1+natural", "topk:k=²", "auto", "server", "ordered", "float32"]
TEXTS += ["shuffled", "by_label", "zeros", "none", "l2", "contractive", "mushrooms", "digits"]
JUNK = "\0[]{}=\"'\n#é.,0123456789_-+xTZ:"

ROUNDS, MOST_CASES, MOST_WORKERS = 3, 4, 39
"""Of configurations that are run to their end."""

MEMORY = 2**29
"""Bytes a rank has: a case that takes more is to be refused."""


def make(random: Random) -> bytes:
    """A configuration's text, behind a line with what `--set` is given, as JSON."""
    settings = [_setting(random) for _ in range(random.choice([0, 0, 0, 1, 2]))]
    return f"{json.dumps(settings)}\n{mutant(random)}".encode("utf-8", "surrogatepass")


def use(data: bytes, folder: Path) -> None:
    read(data)


def read(data: bytes) -> Experiment:
    """The experiment that the input describes. Raises UserError."""
    settings, _, text = data.decode("utf-8", "surrogatepass").partition("\n")
    return config.parse(text, Path("some.toml"), tuple(json.loads(settings)))


def make_small(random: Random) -> bytes:
    """A configuration that can be read and has few cases and workers."""
    while True:
        data = make(random)
        try:
            read_small(data)
        except Exception:  # one that is not declared is for `use` to find
            continue
        return data


def read_small(data: bytes) -> Experiment:
    """The experiment, cut to a few rounds. Raises UserError, for many cases or workers too."""
    experiment = read(data)
    workers = max(case.workers or 1 for case in experiment.cases)
    if len(experiment.cases) > MOST_CASES or workers > MOST_WORKERS:
        raise UserError("too large to be tried")
    cut = tuple(replace(case, rounds=ROUNDS) for case in experiment.cases)
    return replace(experiment, cases=cut)


def run(data: bytes, folder: Path) -> None:
    """Check all cases and run them to the end, in this process. Raises UserError."""
    cases = read_small(data).cases
    for case in cases:
        check(case, place(case, 1, 0), _data(case), MEMORY)
    with np.errstate(all="ignore"):
        for case in cases:
            _run(case)


def _run(case: Case) -> None:
    door = Door(Alone())
    made = assemble(case, ground(case, door, data=_data), door)
    method, total = made.method, made.ground.placement.total
    replicas = Replicas(method, door)
    observers = [Consistency(made), Whole(made), FirstRounds(method, made.exchange)]
    estimate = Estimate(method, door, total, repair=made.repair)
    observers += [estimate, replicas, Divergence(replicas)]
    verdict = run_rounds(made, [*observers, Targets(case), Schedule(case)])
    if verdict.reasons and verdict.status != "diverged":
        raise AssertionError(f"{case.label}: {verdict.status}, not valid: {verdict.reasons}")


def _data(case: Case) -> Dataset | None:
    name = data_name(case)
    return None if name is None else _loaded(name)


@cache
def _loaded(name: str) -> Dataset:
    return load(name)


def _setting(random: Random) -> str:
    key = ".".join(random.choice([*KEYS, "cases", "0", "3"]) for _ in range(random.randrange(1, 4)))
    value = _toml(_value(random))
    return random.choice([f"{key}={value}", f"{key}={random.choice(TEXTS)}", key, value])


def mutant(random: Random) -> str:
    """The text of a configuration."""
    table = deepcopy(ORIGINAL)
    if random.random() < 0.8:
        del table["baseline"]  # labels change
    for _ in range(random.randrange(1, 4)):
        _change(random, table)
    text = "".join(f"{_toml(key)} = {_toml(value)}\n" for key, value in table.items())
    if random.random() < 0.1:
        at = random.randrange(len(text))
        text = text[:at] + random.choice(JUNK) + text[at + 1 :]
    return text


def _change(random: Random, table: dict) -> None:
    cases = table.get("cases")
    tables = (
        [table, *(case for case in cases if isinstance(case, dict))] if _full(cases) else [table]
    )
    holder = random.choice(tables)
    key = random.choice([*holder, *KEYS])
    what = random.randrange(5)
    if what == 0:
        holder.pop(key, None)
    elif what == 1:
        holder[key[:-1] + random.choice(JUNK)] = holder.pop(key, 1)
    elif what == 2:
        holder[key] = _value(random)
    else:
        kind = random.choice(list(COMPONENTS))
        holder[kind] = _component(random, COMPONENTS[kind])
        if random.random() < 0.7:
            holder.pop("multiple", None)
            holder["stepsize"] = random.choice([0.1, "8/L", 1e30, 1e300, 5e-324])


def _full(cases: object) -> bool:
    return isinstance(cases, list) and len(cases) > 0


def _component(random: Random, kind) -> dict:
    name = random.choice(kind.names())
    needed = {o: p for o, p in kind[name].options.items() if p.required}
    more = [o for o in kind[name].options if random.random() < 0.3]
    return {"name": name, **{option: _value(random) for option in [*needed, *more]}}


def _value(random: Random, depth: int = 0) -> object:
    what = random.randrange(6 if depth < 3 else 4)
    if what < 2:
        return random.choice(NUMBERS)
    if what < 4:
        return random.choice(TEXTS)
    if what == 4:
        return [_value(random, depth + 1) for _ in range(random.randrange(4))]
    return {random.choice([*KEYS, "name"]): _value(random, depth + 1) for _ in range(2)}


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_toml(k)} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value) if isinstance(value, str | bool) else repr(value)
