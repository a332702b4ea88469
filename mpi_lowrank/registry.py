"""Components by name: a decorator inside the package, a setuptools entry point outside it."""

import importlib
import pkgutil
from collections.abc import Callable
from importlib.metadata import entry_points

from mpi_lowrank.errors import UserError, one_of, short


class Registry:
    """The components of one kind (compressors, methods, problems, datasets).

    A built-in registers itself when its module is imported; every module of the package
    `mpi_lowrank.<kind>` is, at the first look-up. Other distributions add theirs as entry points of
    the group `mpi_lowrank.<kind>`.
    """

    def __init__(self, kind: str):
        self.kind = kind
        self._found: dict[str, type] = {}
        self._complete = False

    def register(self, name: str) -> Callable[[type], type]:
        """Register the decorated class as `name`; a second one of the same name is an error."""

        def decorate(component: type) -> type:
            if self._found.setdefault(name, component) is not component:
                raise UserError(f"{self.kind}: {name!r} is registered twice")
            component.name = name
            return component

        return decorate

    def names(self) -> list[str]:
        self._complete or self._discover()
        return sorted(self._found)

    def __getitem__(self, name: str) -> type:
        self._complete or self._discover()
        if name not in self._found:
            allowed = one_of(self.names(), name)
            raise UserError(f"{self.kind}: no {short(name)!r}; allowed is {allowed}")
        return self._found[name]

    def _discover(self) -> None:
        package = importlib.import_module(f"mpi_lowrank.{self.kind}")
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{package.__name__}.{module.name}")
        for entry in entry_points(group=package.__name__):
            self.register(entry.name)(entry.load())
        self._complete = True
