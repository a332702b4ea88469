"""Records that are damaged, or hold what no run writes, read by `table`, `plot` and `show`."""

import io
import json
import warnings
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import h5py
import numpy as np

from hostile.texts import damaged
from mpi_lowrank.cli.entry import main
from mpi_lowrank.cli.status import FAILED
from mpi_lowrank.errors import LONGEST, UserError
from mpi_lowrank.record import LEDGER_DTYPE, PHASES_DTYPE, RecordWriter
from mpi_lowrank.record.seal import LENGTH

COMMANDS = [
    ["table"],
    ["table", "--json"],
    ["table", "--target", "loss=0.1"],
    ["table", "--median", "loss=0.1"],
    ["table", "--median", "grad_norm_sq=1e-3", "--json"],
    ["show"],
    ["show", "--json"],
]
PLOTS = [["plot"], ["plot", "--median", "grad_norm_sq=1e-3"]]
PLOTTED = 0.02
"""The share of records that are drawn, which takes a second."""

ROWS = 30
REALS = [0.0, -1.0, 1e-320, 1e300, -1e300, np.nan, np.inf, -np.inf, 1e-300]
WHOLE = [0, -1, 1, 2**31, 2**62, -(2**62)]
PLAIN: list[Any] = ["", "a", "é" * 300, "\x1b[2J", "\n", "x" * 5000, 0, -1, 2**62, 0.5, True]
PLAIN += [np.nan, np.inf, 1e308, [], ["a", "b"], [1, 2], [0.5], ["\0"[:0]], [True], "[" * 2000]
PLAIN += ["$\\frac$", "%s%n", "{}", "nan", "$x$", "<b>", "topk(k=2)", "finished", "diverged"]
ODD = [h5py.Empty("f"), 1j, np.ones((2, 2)), np.bytes_(b"\xff"), np.void(b"ab"), np.zeros(0)]


def make(random: Random) -> bytes:
    """The arguments of a command, as JSON, a line end, and the bytes of a record."""
    command = random.choice(PLOTS if random.random() < PLOTTED else COMMANDS)
    image, what = _image(), random.random()
    if what < 0.7:
        image = _changed(random, image)
    if what > 0.6:
        for _ in range(random.choice([1, 1, 2, 8])):
            image = damaged(random, image)
    return json.dumps(command).encode() + b"\n" + image


def use(data: bytes, folder: Path) -> None:
    """Carry out the command. Raises UserError where it ends with one line of error."""
    command, _, image = data.partition(b"\n")
    (folder / "r.h5").write_bytes(image)
    words = json.loads(command)
    more = ["-o", str(folder)] if words[0] == "plot" else []
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), warnings.catch_warnings():
        warnings.simplefilter("always")
        status = main([words[0], str(folder / "r.h5"), *words[1:], *more])
    _judge(status, out.getvalue(), err.getvalue(), "--json" in words)


def _judge(status: int, out: str, err: str, is_json: bool) -> None:
    lines = err.splitlines()
    if status == FAILED and len(lines) == 1 and lines[0].startswith("mpi-lowrank: error: "):
        if out or len(lines[0]) > LONGEST + 50 or not lines[0].isprintable():
            raise AssertionError(f"the error is no line: {err[:2000]!r}")
        raise UserError(lines[0].partition("error: ")[2])
    if status or err:
        raise AssertionError(f"status {status}: {err[:2000]}")
    if is_json:
        json.loads(out, parse_constant=_no_json)
    elif not all(line.isprintable() for line in out.splitlines()):
        raise AssertionError(f"not printable: {out[:2000]!r}")


def _no_json(text: str) -> None:
    raise AssertionError(f"{text} is no JSON")


@cache
def _image() -> bytes:
    """A record of two cases, without its seal."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "r.h5"
        root = {"name": "r", "versions": '{"numpy": "2"}', "hosts": ["a", "b"], "baseline": "a"}
        writer = RecordWriter(path, root | {"config": "name = 'r'\n"})
        for label in "ab":
            _add_case(writer, label)
        writer.close()
        return path.read_bytes()[:-LENGTH]


def _add_case(writer: RecordWriter, label: str) -> None:
    given = {"method": "EF21", "compressor": "topk(k=2)", "family": "some coordinates", "seed": 0}
    given |= {"problem": "logistic", "data": "mushrooms", "workers": 4, "dtype": "float64"}
    given |= {"L": 2.5, "L_i": np.arange(4.0), "stepsize": 0.1, "multiple": 1.0}
    writer.start_case(label, given)
    for number in range(ROWS):
        values = {"loss": 1 / (1 + number), "grad_norm_sq": 0.5**number, "seconds": 0.1 * number}
        writer.append(
            {"round": number, "uplink_bytes": 8.0 * number, "downlink_bytes": 8.0, **values}
        )
    verdict = {"status": "finished", "valid": True, "reasons": ["none"], "timing_valid": True}
    writer.finish_case(verdict, np.zeros(9, LEDGER_DTYPE), np.ones(2, PHASES_DTYPE))


def _changed(random: Random, image: bytes) -> bytes:
    held = io.BytesIO(image)
    with h5py.File(held, "r+") as file:
        for _ in range(random.choice([1, 1, 2, 5])):
            try:
                random.choice(CHANGES)(random, file)
            except Exception:
                continue  # h5py does not write such a thing
    return held.getvalue()


def _nodes(file: h5py.File) -> list[Any]:
    found: list[Any] = [file]
    file.visititems(lambda name, node: found.append(node))
    return found


def _arrays(file: h5py.File) -> list[h5py.Dataset]:
    return [node for node in _nodes(file) if isinstance(node, h5py.Dataset)]


def _set_attribute(random: Random, file: h5py.File) -> None:
    node = random.choice(_nodes(file))
    names = [*node.attrs, "label", "status", "units", "falls", "scale", "baseline", "seed"]
    node.attrs[random.choice(names)] = random.choice([*PLAIN, *PLAIN, *ODD])


def _drop_attribute(random: Random, file: h5py.File) -> None:
    node = random.choice(_nodes(file))
    del node.attrs[random.choice(list(node.attrs))]


def _set_numbers(random: Random, file: h5py.File) -> None:
    array = random.choice(_arrays(file))
    numbers = array[:]
    if numbers.dtype.names:
        field = random.choice(numbers.dtype.names)
        numbers[field][random.randrange(len(numbers))] = random.choice(WHOLE)
    else:
        some = slice(random.randrange(len(numbers)), random.choice([None, -1, 3]))
        numbers[some] = random.choice(REALS if numbers.dtype.kind == "f" else WHOLE)
    array[...] = numbers


def _reshape(random: Random, file: h5py.File) -> None:
    array, rows = random.choice(_arrays(file)), random.choice([0, 1, 29, 31, 2**40])
    if array.size < 2**40:  # one that is shrunk from there keeps HDF5 busy chunk by chunk
        array.resize((rows,))


def _replace(random: Random, file: h5py.File) -> None:
    name = random.choice(_arrays(file)).name
    del file[name]
    shape = random.choice([(), (0,), (1,), (ROWS,), (ROWS, 1), (2**40,)])
    dtype = random.choice(["<f8", "<i8", "<f4", "S8", "?", "<c16", ">f8", LEDGER_DTYPE])
    chunks = (512,) if shape == (2**40,) else None
    file.create_dataset(name, shape, dtype, chunks=chunks)


def _remove(random: Random, file: h5py.File) -> None:
    del file[random.choice(_nodes(file)[1:]).name]


def _move(random: Random, file: h5py.File) -> None:
    name = random.choice(_nodes(file)[1:]).name
    file.move(
        name, f"{random.choice(['', '/cases', '/cases/a', '/cases/a/rounds'])}/{_name(random)}"
    )


def _link(random: Random, file: h5py.File) -> None:
    links = [h5py.SoftLink("/cases/a"), h5py.SoftLink("/nowhere"), h5py.SoftLink("/cases/c")]
    links += [h5py.ExternalLink("r.h5", "/cases/a"), h5py.ExternalLink("/etc/passwd", "/")]
    links += [file["cases/a"], file["/"], file["cases/a/rounds"]]
    where = random.choice(["/cases/c", "/cases/a/c", "/cases/a/rounds/c", "/c"])
    file[where] = random.choice(links)


def _add(random: Random, file: h5py.File) -> None:
    where = random.choice(["/cases", "/cases/a", "/cases/a/rounds", ""])
    made = file.create_dataset(f"{where}/{_name(random)}", data=np.ones(ROWS))
    own = {"meaning": "m", "falls": True, "heading": "h", "label": "l", "units": "1"}
    for name, value in own.items():
        made.attrs[name] = value if random.random() < 0.8 else random.choice(PLAIN)


def _name(random: Random) -> str:
    return random.choice(["c", "loss", "speed", "é", "x" * 300, "\x1b", "a", "round", "ledger"])


CHANGES = [_set_attribute] * 6 + [_set_numbers] * 6
CHANGES += [_drop_attribute, _reshape, _replace, _remove, _move, _link, _add, _add]
