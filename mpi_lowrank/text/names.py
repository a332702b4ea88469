"""Names that a terminal, a file system and an HDF5 file can bear."""

import re
from collections import Counter
from collections.abc import Iterator

TITLES = {
    "topk": "Top-{k}",
    "randk": "Rand-{k}",
    "shared_randk": "shared Rand-{k}",
    "permk": "Perm-K",
    "svd": "rank-{rank} SVD",
    "rsvd": "rank-{rank} randomized SVD",
    "pivoted_qr": "rank-{rank} pivoted QR",
    "powersgd": "rank-{rank} PowerSGD",
    "eigen": "rank-{rank} eigen",
    "sdd": "rank-{rank} sdd",
    "symmetric_sdd": "rank-{rank} symmetric sdd",
    "qsgd": "QSGD",
    "shared_qsgd": "shared QSGD",
    "scaled_sign": "scaled sign",
}
"""What papers call compressors; others have their own names. A rank that is not given is 1."""


def title(method: str, compressor: str = "", step: str = "") -> str:
    """A method as a paper has it: "EF21 + Top-2, natural"; without what sends vectors whole.

    Each as it is written in one line: EF21(g0=dense), svd(rank=2,shape=7x16)+natural, muon.
    """
    sent = ", ".join(map(_stage_title, _split(compressor, "+")))
    called = method if sent in ("", "identity") else f"{method} + {sent}"
    return f"{called}, {step}" if step else called


def _stage_title(stage: str) -> str:
    """Top-2 (wire=float64) for topk(k=2,wire=float64)."""
    name, _, given = stage.removesuffix(")").partition("(")
    if name not in TITLES:
        return stage
    options = dict(pair.split("=", 1) for pair in _split(given, ",") if "=" in pair)
    told = re.findall(r"{(\w+)}", TITLES[name])
    if not set(told) <= {"rank", *options}:
        return stage
    called = TITLES[name].format(**{"rank": "1"} | options)
    rest = ",".join(f"{key}={value}" for key, value in options.items() if key not in told)
    return f"{called} ({rest})" if rest else called


def _split(text: str, by: str) -> Iterator[str]:
    """The parts of the text between what separates them outside of parentheses."""
    depth, begun = 0, 0
    for at, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if letter == by and depth == 0:
            yield text[begun:at]
            begun = at + 1
    yield text[begun:]


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
