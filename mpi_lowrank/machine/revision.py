"""The commit of the source tree, without running what its repository brings along.

A repository's configuration names commands that git runs (`core.fsmonitor`, filters, hooks). So the
commit is read from the repository's files, and git is asked for changes only where all of these
belong to this user.
"""

import os
import re
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

COMMIT = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")

UNCHECKED = "+unchecked"

LARGEST = 2**25
"""Bytes of a file of a repository, such as its packed references, that are read."""


class _Repository(NamedTuple):
    tree: Path
    own: Path
    """Where HEAD is."""
    common: Path
    """Where branches and the configuration are; another folder in a linked worktree."""


def revision(tree: Path) -> str | None:
    """The commit that is checked out in `tree`; None if that is no repository's top folder.

    "+changes" follows where a tracked file differs, "+unchecked" where git was not asked, because
    the repository is not this user's alone, or did not answer.
    """
    repository = _repository(tree.resolve())
    commit = _commit(repository)
    return commit and commit + _changes(repository)


def _repository(tree: Path) -> _Repository:
    own = tree / ".git"
    _, linked, folder = _first_line(own).partition("gitdir: ")
    own = tree / folder if linked else own
    return _Repository(tree, own, own / _first_line(own / "commondir"))


def _commit(repository: _Repository) -> str | None:
    head = _first_line(repository.own / "HEAD")
    branch = head.removeprefix("ref: ")
    named = branch.startswith("refs/") and ".." not in branch
    found = [_first_line(repository.common / branch), *_packed(repository, branch)] if named else []
    return next((commit for commit in [head, *found] if COMMIT.fullmatch(commit)), None)


def _packed(repository: _Repository, branch: str) -> Iterator[str]:
    for line in _lines(repository.common / "packed-refs"):
        commit, _, name = line.partition(" ")
        if name == branch:
            yield commit


def _changes(repository: _Repository) -> str:
    if not _only_mine(repository):
        return UNCHECKED
    command = ["git", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "status"]
    command += ["--porcelain", "--untracked-files=no", "--ignore-submodules=dirty"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    environment |= {"GIT_CEILING_DIRECTORIES": str(repository.tree.parent)}
    environment |= {"GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(
            command,
            cwd=repository.tree,
            env=environment,
            capture_output=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return UNCHECKED
    return "+changes" if done.stdout.strip() else ""


def _only_mine(repository: _Repository) -> bool:
    tree, own, common = repository
    try:
        found = [path.stat() for path in (tree, tree / ".git", own, common, common / "config")]
    except OSError:
        return False
    return all(one.st_uid == os.geteuid() and not one.st_mode & stat.S_IWOTH for one in found)


def _first_line(path: Path) -> str:
    return next(iter(_lines(path)), "")


def _lines(path: Path) -> list[str]:
    """Of a regular file of sensible size; none of anything else, or if it cannot be read."""
    try:
        if not path.is_file() or path.stat().st_size > LARGEST:
            return []
        return path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []
