"""The page of all keys of a configuration, out of the classes that read them.

python -m mpi_lowrank.config.reference > mpi_lowrank/config/README.md
"""

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, fields
from typing import Any, get_args, get_origin, get_type_hints

from mpi_lowrank.collectives import of_kind
from mpi_lowrank.component import REQUIRED
from mpi_lowrank.config.case import Case, Tune
from mpi_lowrank.config.cases import COLLECTIVES, COMPONENTS
from mpi_lowrank.config.options import describe
from mpi_lowrank.config.tune import FARTHEST
from mpi_lowrank.datasets import Data
from mpi_lowrank.registry import Choice, Registry
from mpi_lowrank.text.options import COSTS

BEGINNING = """\
# The keys of a configuration

One TOML file is one experiment. Each `[[cases]]` table is a case; a key at the top of the file
holds for all cases, and one in a case's table for it alone. A list of values, where the key takes
one, makes a sweep: the cross product. Of a component, a name or a table with its options is
given: `compressor = { name = "topk", k = [1, 2] }`; compressors also in one line,
`"topk:k=2+natural"`. What is set by `--set KEY=VALUE` overrides the file.

This page is printed by `python -m mpi_lowrank.config.reference`.

| key of the file alone | allowed | default | meaning |
|--|--|--|--|
| `name` | a string | the file's name | of the record |
| `baseline` | a case's label | the first case's | what ratios are to |
| `cases` | tables | required | the cases |
"""

TUNING = f"""\
Of a case with `stepsize = "tuned"` the record has each step that was tried, as a case of its own,
and `best` with the same target and cost prints the one that was found. The grid is the
same for all methods: 2^k/L, or 2^k where a problem has no known L. First 1/4 to 4 are tried, then
more at an end while the best step lies there, from 2^-{FARTHEST} to 2^{FARTHEST} at most. A case
ends as `stopped` once it has spent what the best step took, and a step's other seeds are left out
once its median cannot win; at the end, cases of the best step that were cut run again, whole.
"""


def reference() -> str:
    """The page, in Markdown, of the components that come with this package."""
    parts = [BEGINNING, _keys("key of a case", Case), _keys("key of `data`", Data)]
    parts += [_keys("key of `tune`", Tune), TUNING]
    parts += [_components(kind, registry) for kind, registry in COMPONENTS.items()]
    return "\n".join(parts)


def _keys(title: str, table: type) -> str:
    hints = get_type_hints(table, include_extras=True)
    rows = (_key(spec, hints[spec.name]) for spec in fields(table))
    return _table((title, "allowed", "default", "meaning"), rows)


def _key(spec: Field, hint: Any) -> tuple[str, ...]:
    annotation, meaning = get_args(hint)
    return f"`{spec.name}`", _allowed(spec.name, annotation), _default(_given(spec)), meaning


def _given(spec: Field) -> Any:
    """The default of a field."""
    if spec.default_factory is not MISSING:
        return spec.default_factory()
    return REQUIRED if spec.default is MISSING else spec.default


def _allowed(key: str, annotation: Any) -> str:
    if key in COMPONENTS:
        return f"a {key}, below"
    if key in COLLECTIVES:
        return " or ".join(f'"{name}"' for name in of_kind(COLLECTIVES[key]))
    if get_origin(annotation) is get_origin(Mapping[str, float]):
        return "a table such as {grad_norm_sq = 1e-6}"
    if key == "by":
        return " or ".join(f'"{cost}"' for cost in COSTS)
    if key == "tune":
        return "a table, below"
    return "a name, or a table, below" if annotation is Data else describe(annotation)


def _default(value: Any) -> str:
    """A default as a configuration would give it; "-" for none."""
    if value is REQUIRED:
        return "required"
    if value is None or isinstance(value, Data) or value in ("", {}):
        return "-"
    if isinstance(value, bool):
        return f"{value}".lower()
    return f'"{value}"' if isinstance(value, str | Choice) else f"{value}"


def _components(kind: str, registry: Registry[Any]) -> str:
    own = [
        name for name in registry.names() if registry[name].__module__.startswith("mpi_lowrank.")
    ]
    rows = (row for name in own for row in _options(name, registry[name].options))
    return _table((kind, "option", "allowed", "default"), rows)


def _options(name: str, options: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    if not options:
        yield f"`{name}`", "", "", ""
    for number, (option, its) in enumerate(options.items()):
        told = describe(its.annotation), _default(its.default)
        yield "" if number else f"`{name}`", f"`{option}`", *told


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [head, ("--",) * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


if __name__ == "__main__":
    print(reference(), end="")
