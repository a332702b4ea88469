"""The README's configuration, changed at random where users change theirs, and elsewhere."""

import json
import re
import tomllib
from copy import deepcopy
from dataclasses import fields
from pathlib import Path

from mpi_lowrank.compressors import compressors
from mpi_lowrank.config import Case
from mpi_lowrank.config.options import options_of
from mpi_lowrank.methods import methods
from mpi_lowrank.problems import problems
from mpi_lowrank.record.metrics import METRICS

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
ORIGINAL = tomllib.loads(re.search(r"`mine\.toml`:\n\n```toml\n(.*?)```", README, re.DOTALL)[1])
COMPONENTS = {"method": methods, "compressor": compressors, "problem": problems}
KEYS = [
    *(spec.name for spec in fields(Case)),
    *("name", "baseline", "cases", "order", "test_fraction", "compose", "", "é"),
    *METRICS,
    *(o for kind in COMPONENTS.values() for name in kind.names() for o in options_of(kind[name])),
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


def mutant(random) -> str:
    """The text of a configuration; `random` is a random.Random."""
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


def _change(random, table: dict) -> None:
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


def _component(random, kind) -> dict:
    name = random.choice(kind.names())
    needed = {o: p for o, p in options_of(kind[name]).items() if p.required}
    more = [o for o in options_of(kind[name]) if random.random() < 0.3]
    return {"name": name, **{option: _value(random) for option in [*needed, *more]}}


def _value(random, depth: int = 0) -> object:
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
