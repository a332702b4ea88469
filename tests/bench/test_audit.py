"""bench/audit on two hosts: the ledger's model against the kernel's own counters."""

from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "bench" / "audit"

LABELS = ["EF21 topk", "EF21 topk, server", "EF21 powersgd"]
"""A case for each kind of call that rounds make: Allgatherv; Gatherv and Bcast; Allreduce."""


@pytest.fixture
def audit(monkeypatch):
    """The script as a module; skips where it cannot run."""
    monkeypatch.syspath_prepend(FOLDER)
    import audit

    if reason := audit.unavailable():
        pytest.skip(reason)
    yield audit
    assert not [name for name in namespaces() if name.startswith(audit.network.PREFIX)]


def namespaces() -> list[str]:
    folder = Path("/run/netns")
    return [path.name for path in folder.iterdir()] if folder.is_dir() else []


# By signal, so that the namespaces are taken down after a timeout too.
@pytest.mark.timeout(100, method="signal")
@pytest.mark.parametrize(("rate", "limit"), [(None, 1.02), ("100mbit", 1.07)])
def test_links_carry_what_the_ledger_models(audit, rate, limit, capfd):
    rows = list(audit.audit(2, rate, LABELS, ["rounds=20"]))
    with capfd.disabled():
        print("", *rows, sep="\n")
    assert [row.case for row in rows] == LABELS
    assert all(1 <= row.ratio <= limit for row in rows), "\n".join(map(str, rows))


@pytest.mark.timeout(100, method="signal")
def test_the_program_prints_a_row_a_case_and_succeeds(audit, monkeypatch, capfd):
    """The README's command, with one case."""
    (case, text), *_ = audit.configurations().items()
    monkeypatch.setattr(audit, "configurations", lambda: {case: text})
    monkeypatch.setattr("sys.argv", ["audit.py", "--hosts", "2", "--rates", "none"])
    assert audit.main() == 0
    row = capfd.readouterr().out.splitlines()[-1]
    assert row.startswith(case) and row.split()[-7:-5] == ["2", "none"]
