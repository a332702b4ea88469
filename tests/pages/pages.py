"""What the pages, the benchmarks' docstrings and the epilogs of --help tell a reader to type."""

from __future__ import annotations

import argparse
import ast
import re
from pathlib import Path

from mpi_lowrank.cli.entry import make_parser

ROOT = Path(__file__).parents[2]

PAGES = (
    "README.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "bench/README.md",
    "bench/audit/README.md",
    "mpi_lowrank/config/README.md",
    "mpi_lowrank/datasets/README.md",
    "mpi_lowrank/record/README.md",
    "results/README.md",
    "slurm/README.md",
)

PROGRAMS = ("make", "mpirun", "srun", "sbatch", "mpi-lowrank", "python", "pip", "module", "ip")
"""The first words by which code within a sentence is known as a command."""

FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?<=\n\n)(?: {4}.*\n)+")
EXAMPLE = re.compile(r"(?<=^example:\n)(?: {2}.*\n)+", re.MULTILINE)
INLINE = re.compile(r"`([^`]+)`")


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of a page in this language."""
    return [text for name, text in FENCED.findall((ROOT / page).read_text()) if name == language]


def commands() -> dict[str, str]:
    """Every command, and a place where it stands."""
    found = {}
    for place, told in (*_pages(), *_docstrings(), *_epilogs()):
        for command in told:
            found.setdefault(command, place)
    return found


def _pages():
    for page in PAGES:
        text = FENCED.sub("\n", (ROOT / page).read_text())
        typed = [line for block in INDENTED.findall(text) for line in _lines(block)]
        typed += [
            line for language in ("", "sh") for b in blocks(page, language) for line in _lines(b)
        ]
        inline = (" ".join(code.split()) for code in INLINE.findall(INDENTED.sub("", text)))
        yield page, typed + [code for code in inline if _is_command(code)]


def _docstrings():
    for path in sorted((ROOT / "bench").rglob("*.py")):
        text = ast.get_docstring(ast.parse(path.read_text())) + "\n"
        yield str(path.relative_to(ROOT)), [x for b in INDENTED.findall(text) for x in _lines(b)]


def _epilogs():
    for parser in _with_subcommands(make_parser()):
        told = (parser.epilog or "") + "\n"
        yield f"{parser.prog} --help", _lines("".join(EXAMPLE.findall(told)))


def _with_subcommands(parser):
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for one in action.choices.values():
                yield from _with_subcommands(one)


def _lines(block: str) -> list[str]:
    """The commands of a block; two spaces begin what is said about one."""
    joined = re.sub(r" *\\\n *", " ", block).splitlines()
    return [re.split(r"\s{2,}", line.strip())[0] for line in joined]


def _is_command(code: str) -> bool:
    return Path(code.split()[0]).name in PROGRAMS
