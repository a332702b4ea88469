"""Plug-ins as installed packages have them: a module beside its entry points."""

from pathlib import Path
from textwrap import dedent


def install(folder: Path, name: str, source: str, **components: str) -> None:
    """Write the module `name` and its entry points, such as problems="ridge = mine:Ridge"."""
    (folder / f"{name}.py").write_text(dedent(source))
    information = folder / f"{name}-1.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Name: {name}\nVersion: 1\n")
    groups = [f"[mpi_lowrank.{kind}]\n{entry}\n" for kind, entry in components.items()]
    (information / "entry_points.txt").write_text("".join(groups))
