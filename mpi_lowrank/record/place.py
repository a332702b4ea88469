"""Where a run's record grows: under a name that no other run has.

Another machine cannot know whether a run is still writing. So a run takes a name only if no file
has it, and a record that has not finished is never replaced: its user moves or deletes it.
"""

import os
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from mpi_lowrank.errors import UserError
from mpi_lowrank.machine.output import complain
from mpi_lowrank.record.pieces import Pieces
from mpi_lowrank.record.reader import is_running
from mpi_lowrank.record.seal import seal

PATIENCE = 10.0  # seconds that a step which must succeed is tried again
UNFINISHED = "holds a run that goes on or was stopped; move the file away or delete it first"


class Place:
    """The file `live`, in which one run's record grows until it stands at `path`.

    `live` is `path` itself if there is no such file, or if its record is `going_on`; otherwise,
    with `overwrite`, it is `path`.partial. Raises UserError where no file can be written there.
    """

    def __init__(self, path: Path, overwrite: bool, going_on: bool = False):
        if "\0" in str(path):
            raise UserError(f"{path}: has a NUL in its name")
        self.path = Path(os.path.realpath(path))  # moving over a link would replace the link
        self._scratch = Path(f"{self.path}.flush-{secrets.token_hex(4)}")  # this run's alone
        try:
            self.live = self.path if going_on else self._find(overwrite)
        except OSError as error:
            raise UserError(f"{self.path}: cannot be written: {error.strerror}") from error
        self._failing = self._failing_beside = False
        self._pieces: Pieces | None = None

    def claim(self, image: bytes) -> None:
        """Take the name with the first image; UserError if another run has it."""
        try:
            self._move_in(image, _move_to_new)
            self._pieces = Pieces(self.live, image)
        except FileExistsError as error:
            raise UserError(f"{self.live}: {UNFINISHED}") from error
        except OSError as error:
            raise UserError(self._failure(error)) from error

    def attempt(self, image: bytes) -> OSError | None:
        """Replace the earlier image; if that fails leave it and return why."""
        return _caught(lambda: self._replace(image))

    def publish(self, image: bytes) -> bool:
        """Append a piece, or replace the earlier image where the pieces have become long.

        Returns whether it succeeded, and warns when that changes.
        """
        error = _caught(lambda: self._grow(image))
        if error is not None and not self._failing:
            complain("warning", f"{self._failure(error)}; the run goes on and tries again")
        if error is None and self._failing:
            complain("warning", f"{self.live}: is written again; nothing is lost")
        self._failing = error is not None
        return not self._failing

    def insist(self, image: bytes) -> None:
        """Attempt it for PATIENCE seconds. Raises the last OSError if all attempts fail."""
        _patiently(lambda: self.attempt(image))

    def finish(self) -> None:
        """Move the record to `path`, over a finished one. Raises UserError if that fails."""
        if self.live == self.path:
            return
        if is_running(self.path):
            raise UserError(f"{self.path}: {UNFINISHED}; this run's record is {self.live}")
        try:
            _patiently(lambda: _caught(lambda: os.replace(self.live, self.path)))
        except OSError as error:
            reason = f"cannot be replaced: {error.strerror}; this run's record is {self.live}"
            raise UserError(f"{self.path}: {reason}") from error
        self.live = self.path

    def _find(self, overwrite: bool) -> Path:
        path, folder = self.path, self.path.parent
        if not folder.is_dir():
            raise UserError(f"{path}: there is no folder {folder}; make it first")
        longest = os.pathconf(folder, "PC_NAME_MAX") - len(self._scratch.name) + len(path.name)
        if len(os.fsencode(path.name)) > longest:
            raise UserError(f"{path}: its name is too long; {longest} bytes are possible")
        if path.is_dir():
            raise UserError(f"{path}: is a folder; name a file in it")
        if not path.exists():
            return path
        if not path.is_file():
            raise UserError(f"{path}: is a device or a pipe; name a file")
        if not overwrite:
            raise UserError(f"{path}: exists; give another name, or --overwrite to replace it")
        if is_running(path):
            raise UserError(f"{path}: {UNFINISHED}")
        return Path(f"{path}.partial")

    def set_beside(self, path: Path, image: bytes) -> None:
        """Replace another file of this run; if that fails leave it and warn once."""
        error = _caught(lambda: self._move_in(image, os.replace, path))
        if error is not None and not self._failing_beside:
            told = f"{path}: cannot be written: {error.strerror}"
            complain("warning", f"{told}; killed now, the case starts over")
        self._failing_beside = error is not None

    def _grow(self, image: bytes) -> None:
        if self._pieces is None or not self._pieces.append(image):
            self._replace(image)

    def _replace(self, image: bytes) -> None:
        self._move_in(image, os.replace)
        self._pieces = Pieces(self.live, image)

    def _move_in(
        self, image: bytes, move: Callable[[Path, Path], None], path: Path | None = None
    ) -> None:
        try:
            self._scratch.unlink(missing_ok=True)
            with self._scratch.open("xb") as file:  # x: no link that others laid is followed
                file.writelines((image, seal(image)))
            move(self._scratch, path or self.live)
        except OSError:
            with suppress(OSError):  # of a file system that is read-only now
                self._scratch.unlink(missing_ok=True)
            raise

    def _failure(self, error: OSError) -> str:
        return f"{self.live}: cannot be written: {error.strerror}"


def make_folder(folder: Path) -> None:
    """Make `folder` unless it is there. Raises UserError where it cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be made a folder: {error.strerror}") from error


def _move_to_new(scratch: Path, path: Path) -> None:
    """Give the file the name `path`; FileExistsError for all but one of those who try at once."""
    try:
        os.link(scratch, path)
        scratch.unlink()
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        os.replace(scratch, path)


def _caught(step: Callable[[], None]) -> OSError | None:
    try:
        step()
    except OSError as error:
        return error
    return None


def _patiently(step: Callable[[], OSError | None]) -> None:
    deadline = time.monotonic() + PATIENCE
    while (error := step()) is not None:
        if time.monotonic() >= deadline:
            raise error
        time.sleep(0.2)
