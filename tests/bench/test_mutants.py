"""bench/mutants.py: which mistakes it makes, and that a test's failure is what kills them."""

import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "bench"

SOURCE = '''
"""Not changed: the first line."""
LIMIT = 3


def chosen(x: list[int], few=True):
    """Nor is this."""
    total = 0
    for number in x:
        if not number > LIMIT:
            continue
        total += number
    if total == 0 and few:
        raise ValueError(f"nothing above {LIMIT + 1}")
    return divide(total, len(x))
'''

EXPECTED = {
    ("LIMIT = 3", "LIMIT = 4"),
    ("LIMIT = 3", "LIMIT = 2"),
    ("def chosen(x: list[int], few=True):", "def chosen(x: list[int], few=False):"),
    ("total = 0", "total = 1"),
    ("total = 0", "total = -1"),
    ("if not number > LIMIT:", "if number > LIMIT:"),
    ("if not number > LIMIT:", "if not not number > LIMIT:"),
    ("if not number > LIMIT:", "if not number >= LIMIT:"),
    ("continue", "pass"),
    ("total += number", "total -= number"),
    ("total += number", "pass"),
    ("if total == 0 and few:", "if total == 0 or few:"),
    ("if total == 0 and few:", "if total != 0 and few:"),
    ("if total == 0 and few:", "if total == 1 and few:"),
    ("if total == 0 and few:", "if total == -1 and few:"),
    ("if total == 0 and few:", "if not (total == 0 and few):"),
    ("raise ValueError(f'nothing above {LIMIT + 1}')", "pass"),
    ("return divide(total, len(x))", "return divide(len(x), total)"),
}


@pytest.fixture
def mutants(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    import mutants

    yield mutants
    del sys.modules["mutants"]


def test_operators_comparisons_constants_statements_conditions_and_arguments(mutants):
    made = list(mutants.mutants("some.py", SOURCE))
    assert {(mutant.before, mutant.after) for mutant in made} == EXPECTED
    texts = {mutants.text_of(mutant, SOURCE) for mutant in made}
    assert len(texts) == len(made)
    for text in texts:
        compile(text, "some.py", "exec")
    inside = mutants.mutants("some.py", SOURCE, only=["chosen"])
    assert {mutant.function for mutant in inside} == {"chosen"}


def test_every_module_has_tests_that_are_there_and_every_answer_a_statement(mutants):
    modules = mutants.modules()
    assert len(modules) > 30 and all(modules.values())
    for lines in modules.values():
        for line in lines:
            assert all((mutants.ROOT / path).exists() for path in line.split()[1:])
    everything = list(mutants.everything())
    for answer in mutants.answers():
        assert any(mutants.answers_to(answer, mutant) for mutant in everything), answer
