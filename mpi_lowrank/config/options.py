"""Components with their options, read from TOML or from one line, and what options may be."""

from collections.abc import Mapping
from math import isfinite
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from mpi_lowrank.compressors import compressors
from mpi_lowrank.config import toml
from mpi_lowrank.errors import OptionError, UserError, hint, one_of
from mpi_lowrank.registry import Choice, Registry


def choose(registry: Registry[Any], given: Any, key: str) -> Choice:
    """The component that a name, a table or a compressor's one line stands for, options checked.

    Raises OptionError, which names `key`, for an unknown name and for an option that is unknown,
    missing or of another type.
    """
    if registry is compressors and isinstance(given, dict) and "compose" in given:
        return _composed(given, key)
    if registry is compressors and isinstance(given, str) and set(given) & set(":+"):
        return _read(given, key)
    table = {"name": given} if isinstance(given, str) else given
    if not isinstance(table, dict) or not isinstance(table.get("name"), str):
        raise OptionError(key, given, 'a name, or a table such as {name = "...", ...}')
    name = table["name"]
    if name not in registry.names():
        raise OptionError(key, name, registry.allowed(name))
    allowed = registry[name].options
    given = {option: value for option, value in table.items() if option != "name"}
    known(given, list(allowed), key + ".")
    options = {o: convert(v, allowed[o].annotation, f"{key}.{o}") for o, v in given.items()}
    for option, parameter in allowed.items():
        if option not in options and parameter.required:
            raise OptionError(f"{key}.{option}", None, describe(parameter.annotation))
    return Choice(name, options)


def _composed(table: dict, key: str) -> Choice:
    """{compose = ["topk:k=8", "natural"]}: the second one carries the numbers of the first."""
    stages = table["compose"]
    if len(table) > 1 or not isinstance(stages, list) or len(stages) < 2:
        allowed = 'two stages or more and nothing else: {compose = ["topk:k=8", "natural"]}'
        raise OptionError(key, table, allowed)
    return _read("+".join(stages), f"{key}.compose")


def read_spec(text: str) -> Choice:
    """A compressor in one line: "topk:k=8,wire=float64", "svd:rank=1,shape=7x16+natural"."""
    try:
        return _read(text, "compressor")
    except OptionError as problem:
        raise UserError(f"{text}: {problem}") from problem


def _read(text: str, key: str) -> Choice:
    *first, last = text.split("+")
    read = _read_stage(last, key, None)
    for stage in reversed(first):
        read = _read_stage(stage, key, read)
    return read


def _read_stage(stage: str, key: str, then: Choice | None) -> Choice:
    name, _, options = stage.partition(":")
    pairs = [pair.partition("=") for pair in options.split(",") if pair]
    table = {option: _read_value(value, f"{key}.{option}") for option, _, value in pairs}
    if len(table) < len(pairs):
        raise OptionError(key, stage, "each option once")
    choice = choose(compressors, {"name": name.strip(), **table}, key)
    return Choice(choice.name, choice.options, then)


def _read_value(text: str, key: str) -> object:
    """A TOML value, a shape such as 7x16, or else a string."""
    sizes = text.strip().split("x")
    if len(sizes) > 1 and all(size.isdecimal() for size in sizes):
        return [int(size) for size in sizes]
    value = toml.value(text.strip())
    toml.check(value, key)
    return value


def is_one_value(registry: Registry[Any], table: Mapping, option: str, value: list) -> bool:
    """Whether a list in a component's table is one value: a shape, or the stages of a composition.

    Of several names, or none, in the table any may be meant.
    """
    if registry is compressors and option == "compose":
        return all(isinstance(stage, str) for stage in value)
    names = table.get("name")
    given = names if isinstance(names, list) else [names]
    named = {name for name in given if isinstance(name, str)} & set(registry.names())
    known = [registry[name].options for name in named]
    return any(_holds(options[option].annotation, value) for options in known if option in options)


def _holds(annotation: Any, value: list) -> bool:
    """Whether the annotation has a tuple of such items, however many."""
    tuples = [kind for kind in _alternatives(annotation) if get_origin(kind) is tuple]
    return any(all(map(_is, value, _kinds(kind, len(value)))) for kind in tuples)


def describe(annotation: Any) -> str:
    """What an option of this annotation may be, in words."""
    words = {int: "an integer", float: "a number", bool: "true or false", str: "a string"}
    described = []
    for accepted in _alternatives(annotation):
        if get_origin(accepted) is Literal:
            described += [f'"{choice}"' for choice in get_args(accepted)]
        elif get_origin(accepted) is tuple:
            kinds = ["..." if kind is Ellipsis else words[kind] for kind in get_args(accepted)]
            described.append("[" + ", ".join(kinds) + "]")
        elif accepted is Choice:
            described.append("a compressor")
        elif accepted is not NoneType:
            described.append(words[accepted])
    return " or ".join(described)


def convert(value: Any, annotation: Any, key: str) -> Any:
    """`value` as the annotation's type, or an error that describes what the annotation allows."""
    for accepted in _alternatives(annotation):
        if accepted is Choice:
            return choose(compressors, value, key)
        if get_origin(accepted) is Literal and any(
            value is a or value == a for a in get_args(accepted)
        ):
            return value
        if accepted is float and type(value) in (int, float) and isfinite(value):
            return float(value)
        if accepted in (int, str, bool) and type(value) is accepted:
            return value
        if get_origin(accepted) is tuple and isinstance(value, list):
            kinds = _kinds(accepted, len(value))
            if len(kinds) == len(value) and all(map(_is, value, kinds)):
                return tuple(kind(item) for kind, item in zip(kinds, value, strict=True))
    raise OptionError(key, value, describe(annotation) + hint(_literals(annotation), value))


def _literals(annotation: Any) -> list[str]:
    literal = [kind for kind in _alternatives(annotation) if get_origin(kind) is Literal]
    return [choice for kind in literal for choice in get_args(kind)]


def _kinds(annotation: Any, length: int) -> tuple[Any, ...]:
    """The types of the items of a tuple; of so many, where it says "..."."""
    first, *others = get_args(annotation)
    return (first,) * length if others == [Ellipsis] else (first, *others)


def _is(item: object, kind: type) -> bool:
    """Whether the item may stand where the kind is asked for; an integer is a number too."""
    return type(item) is kind or (kind is float and type(item) is int)


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def known(table: Mapping, names: list[str], where: str) -> None:
    """Raise OptionError for a key of the table that is none of the names."""
    for key in table:
        if key not in names:
            raise OptionError(where + key, table[key], "one of the keys " + one_of(names, key))
