"""Every command and block that the pages and --help show is run, shrunken where it is long."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pages
import pytest
from entries import COMMANDS, FEWER, MUSHROOMS, By, Like, Run


class Project:
    """A folder in which the commands can be typed as in a clone of one's own; each runs once."""

    def __init__(self, folder: Path):
        self.folder, self._done = folder, set()
        for name in ("Makefile", "bench", "pyproject.toml", "setup.cfg"):
            (folder / name).symlink_to(pages.ROOT / name)
        (folder / ".venv").symlink_to(sys.prefix)
        (folder / "results").mkdir()
        (folder / "mine.toml").write_text(pages.blocks("README.md", "toml")[0])
        # `make test` hands its own variables down to every make below it.
        made = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
        self.environment = made | {"PATH": f"{Path(sys.executable).parent}:{made['PATH']}"}

    def call(self, line: str) -> str:
        """What the command line prints; AssertionError with its errors if it fails."""
        line = re.sub(r"-n \d+", "-n 2", line)
        options = {"cwd": self.folder, "env": self.environment, "stdin": subprocess.DEVNULL}
        done = subprocess.run(
            ["bash", "-c", line], capture_output=True, text=True, timeout=110, **options
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def run(self, command: str) -> None:
        """Run the command, and before it the one whose record it reads."""
        entry = COMMANDS[command]
        if command not in self._done:
            if entry.after:
                self.run(entry.after)
            self.call(f"{command} {entry.more}")
            self._done.add(command)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return Project(tmp_path_factory.mktemp("project"))


def of(kind):
    return [command for command, entry in COMMANDS.items() if isinstance(entry, kind)]


def test_every_command_has_an_entry_and_every_entry_a_command():
    told = pages.commands()
    assert {command: place for command, place in told.items() if command not in COMMANDS} == {}
    assert [command for command in COMMANDS if command not in told] == []


@pytest.mark.parametrize("command", of(Run))
def test_command_runs(project, command):
    project.run(command)


@pytest.mark.parametrize("command", of(By))
def test_command_is_run_by(command):
    entry = COMMANDS[command]
    assert entry.words in (pages.ROOT / entry.path).read_text()


@pytest.mark.parametrize("command", of(Like))
def test_command_differs_from_one_that_runs_in_its_record_alone(command):
    other = COMMANDS[command].command
    assert isinstance(COMMANDS[other], Run)
    first, second = (re.sub(r"results/[\w-]+\.h5", "RECORD", one) for one in (command, other))
    assert first == second


def test_demo_runs(project):
    stamps = [path.name for path in Path(sys.prefix).glob("ready-*[!t]")]
    stamp = stamps[0] if stamps else "ready-mpich"
    dry = f"make --dry-run demo MPI={stamp.removeprefix('ready-')} -o .venv/{stamp}"
    told = [
        project.call(f"{line} {FEWER}" if " run " in line else line)
        for line in re.sub(r"\\\n\s*", "", project.call(dry)).splitlines()
    ]
    table = "".join(told)
    assert "medians over 2 starts" in table and "EF21 + sdd" in table and " 0/2 " in table
    for ending in ("png", "pdf"):
        assert (project.folder / "results" / f"mushrooms_median.{ending}").is_file()


@pytest.mark.parametrize("page", ["README.md", "mpi_lowrank/record/README.md"])
def test_a_record_is_read_as_the_page_says(project, page):
    project.run(MUSHROOMS)
    block = next(b for b in pages.blocks(page, "python") if "Record(" in b)
    (project.folder / "block.py").write_text(block)
    project.call("python block.py")
