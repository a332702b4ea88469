"""Whether two checkouts give the same numbers, to the bit, on this machine.

    git worktree add ../before main
    python bench/same.py ../before .

Every default specification of every compressor under EF21, and every method, are run by both
checkouts in both topologies, both state types, on 1 and 2 ranks; all columns but the seconds, the
constants and the ledger's totals are compared, then all that `certify` measures. Bits depend on the
processor and its BLAS, so that no numbers are kept: both sides run here, under this Python. Only
the command line and the record's layout are relied on, never what is behind them.
"""

import argparse
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

HEAD = """
workers = 5
rounds = 8
evaluate_every = 2
seed = 3
stepsize = "0.02/L"
data = {{ name = "mushrooms", order = "by_label", test_fraction = 0.15 }}
topology = "{topology}"
dtype = "{dtype}"
"""

SPECS = """
[[cases]]
method = "EF21"
compressor = {specs}
"""

METHODS = """
[[cases]]
method = "GD"
compressor = {whole}

[[cases]]
method = ["DCGD", "EF14", {{ name = "EF21", g0 = "compressed" }}]
compressor = {compressors}

[[cases]]
method = "EF21-PP"
compressor = ["topk:k=2", "randk:k=5"]
"""

RELATIVES = """
[[cases]]
method = ["EF21-W", "EControl", "EF21+", "CLAG", "ADEF"]
compressor = "topk:k=9"

[[cases]]
method = ["DIANA", "MARINA", "EF-BV"]
compressor = ["natural", "permk"]

[[cases]]
method = ["ADIANA", "LoCoDL", "CompressedScaffnew"]
compressor = "permk:copies=3"
problem = { name = "logistic", regularizer = "l2" }

[[cases]]
method = ["LAG", { name = "Scaffnew", p = 0.3 }, { name = "SGD", batch = 8 }, "L-BFGS"]

[[cases]]
method = [
    { name = "EF21-SGD", batch = 8 },
    { name = "EF21-SGDM", batch = 8 },
    { name = "EF21-PAGE", batch = 8, probability = 0.5 },
]
compressor = ["topk:k=2", "sdd:rank=2"]

[[cases]]
method = [
    { name = "SCAFCOM", local_steps = 2, batch = 4, probability = 0.5 },
    { name = "FedPAQ", local_steps = 2, batch = 4, probability = 0.5 },
]
compressor = "sdd:rank=2"
data = { name = "digits", order = "dirichlet", alpha = 0.1, test_fraction = 0.15 }
problem = "softmax"

[[cases]]
method = { name = "SCALLION", local_steps = 2, batch = 4, probability = 0.5 }
compressor = "natural"

[[cases]]
method = { name = "FedAvg", local_steps = 2, batch = 4 }
data = { name = "digits", order = "dirichlet", alpha = 0.1, test_fraction = 0.15 }
problem = "softmax"

[[cases]]
method = { name = "Dion", batch = 8 }
compressor = "svd:rank=2,shape=10x12"

[[cases]]
method = [
    { name = "FedNL", hessian = "symmetric_sdd", correction = "shift" },
    { name = "FedNL-LS", hessian = "eigen:rank=2", h0 = "exact" },
    { name = "FedNL-PP", hessian = "topk:k=112" },
]
problem = { name = "logistic", regularizer = "l2", lambda = 1e-3 }
stepsize = 1.0
"""

BY_TOPOLOGY = {
    "allgather": METHODS.format(
        whole='["identity", "dense"]',
        compressors='["topk:k=2", "randk:k=5", "svd:rank=1+natural", "powersgd:rank=2"]',
    )
    + RELATIVES,
    "server": METHODS.format(
        whole='"identity"', compressors='["topk:k=2", "qsgd:levels=4,coding=elias"]'
    )
    + RELATIVES
    + """
[[cases]]
method = { name = "EF21-BC", downlink = ["topk:k=9", "rsvd:rank=1"] }
compressor = ["topk:k=2", "sdd"]

[[cases]]
method = { name = "FedNL-BC", hessian = "eigen", downlink = "topk:k=20", probability = 0.5 }
problem = { name = "logistic", regularizer = "l2", lambda = 1e-3 }
stepsize = 1.0
""",
}

RUNS = list(product(BY_TOPOLOGY, ("float32", "float64"), (1, 2)))

SHOWN = 40
"""Differences that are printed; all are counted."""

ATTRIBUTES = ("alpha", "omega", "stepsize", "message_bytes", "L", "L_tilde", "status", "valid")


class Difference(NamedTuple):
    """One number or array that is not the same."""

    where: str
    what: str
    old: object
    new: object

    def __str__(self) -> str:
        return f"{self.where}: {self.what}: {self.old} -> {self.new}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old", type=Path, metavar="OLD", help="a checkout")
    parser.add_argument("new", type=Path, metavar="NEW", help="the other one")
    parser.add_argument("--only", default="", metavar="TEXT", help="specifications that contain it")
    parser.add_argument("--no-certify", action="store_true", help="leave the certificates out")
    options = parser.parse_args()
    checkouts = options.old.resolve(), options.new.resolve()
    _all_methods(checkouts[0])
    specs = [spec for spec in _specifications(checkouts[0]) if options.only in spec]
    with tempfile.TemporaryDirectory() as folder:
        differences = compare_runs(checkouts, specs, Path(folder))
    if not options.no_certify:
        differences += _compare_certificates(checkouts, specs)
    for difference in differences[:SHOWN]:
        print(difference)
    print(f"{len(differences)} differences" if differences else "the same to the bit")
    return bool(differences)


def compare_runs(
    checkouts: tuple[Path, Path], specs: list[str], folder: Path, runs: list[tuple] = RUNS
) -> list[Difference]:
    """Run `specs` and all methods by both; all differences, and on the screen a line for each run.

    `runs` are (topology, dtype, ranks), an allgather before the first server.
    """
    gathered, found = None, []
    for topology, dtype, ranks in runs:
        chosen = specs if topology == "allgather" else [s for s in specs if s in gathered]
        text = _configuration(topology, dtype, chosen)
        name = f"{topology} {dtype} on {ranks}"
        old, new = (_run(checkout, folder, text, ranks) for checkout in checkouts)
        gathered = gathered or _gathered(old, specs)
        compared, differing = _between(old, new, name)
        found += differing
        print(f"{name:<24}{len(old):>5} cases{compared:>9} numbers{len(differing):>5} differ")
    return found


def _command(checkout: Path, *arguments: object, ranks: int = 1) -> str:
    launcher = [_mpirun(), "-n", str(ranks)] if ranks > 1 else []
    command = [*launcher, sys.executable, "-m", "mpi_lowrank", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{checkout}: {' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout


def _mpirun() -> str:
    return shutil.which("mpirun", path=Path(sys.executable).parent) or "mpirun"


def _specifications(checkout: Path) -> list[str]:
    """What `certify` measures where nothing is named."""
    code = (
        "import json; from mpi_lowrank.certificate import default_specs;"
        "print(json.dumps(default_specs()))"
    )
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    command = [sys.executable, "-c", code]  # which would import what lies in the working folder
    return json.loads(subprocess.check_output(command, cwd=checkout, env=environment))


def _all_methods(checkout: Path) -> None:
    """Refuse to compare less than every method."""
    listed = json.loads(_command(checkout, "list", "methods", "--json"))["methods"]
    text = "".join(BY_TOPOLOGY.values())
    missing = [entry["name"] for entry in listed if f'"{entry["name"]}"' not in text]
    if missing:
        sys.exit(f"bench/same.py: no case has the method {', '.join(missing)}; add one")


def _configuration(topology: str, dtype: str, specs: list[str]) -> str:
    """Its cases have labels of their own: what others are called may differ between versions."""
    head, numbers = HEAD.format(topology=topology, dtype=dtype), itertools.count()
    text = head + SPECS.format(specs=json.dumps(specs)) + BY_TOPOLOGY[topology]
    return re.sub(r"\[\[cases\]\]", lambda _: f'[[cases]]\nlabel = "{next(numbers)}"', text)


def _run(checkout: Path, folder: Path, text: str, ranks: int) -> dict[str, dict]:
    """Run the configuration; each case's numbers by name."""
    config, out = folder / "same.toml", folder / "same.h5"
    config.write_text(text)
    out.unlink(missing_ok=True)
    _command(checkout, "run", config, "--out", out, ranks=ranks)
    with h5py.File(out) as file:
        cases = list(file["cases"].values())
        names = (f"{case.attrs['method']} {case.attrs['label']}" for case in cases)
        return {name: dict(_numbers(case)) for name, case in zip(names, cases, strict=True)}


def _numbers(case: h5py.Group) -> Iterator[tuple[str, object]]:
    yield "spec", case.attrs["compressor"]
    yield "shared", "reduction" in case.attrs
    for name in ATTRIBUTES:
        yield name, case.attrs.get(name)
    yield "L_i", case["L_i"][:]
    for name, data in case["rounds"].items():
        if name != "seconds":
            yield name, data[:]
    ledger = case["ledger"][:]
    ledger = ledger[ledger["purpose"] != b"control"]  # ranks agree by the clock, so often or less
    for purpose, op in sorted({(row["purpose"], row["op"]) for row in ledger}):
        rows = ledger[(ledger["purpose"] == purpose) & (ledger["op"] == op)]
        calls = rows["calls"].sum() if "calls" in rows.dtype.names else len(rows)
        totals = calls, rows["count"].sum(), rows["bytes"].sum(), rows["modelled"].sum()
        yield f"ledger {purpose.decode()} {op.decode()}", np.array(totals)


def _gathered(cases: dict[str, dict], specs: list[str]) -> set[str]:
    """The specifications whose messages are gathered: a server can have them too.

    EF21's cases come first, in the order of `specs`.
    """
    return {
        spec for spec, numbers in zip(specs, cases.values(), strict=False) if not numbers["shared"]
    }


def _between(old: dict, new: dict, name: str) -> tuple[int, list[Difference]]:
    """How many numbers were compared, and what differs."""
    compared, found = 0, []
    for label in [*old, *(label for label in new if label not in old)]:
        if label not in old or label not in new:
            found.append(Difference(name, label, label in old, label in new))
            continue
        for what in dict.fromkeys([*old[label], *new[label]]):
            pair = old[label].get(what), new[label].get(what)
            compared += np.size(pair[0])
            if not _equal(*pair):
                found.append(Difference(f"{name}: {label}", what, *_first(*pair)))
    return compared, found


def _equal(old: object, new: object) -> bool:
    old, new = np.asarray(old), np.asarray(new)
    numbers = old.dtype.kind == new.dtype.kind == "f"
    return old.shape == new.shape and np.array_equal(old, new, equal_nan=numbers)


def _first(old: object, new: object) -> tuple[object, object]:
    """The first element in which two arrays of one length differ, else the whole."""
    if np.ndim(old) != 1 or np.shape(old) != np.shape(new):
        return old, new
    at = np.flatnonzero((old != new) & ~((old != old) & (new != new)))[0]
    return f"[{at}] {old[at]}", f"[{at}] {new[at]}"


def _compare_certificates(checkouts: tuple[Path, Path], specs: list[str]) -> list[Difference]:
    old, new = (json.loads(_command(c, "certify", *specs, "--json")) for c in checkouts)
    pairs = [({(f["spec"], f["promise"]): f for f in findings}) for findings in (old, new)]
    found = [  # promises that OLD does not measure have nothing to be compared with
        Difference("certify", " ".join(key), finding, pairs[1].get(key))
        for key, finding in pairs[0].items()
        if finding != pairs[1].get(key)
    ]
    print(f"{'certify':<24}{len(old):>5} findings{len(found):>19} differ")
    return found


if __name__ == "__main__":
    sys.exit(main())
