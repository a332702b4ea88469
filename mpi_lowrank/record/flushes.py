"""When a record that grows in memory is written, and what is left out where there is no room."""

import errno
import time

import h5py

from mpi_lowrank.errors import UserError
from mpi_lowrank.record.image import along_rounds, copy_attributes, image, in_memory
from mpi_lowrank.record.place import Place

INTERVAL = 2.0  # the least seconds between two flushes
SHARE = 0.05  # of the time, which flushes may take: a large record is written less often
HEAD_START = 1.0  # seconds that flushes may take besides: short cases of a small record need them
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Flushes:
    """Writes the file in memory to its place on the disk, not too often."""

    def __init__(self, file: h5py.File, place: Place):
        self._file, self._place = file, place
        self._opened, self._due, self._spent = time.monotonic(), 0.0, 0.0

    def due(self) -> bool:
        """Whether a flush is due: the interval is over, and flushes have not taken too long."""
        now = time.monotonic()
        return self._due <= now and self._spent <= HEAD_START + SHARE * (now - self._opened)

    def hurry(self) -> None:
        """Make the next flush due before the interval is over."""
        self._due = 0.0

    def publish(self) -> bool:
        """Write what the file has become; return whether that succeeded."""
        began = time.monotonic()
        published = self._place.publish(image(self._file))
        self._due = began + INTERVAL
        self._spent += time.monotonic() - began
        return published

    def insist(self) -> None:
        """Write the file whole, trying for a while. UserError says what was written."""
        try:
            self._place.insist(image(self._file))
        except OSError as error:
            kept = "the file ends with its last flush"
            if error.errno in FULL and self._place.attempt(_without_ledgers(self._file)) is None:
                kept = "the file has all but the ledgers"
            reason = f"cannot be written: {error.strerror}; {kept}"
            raise UserError(f"{self._place.live}: {reason}") from error


def _without_ledgers(file: h5py.File) -> bytes:
    """The file's image without ledgers: they are its largest part, and no report needs them."""
    with in_memory() as copy:
        copy_attributes(file, copy)
        cases = copy.create_group("cases", track_order=True)
        for name, case in file["cases"].items():
            target = cases.create_group(name, track_order=True)
            copy_attributes(case, target)
            for child in case.keys() - {"ledger"}:
                file.copy(case[child], target)
            along_rounds(target["rounds"])
        return image(copy)
