"""bench/audit on two hosts: the ledger's model against the kernel's own counters."""

from pathlib import Path

import numpy as np
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


@pytest.mark.timeout(100, method="signal")
def test_rounds_on_links_stand_beside_what_is_predicted_and_throttled(
    audit, monkeypatch, capfd, tmp_path
):
    import predicted

    figure = tmp_path / "predicted.png"
    few = ["--hosts", "2", "--rates", "100mbit", "--set", "rounds=2", "--plot", str(figure)]
    monkeypatch.setattr("sys.argv", ["predicted.py", *few])
    assert predicted.main() in (0, 1)  # two rounds tell little
    rows = capfd.readouterr().out.splitlines()[2:-1]
    numbers = np.array([row.split()[-5:] for row in rows], float)
    assert len(rows) == 5 and np.all(numbers > 0) and figure.stat().st_size > 10_000
    # 256 KiB take 21 ms at 100 Mbit/s; of two rounds some passes at once.
    assert rows[0].startswith("GD float32") and np.all(numbers[0, :3] > 12)


@pytest.mark.timeout(100, method="signal")
def test_what_pays_is_told_in_seconds_to_the_target(audit, monkeypatch, capfd, tmp_path):
    import pays

    head, *cases = pays.CONFIG.read_text().replace("256", "16").split("[[cases]]")
    config = tmp_path / "pays.toml"  # GD, sdd and PowerSGD on a small matrix
    config.write_text("[[cases]]".join([head, cases[0], cases[3], cases[4]]))
    monkeypatch.setattr(pays, "CONFIG", config)
    few = ["--rate", "1gbit", "--set", "cases.1.rounds=5"]
    monkeypatch.setattr("sys.argv", ["pays.py", *few])
    assert pays.main() == 0
    dense, late, low_rank = (line.split() for line in capfd.readouterr().out.splitlines()[2:])
    assert dense[5::2] == ["1.00", "1.00"] and int(dense[3]) < 1000
    assert late[4:] == ["5", "-", "-", "-", "-"]
    ratio = float(dense[4]) / float(low_rank[5])
    np.testing.assert_allclose(float(low_rank[6]), ratio, rtol=0.1)  # of printed digits
