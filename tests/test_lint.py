"""Who commits is checked by what `make lint` checks."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_hooks_of_pre_commit_are_the_commands_of_make_lint():
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.M)[1]
    commands = [line.strip().replace("$(VENV)", ".venv") for line in recipe.splitlines()]
    hooks = (ROOT / ".pre-commit-config.yaml").read_text()
    assert re.findall(r"entry: (.+)", hooks) == commands
