"""The command `completion`: what a shell needs to complete the others."""

import argparse
from functools import partial
from pathlib import Path

from mpi_lowrank.cli.parsing import add_command
from mpi_lowrank.machine import output

SHELLS = ("bash", "zsh", "tcsh")


def add_completion(commands, whole: argparse.ArgumentParser) -> None:
    """Add it to the `commands` of the `whole` parser."""
    text = "Print a script with which a shell completes commands, options and files."
    epilog = "example:\n  mpi-lowrank completion bash >> ~/.bashrc"
    parser = add_command(commands, "completion", partial(_print, whole), text, epilog=epilog)
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS))


def _print(whole: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    import shtab

    _mark_files(whole, shtab.FILE)
    output.say(shtab.complete(whole, options.shell))


def _mark_files(parser: argparse.ArgumentParser, mark: object) -> None:
    """Let shtab complete paths as files."""
    for action in parser._actions:
        if action.type is Path:
            action.complete = mark  # type: ignore[attr-defined]
        if isinstance(action, argparse._SubParsersAction):
            for one in action.choices.values():
                _mark_files(one, mark)
