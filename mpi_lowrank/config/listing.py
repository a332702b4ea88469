"""What there is of every kind of component, with its options."""

import inspect
import textwrap
from typing import Any

from mpi_lowrank.collectives.base import Topology
from mpi_lowrank.component import Option
from mpi_lowrank.config.options import describe
from mpi_lowrank.datasets import listing
from mpi_lowrank.errors import UserError, hint, short
from mpi_lowrank.registry import KINDS, Registry


def listed(kind: str) -> list[dict]:
    """A JSON-ready entry per component of the kind, with options; what is known of data sets."""
    if kind == "datasets":
        return listing()
    registry = _registry(kind)
    return [
        {
            "name": component,
            "summary": (inspect.getdoc(registry[component]) or "").splitlines()[0],
            "options": {
                name: {"allowed": describe(option.annotation), **_default(option)}
                for name, option in registry[component].options.items()
            },
        }
        for component in registry.names()
    ]


def _registry(kind: str) -> Registry[Any]:
    registry: Registry[Any] = getattr(__import__(f"mpi_lowrank.{kind}", fromlist=[kind]), kind)
    return registry


def found(name: str) -> list[dict]:
    """The entries of `listed` of that name, of whatever kind, with `kind`, `about` and `example`.

    `example` is a line of a configuration. Raises UserError if nothing has the name.
    """
    all_of = {kind: listed(kind) for kind in KINDS}
    entries = [
        {"kind": kind, **entry, **_told(kind, entry)}
        for kind, its in all_of.items()
        for entry in its
        if entry["name"] == name
    ]
    if entries:
        return entries
    names = dict.fromkeys([*KINDS, *(entry["name"] for its in all_of.values() for entry in its)])
    allowed = f"{', '.join(KINDS)}, or a name in one of these lists"
    raise UserError(f"list {short(name)}: allowed is {allowed}{hint(names, name)}")


def _told(kind: str, entry: dict) -> dict[str, str]:
    component = _registry(kind)[entry["name"]]
    about = inspect.getdoc(component) or ""
    return {"about": about, "example": _example(kind, component, entry)}


def _example(kind: str, component: Any, entry: dict) -> str:
    """A line of a configuration that chooses the component."""
    name = entry["name"]
    if kind == "compressors":
        return f'compressor = "{":".join(filter(None, (name, component.examples[0])))}"'
    if kind == "collectives":
        return f'{"topology" if issubclass(component, Topology) else "reduction"} = "{name}"'
    needed = [o for o, its in entry.get("options", {}).items() if its["required"]]
    key = "data" if kind == "datasets" else kind.removesuffix("s")
    if not needed:
        return f'{key} = "{name}"'
    given = "".join(f', {option} = "identity"' for option in needed)  # all of them compressors
    return f'{key} = {{ name = "{name}"{given} }}'


def format_found(entries: list[dict]) -> str:
    """What there is of a name: its description, options and an example."""
    return "\n\n".join("\n".join(_found_lines(entry)) for entry in entries)


def _found_lines(entry: dict) -> list[str]:
    lines = [f"{entry['name']} ({entry['kind']})", "", *entry["about"].splitlines()]
    options = [
        line
        for option, its in entry.get("options", {}).items()
        for line in _wrapped("  ", f"{option} = {its['allowed']} ({_need(its)})", 4)
    ]
    lines += ["", "options", *options] if options else []
    return [*lines, "", "in a configuration", f"  {entry['example']}"]


def _default(option: Option) -> dict[str, object]:
    """An option's default, if it need not be given; that may be null, for nothing."""
    return {"required": True} if option.required else {"required": False, "default": option.default}


def format_list(listed: dict[str, list[dict]]) -> str:
    """The entries of each kind as text, one option per line."""
    lines = []
    for kind, components in listed.items():
        lines += [kind] if len(listed) > 1 else []
        width = max(12, *(len(component["name"]) + 2 for component in components))
        for component in components:
            told = component.get("summary") or _data_line(component)
            lines += _wrapped(f"  {component['name']:<{width}}", told, width + 2)
            for option, its in component.get("options", {}).items():
                text = f"{option} = {its['allowed']} ({_need(its)})"
                lines += _wrapped(" " * (width + 4), text, width + 6)
    return "\n".join(lines)


def _need(option: dict) -> str:
    if option["required"]:
        return "required"
    return "optional" if option["default"] is None else f"default {option['default']}"


def _wrapped(lead: str, text: str, indent: int) -> list[str]:
    """The text behind its lead, in lines of at most a hundred columns."""
    return textwrap.wrap(lead + text, 100, subsequent_indent=" " * indent, drop_whitespace=True)


def _data_line(entry: dict) -> str:
    return f"{entry['rows']:>7} x {entry['features']:<6}{entry['where']:<13}{entry['licence']}"
