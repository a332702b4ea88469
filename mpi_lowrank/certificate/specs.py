"""Which specifications are certified when none is named."""

from mpi_lowrank.compressors import compressors


def default_specs() -> list[str]:
    """Every registered compressor with each of its `examples`, in the order of their names."""
    return [spec_of(name, example) for name in compressors.names() for example in examples_of(name)]


def examples_of(name: str) -> tuple[str, ...]:
    """What stands behind the name: options ("k=8"), or a composition ("k=8+natural")."""
    return compressors[name].examples


def spec_of(name: str, example: str) -> str:
    """The specification of a compressor and one of its examples."""
    return name + example if example.startswith("+") or not example else f"{name}:{example}"
