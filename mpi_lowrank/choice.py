"""A component chosen by name, with its options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


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


def spell(value: object) -> str:
    """A value as short text: 8x14 for a shape, 0.1 for a float."""
    if isinstance(value, tuple):
        return "x".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
