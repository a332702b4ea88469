"""The revision in a record, of trees of one's own and of trees that somebody else laid there."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import mpi_lowrank
from mpi_lowrank.machine.revision import revision

PACKAGE = Path(mpi_lowrank.__file__).parent

SOMEBODY = 12345


def git(tree, *arguments):
    settings = ["init.defaultBranch=main", "user.name=me", "user.email=me@example.org"]
    command = ["git", *[word for setting in settings for word in ("-c", setting)], *arguments]
    done = subprocess.run(command, cwd=tree, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def tree(tmp_path):
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "code.py").write_text("x = 1\n")
    git(tree, "init", "-q")
    git(tree, "add", "code.py")
    git(tree, "commit", "-qm", "first")
    return tree


def laid(tree):
    """What it does if git runs the command that the tree's configuration names."""
    trap, sprung = tree.parent / "trap.sh", tree.parent / "sprung"
    trap.write_text(f"#!/bin/sh\ntouch {sprung}\n")
    trap.chmod(0o755)
    git(tree, "config", "core.fsmonitor", str(trap))
    return sprung


def test_a_commit_is_named_and_changes_to_tracked_files_are_marked(tree):
    commit = git(tree, "rev-parse", "HEAD")
    (tree / "new").write_text("untracked")
    assert revision(tree) == commit
    git(tree, "pack-refs", "--all")
    assert not (tree / ".git/refs/heads/main").exists() and revision(tree) == commit
    git(tree, "checkout", "-q", "--detach")
    assert revision(tree) == commit
    (tree / "code.py").write_text("x = 2\n")
    assert revision(tree) == commit + "+changes"


def test_a_linked_worktree_has_a_commit_of_its_own(tree, tmp_path):
    git(tree, "worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    git(tmp_path / "side", "commit", "-q", "--allow-empty", "-m", "second")
    assert revision(tmp_path / "side") == git(tmp_path / "side", "rev-parse", "HEAD")
    assert revision(tree) == git(tree, "rev-parse", "HEAD") != revision(tmp_path / "side")


def test_a_folder_inside_a_repository_has_no_revision(tree):
    (tree / "inner").mkdir()
    assert revision(tree / "inner") is None and revision(tree.parent) is None


def test_git_does_as_the_environment_says_only_for_other_trees(tree, tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "none"))
    assert revision(tree) == (tree / ".git/refs/heads/main").read_text().strip()


def test_a_repository_that_all_may_write_is_not_given_to_git(tree):
    sprung = laid(tree)
    (tree / ".git/config").chmod(0o666)
    assert revision(tree) == git(tree, "rev-parse", "HEAD") + "+unchecked"
    assert not sprung.exists()


@pytest.mark.parametrize("configured", [False, True])
def test_somebody_else_s_command_is_not_run_by_the_package_in_their_tree(tree, configured):
    if os.geteuid():
        pytest.skip("giving a tree to somebody else needs root")
    commit, sprung = git(tree, "rev-parse", "HEAD"), laid(tree)
    shutil.copytree(PACKAGE, tree / "mpi_lowrank", ignore=shutil.ignore_patterns("__pycache__"))
    for path in [tree, *tree.rglob("*")]:
        os.chown(path, SOMEBODY, SOMEBODY)
    told = "from mpi_lowrank.run.provenance import attributes; print(attributes()['git_revision'])"
    safe = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "safe.directory",
        "GIT_CONFIG_VALUE_0": "*",
    }
    environment = os.environ | {"PYTHONPATH": str(tree)} | (safe if configured else {})
    command = [sys.executable, "-c", told]
    printed = subprocess.run(
        command, cwd=tree.parent, env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert not sprung.exists()
    assert printed.strip() == commit + "+unchecked"


def test_files_that_are_not_what_they_should_be_make_no_revision(tree):
    for content in ["", "ref: refs/../../secret", "ref: refs/heads/gone", "\xff\xfe", "f" * 39]:
        (tree / ".git/HEAD").write_bytes(content.encode("latin-1"))
        assert revision(tree) is None
    (tree / ".git/HEAD").unlink()
    os.mkfifo(tree / ".git/HEAD")  # nobody would ever write into it
    assert revision(tree) is None
