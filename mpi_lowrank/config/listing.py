"""What there is of every kind of component, with its options."""

import inspect
import textwrap

from mpi_lowrank.component import Option
from mpi_lowrank.config.options import describe
from mpi_lowrank.datasets import listing


def listed(kind: str) -> list[dict]:
    """A JSON-ready entry per component of the kind, with options; what is known of data sets."""
    if kind == "datasets":
        return listing()
    registry = getattr(__import__(f"mpi_lowrank.{kind}", fromlist=[kind]), kind)
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
