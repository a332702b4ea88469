"""The one kind of error that a user can mend."""

from collections.abc import Iterable
from difflib import get_close_matches

from mpi_lowrank.text.names import printable
from mpi_lowrank.text.spelling import spell

LONGEST = 950
"""Characters of an error's text, 1000 with its line's start: a longer one loses its middle."""


class UserError(Exception):
    """A mistake in a configuration, a file, an option or a launch.

    Its text is one line that names what is wrong, where, and what was expected. The command line
    prints it once as `mpi-lowrank: error: ...` and ends with a non-zero status on every rank.
    """

    def __str__(self) -> str:
        return short(printable(super().__str__()), LONGEST)


class OptionError(UserError):
    """A key or an option whose value is not allowed, or missing (None).

    Code that knows the file and the component adds them.
    """

    def __init__(self, option: str, value: object, allowed: str):
        said = "is missing: expected" if value is None else f"= {short(spell(value))}: allowed is"
        super().__init__(f"{short(option)} {said} {allowed}")
        self.option, self.value, self.allowed = option, value, allowed


def short(text: str, longest: int = 100) -> str:
    """The text, or of a longer one its beginning and, twice as much, its end."""
    if len(text) <= longest:
        return text
    head = longest // 3
    return f"{text[:head]} ... {text[head + 5 - longest :]}"


def one_of(names: Iterable[str], given: object) -> str:
    """The names that are allowed, and which of them was probably meant."""
    names = list(names)
    return ", ".join(names) + hint(names, given)


def hint(names: Iterable[str], given: object) -> str:
    """ "; did you mean topk?" of the name that is nearest to what was given, else nothing."""
    if not isinstance(given, str):
        return ""
    lowered = {name.lower(): name for name in names}
    nearest = get_close_matches(given[:100].lower(), lowered, n=1)
    return f"; did you mean {lowered[nearest[0]]}?" if nearest else ""


def in_one_line(error: BaseException) -> str:
    """Any exception as a user reads it: its type, unless it is a UserError, and what it says."""
    told = short(" ".join(str(error).split()), 500)
    if isinstance(error, UserError):
        return told
    return f"{type(error).__name__}: {told}" if told else type(error).__name__
