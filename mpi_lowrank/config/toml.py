"""A configuration's text and its tables; what no value may be, whatever its key."""

import tomllib
from pathlib import Path

from mpi_lowrank.errors import OptionError, UserError, short

LARGEST = 16 * 2**20
"""The most bytes of a configuration file."""

DEEPEST = 20
"""The most tables and lists in one another."""


def read(path: Path) -> str:
    """The text of a configuration file, UTF-8, with or without a byte order mark.

    Raises UserError if it cannot be read, is another encoding or has more than LARGEST bytes.
    """
    try:
        with open(path, "rb") as stream:
            text = stream.read(LARGEST + 1)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    if len(text) > LARGEST:
        raise UserError(f"{path}: is too long; a configuration has at most {LARGEST >> 20} MB")
    try:
        return text.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        byte, line = text[error.start], text.count(b"\n", 0, error.start) + 1
        where = f"byte {error.start} (0x{byte:02x}, in line {line})"
        raise UserError(f"{path}: is not UTF-8: {where}; save it as UTF-8") from error


def tables(text: str, path: Path) -> dict:
    """The text as TOML's tables. Raises UserError, which names the `path`, if it is not TOML."""
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise UserError(f"{path}: is too deep: {_DEPTH}") from None
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path}: is not TOML: {error}") from error
    except ValueError as error:  # Python's, of an integer of thousands of digits
        raise UserError(f"{path}: has too large a number: {_INTEGERS}") from error


_DEPTH = f"at most {DEEPEST} tables and lists in one another"
_INTEGERS = "an integer from -2**63 to below 2**63"


def check(value: object, key: str = "", depth: int = 0) -> None:
    """Raise OptionError for an integer beyond 64 bits, and for too deep a structure."""
    if depth > DEEPEST:
        raise OptionError(key, "...", _DEPTH)
    if isinstance(value, dict):
        for name, inner in value.items():
            check(inner, f"{key}.{name}" if key else name, depth + 1)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            check(inner, f"{key}[{number}]", depth + 1)
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise OptionError(key, hex(value) if value.bit_length() > 10_000 else value, _INTEGERS)


def value(text: str) -> object:
    """A TOML value, or else the text itself."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text


def override(table: dict, setting: str) -> None:
    """Set one key of the tables to what KEY=VALUE says. Raises UserError if it cannot be."""
    key, equals, text = setting.partition("=")
    if not equals or not key:
        raise UserError(
            f"--set {short(setting)}: expected KEY=VALUE, such as rounds=100 or data.order=..."
        )
    if not setting.isprintable():
        raise UserError(f"--set {short(setting)}: expected printable characters on one line")
    *path, last = key.split(".")
    try:
        for target in _targets(table, path):
            target[last] = value(text)
    except OptionError as error:
        raise UserError(f"--set {short(setting)}: {error}") from error


def _targets(table: dict, path: list[str]) -> list[dict]:
    """The tables that a dotted path names; `cases` is every case, `cases.2` the third."""
    targets = [table]
    for done, step in enumerate(path):
        targets = [t for target in targets for t in _below(target, step, path[:done])]
    return [t for target in targets for t in _tables(target, path)]


def _below(target: object, step: str, path: list[str]) -> list:
    numbered = {str(n): t for n, t in enumerate(target)} if isinstance(target, list) else {}
    if step in numbered:
        return [numbered[step]]
    return [holder.setdefault(step, {}) for holder in _tables(target, path)]


def _tables(target: object, path: list[str]) -> list[dict]:
    """The table that lies at the path, or those of the list that does."""
    holders = target if isinstance(target, list) else [target]
    tables = [holder for holder in holders if isinstance(holder, dict)]
    if len(tables) < len(holders):
        raise OptionError(".".join(path), target, "a table with keys of its own")
    return tables
