"""What the parsers of several commands have in common."""

import argparse
from pathlib import Path


def add_command(commands, name: str, function, text: str, **more) -> argparse.ArgumentParser:
    """The parser of a command that `function` carries out; `more` is argparse's."""
    more.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
    parser = commands.add_parser(name, help=text, description=text, **more)
    parser.set_defaults(command=function)
    return parser


def add_out(parser: argparse.ArgumentParser, kind: str, told: str, required=False) -> None:
    """Where results go, in all commands under both names; `kind`: what stands for it in --help."""
    parser.add_argument("-o", "--out", type=Path, metavar=kind, help=told, required=required)


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
