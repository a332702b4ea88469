"""What the parsers of several commands have in common."""

import argparse
import re
from pathlib import Path
from typing import NoReturn

from mpi_lowrank.errors import hint

CHOICE = re.compile(r"invalid choice: '(.*?)' \(choose from (.*)\)")
"""argparse's words, around what was given and what is allowed."""


class Parser(argparse.ArgumentParser):
    """Tells of a mistyped command or option which one was probably meant."""

    def parse_known_args(self, args=None, namespace=None):
        """Argparse's, but an unknown option is an error of the command that it was given to."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            options = [name.partition("=")[0] for name in unknown if name.startswith("-")]
            meant = hint(self._option_string_actions, options[0]) if options else ""
            self.error(f"unrecognized arguments: {' '.join(unknown)}{meant}")
        return found, unknown

    def error(self, message: str) -> NoReturn:
        choice = CHOICE.search(message)
        allowed = re.findall(r"[\w-]+", choice[2]) if choice else []
        super().error(message + (hint(allowed, choice[1]) if choice else ""))


def add_command(commands, name: str, function, text: str, **more) -> argparse.ArgumentParser:
    """The parser of a command that `function` carries out; `more` is argparse's."""
    more.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
    parser = commands.add_parser(name, help=text, description=text, **more)
    parser.set_defaults(command=function)
    return parser


def add_commands(commands, name: str, text: str, epilog: str, kind: str, **more):
    """The commands of a command, to which they are added; `kind`: what stands for one in --help.

    `more` is argparse's.
    """
    formats = {"formatter_class": argparse.RawDescriptionHelpFormatter, "epilog": epilog}
    parser = commands.add_parser(name, help=text, description=text, **formats)
    return parser.add_subparsers(required=True, metavar=kind, **more)


def add_out(parser: argparse.ArgumentParser, kind: str, told: str, required=False) -> None:
    """Where results go, in all commands under both names; `kind`: what stands for it in --help."""
    parser.add_argument("-o", "--out", type=Path, metavar=kind, help=told, required=required)


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
