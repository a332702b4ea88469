"""Components by name: a decorator inside the package, a setuptools entry point outside it."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, Protocol, TypeVar

from mpi_lowrank.errors import UserError, in_one_line, one_of, short
from mpi_lowrank.machine import output
from mpi_lowrank.machine.launch import read_launch
from mpi_lowrank.text.spelling import spell

KINDS = ("compressors", "methods", "steps", "problems", "datasets", "collectives")


class Named(Protocol):
    """What can be registered: a class that learns its own name."""

    name: str


T = TypeVar("T", bound=Named)


class Registry(Generic[T]):
    """The components of one kind, one of KINDS.

    A built-in registers itself when its module is imported; every module of the package
    `mpi_lowrank.<kind>` is, in its folders too, at the first look-up. Other distributions add
    theirs as entry points of the group `mpi_lowrank.<kind>`. One that cannot be used is named on
    standard error, once, and left out.
    """

    def __init__(self, kind: str):
        self.kind = kind
        self._found: dict[str, type[T]] = {}
        self._broken: dict[str, str] = {}
        self._complete = False

    def register(self, name: str) -> Callable[[type[T]], type[T]]:
        """Register the decorated class as `name`; a second one of the same name is an error."""

        def decorate(component: type[T]) -> type[T]:
            if self._found.setdefault(name, component) is not component:
                raise UserError(f"{self.kind}: {name!r} is registered twice")
            component.name = name
            return component

        return decorate

    def names(self) -> list[str]:
        self._discover()
        return sorted(self._found)

    def __getitem__(self, name: str) -> type[T]:
        self._discover()
        if name not in self._found:
            raise UserError(f"{self.kind}: no {short(name)!r}; allowed is {self.allowed(name)}")
        return self._found[name]

    def allowed(self, wrong: str) -> str:
        """What is allowed in place of the name `wrong`, and why a plug-in of that name is not."""
        names = one_of(self.names(), wrong)
        return f"{names} ({self._broken[wrong]})" if wrong in self._broken else names

    def _discover(self) -> None:
        if self._complete:
            return
        package = importlib.import_module(f"mpi_lowrank.{self.kind}")
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
        for entry in entry_points(group=package.__name__):
            try:
                self.register(entry.name)(entry.load())
            except (Exception, SystemExit) as error:
                self._leave_out(entry, error)
        self._complete = True

    def _leave_out(self, entry: EntryPoint, error: BaseException) -> None:
        plugin = f"plug-in {entry.dist.name} {entry.dist.version}" if entry.dist else "a plug-in"
        cause = in_one_line(error)
        told = f"{entry.name} = {entry.value} of {plugin} cannot be used: {cause}"
        self._broken[entry.name] = told
        if read_launch().rank == 0:
            output.complain("warning", f"{self.kind}: {told}; left out")


@dataclass(frozen=True)
class Choice:
    """A component by name, with its options: "topk(k=2)".

    `then` is the compressor in whose messages its numbers travel: "topk(k=2)+natural".
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    then: Choice | None = None

    def __str__(self) -> str:
        options = ",".join(f"{option}={spell(v)}" for option, v in self.options.items())
        alone = f"{self.name}({options})" if options else self.name
        return f"{alone}+{self.then}" if self.then else alone

    def __hash__(self) -> int:
        return hash((self.name, tuple(self.options.items()), self.then))

    def arguments(self) -> dict[str, Any]:
        """The options as keyword arguments: Python's keywords carry a trailing underscore."""
        return {"lambda_" if o == "lambda" else o: value for o, value in self.options.items()}
