"""A component chosen by name, with its options."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Choice:
    """A component by name, with its options: "topk(k=2)"."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        if not self.options:
            return self.name
        return f"{self.name}({','.join(f'{k}={spell(v)}' for k, v in self.options.items())})"

    def __hash__(self) -> int:
        return hash((self.name, tuple(self.options.items())))

    def arguments(self) -> dict[str, Any]:
        """The options as keyword arguments: Python's keywords carry a trailing underscore."""
        return {"lambda_" if o == "lambda" else o: value for o, value in self.options.items()}


def spell(value: object) -> str:
    """A value as short text: 8x14 for a shape, 0.1 for a float."""
    if isinstance(value, tuple):
        return "x".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
