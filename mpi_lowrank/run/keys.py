"""What a case's numbers depend on, and what differs between a record's case and today's."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields, is_dataclass
from typing import Any

from mpi_lowrank.collectives import collectives
from mpi_lowrank.compressors import compressors
from mpi_lowrank.config import Case
from mpi_lowrank.config.cases import COMPONENTS
from mpi_lowrank.errors import short
from mpi_lowrank.problems import problems
from mpi_lowrank.registry import Choice, Registry
from mpi_lowrank.run.assembly import data_name
from mpi_lowrank.run.components import dense_beside

Key = dict[str, Any]
"""What JSON can hold, by name."""


def key(case: Case, ranks: int, data_sha256: str | None, code: Mapping[str, str]) -> Key:
    """What the numbers of the case depend on, its label left out: all options, those at their
    defaults too, the text of its data, and the `code` that computes it.

    The number of ranks and the MPI library, `code`'s "MPI", are among it where sums are taken in
    MPI's own order, and `code`'s "kernels" where theirs are. The processor is not.
    """
    of_ranks = _depends_on_ranks(case)
    told = {spec.name: getattr(case, spec.name) for spec in fields(case) if spec.name != "label"}
    told |= {name: resolved(told[name], COMPONENTS[name]) for name in COMPONENTS}
    told["data"] = asdict(case.data) | {"name": data_name(case), "sha256": data_sha256}
    told["workers"] = case.workers or ranks
    told["ranks"] = ranks if of_ranks else None
    ignored = {"MPI": not of_ranks, "kernels": not _depends_on_kernels(case)}
    told["code"] = {name: what for name, what in code.items() if not ignored.get(name)}
    plain: Key = json.loads(json.dumps(told, default=_plain))
    return plain


def resolved(choice: Choice, registry: Registry[Any]) -> dict[str, Any]:
    """A component with all its options."""
    options = registry[choice.name].options
    filled = {name: o.default for name, o in options.items() if not o.required}
    told = {name: _plain(value) for name, value in (filled | dict(choice.options)).items()}
    then = {"then": resolved(choice.then, compressors)} if choice.then else {}
    return {"name": choice.name, **told, **then}


def differences(old: Key, new: Key) -> list[str]:
    """A text per difference: "rounds is 200, was 100"."""
    return list(_differences(old, new, ""))


def _differences(old: Any, new: Any, where: str) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in dict.fromkeys([*new, *old]):
            yield from _differences(old.get(name), new.get(name), f"{where}.{name}".lstrip("."))
    elif old != new:
        yield f"{where} is {_told(new)}, was {_told(old)}"


def _told(value: Any) -> str:
    return "nothing" if value is None else short(str(value))


def _plain(value: Any) -> Any:
    if isinstance(value, Choice):
        return resolved(value, compressors)
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return value


def _depends_on_ranks(case: Case) -> bool:
    """Whether an Allreduce in MPI's own order influences the trajectory."""
    kinds = [
        compressors[choice.name] for choice in (case.compressor, dense_beside(case.compressor))
    ]
    return any(kind.shared for kind in kinds) and not collectives[case.reduction].ordered


def _depends_on_kernels(case: Case) -> bool:
    """Whether kernels take its compressor's or its problem's sums, each in an order of its own."""
    kinds = compressors[case.compressor.name], problems[case.problem.name]
    return any(kind.summed_by_kernels for kind in kinds)
