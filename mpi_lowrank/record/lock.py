"""Whether the run that writes a record is still there: a lock that ends with its process."""

import fcntl
import os
from pathlib import Path
from types import TracebackType

from mpi_lowrank.errors import UserError


class Lock:
    """NAME.lock beside a record, held by one process until it ends, in whatever way.

    Raises UserError where another process holds it. `held` is False where the file system has no
    locks, or no room for the file: then nobody knows whether a run is still writing.
    """

    def __init__(self, record: Path):
        self._path = Path(f"{os.path.realpath(record)}.lock")
        self._file: int | None = None
        try:
            while self._file is None:
                self._file = self._locked(record)
        except (OSError, ValueError):  # what is wrong with the name is told where it is used
            return

    @property
    def held(self) -> bool:
        return self._file is not None

    def release(self) -> None:
        if self._file is not None:
            self._path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = None

    def __enter__(self) -> "Lock":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def _locked(self, record: Path) -> int | None:
        """The locked file; None if its name has meanwhile become another file's."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        file = os.open(self._path, flags, 0o666)
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(file), self._path.stat()):
                return file
        except FileNotFoundError:
            pass
        except (BlockingIOError, PermissionError) as error:
            os.close(file)
            told = f"{record}: is being written by a run that goes on ({self._path.name} is locked)"
            raise UserError(f"{told}; wait for it, or give another name") from error
        except OSError:
            os.close(file)
            raise
        os.close(file)
        return None
