"""Names that a terminal, a file system and an HDF5 file can bear."""

from collections import Counter


def printable(text: str) -> str:
    """`text` with what a terminal obeys or cannot show as escapes: an escape as \\x1b.

    These are control characters, line ends among them, marks that turn the writing, and what is
    left of bytes that are no UTF-8.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def group_name(label: str) -> str:
    """The name of a case's HDF5 group, whose path a / would split."""
    return printable(label).replace("/", "∕")


def naming_problem(name: str, labels: list[str]) -> tuple[str, str, str] | None:
    """The key, its value and what is allowed, where an experiment's names cannot be a record's."""
    if not _plain(name) or "/" in name:
        return "name", name, "a file's name without its folder: the record is results/NAME.h5"
    for label, times in Counter(labels).items():
        if not _plain(label):
            return "cases.label", label, "a name of printable characters"
        if times > 1:
            return "cases", label, "cases that differ: two are the same"
    return _collision(labels)


def _plain(name: str) -> bool:
    return name.isprintable() and name not in ("", ".", "..")


def _collision(labels: list[str]) -> tuple[str, str, str] | None:
    labelled = Counter(group_name(label) for label in labels)
    for label in labels:
        if labelled[group_name(label)] > 1:
            return "cases.label", label, "labels that differ in more than / and ∕"
    return None
