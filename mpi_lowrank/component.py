"""What a name in a configuration stands for: a class whose options are declared once, typed."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, ClassVar

from mpi_lowrank.errors import UserError

REQUIRED: Any = inspect.Parameter.empty
"""The default of an option that has none."""


@dataclass(frozen=True)
class Option:
    """What a configuration may set: its type, and its default."""

    annotation: Any
    default: Any = REQUIRED
    attribute: str = ""
    """Its name in Python, with a trailing underscore if the option's is a keyword."""

    @property
    def required(self) -> bool:
        return self.default is REQUIRED


class Options(SimpleNamespace):
    """All options of a component by their names in Python, those not given at their defaults."""


def option(default: Any = REQUIRED) -> Any:
    """Declare an option in the body of a Component: `k: int = option()`, `rank: int = option(1)`.

    Its type is int, float, bool, str, Literal, a tuple of these, Choice (a compressor), or a union
    with None. An instance has its value as an attribute of that name. A subclass inherits the
    option, or fixes it with a plain value: `base = 2.0`.
    """
    return _Declared(default)


@dataclass(frozen=True)
class _Declared:
    default: Any


class Component:
    """A class with options, which are keyword arguments besides the arguments of its kind."""

    name: str = "unregistered"
    options: ClassVar[Mapping[str, Option]] = {}
    """By the name that a configuration uses; the class's own come first."""

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        for attribute, value in list(vars(cls).items()):
            if isinstance(value, _Declared):
                delattr(cls, attribute)
                annotation = _annotation(cls, attribute)
                declared = Option(annotation, value.default, attribute)
                cls._added = {**vars(cls).get("_added", {}), attribute.rstrip("_"): declared}
        found: dict[str, Option] = {}
        fixed: set[str] = set()
        for base in cls.__mro__:
            fixed |= vars(base).keys()
            for name, declared in vars(base).get("_added", {}).items():
                if declared.attribute not in fixed:
                    found.setdefault(name, declared)
        cls.options = found

    _added: ClassVar[Mapping[str, Option]] = {}

    @classmethod
    def filled(cls, given: Mapping[str, Any]) -> Options:
        """All options, by their names in Python as in `given`.

        Raises TypeError for one that is unknown or missing; configurations are checked before.
        """
        known = {declared.attribute: declared for declared in cls.options.values()}
        if unknown := given.keys() - known:
            raise TypeError(f"{cls.__qualname__} has no option {', '.join(sorted(unknown))}")
        values = {name: given.get(name, declared.default) for name, declared in known.items()}
        if missing := [name for name, value in values.items() if value is REQUIRED]:
            raise TypeError(f"{cls.__qualname__} needs {', '.join(missing)}")
        return Options(**values)

    def set_options(self, given: Mapping[str, Any]) -> None:
        """Make every option an attribute; see `filled`."""
        for name, value in vars(self.filled(given)).items():
            setattr(self, name, value)  # through vars() all attributes would become slower


def _annotation(cls: type, attribute: str) -> Any:
    """The type of an option, evaluated in its module where it is written as a string."""
    annotation = inspect.get_annotations(cls).get(attribute)
    if annotation is None:
        expected = "int, float, bool, str, Literal[...] or another type that configurations know"
        raise UserError(f"{cls.__qualname__}: option {attribute} has no annotation; {expected}")
    if isinstance(annotation, str):
        return eval(annotation, vars(sys.modules[cls.__module__]), dict(vars(cls)))
    return annotation
