import bz2
import functools
import hashlib
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mpi_lowrank.datasets import catalogue as module
from mpi_lowrank.datasets import fetch, load
from mpi_lowrank.errors import UserError

TEXT = b"-1 1:1 3:1\n+1 2:1\n"


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A server on loopback with one known set, compressed, and an empty cache."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "tiny.bz2").write_bytes(bz2.compress(TEXT))
    checksum = hashlib.sha256(TEXT).hexdigest()
    monkeypatch.setitem(module.KNOWN, "tiny", module.Known("tiny.bz2", 2, 3, checksum, "made here"))
    monkeypatch.setenv(module.VARIABLE, str(tmp_path / "cache"))
    handler = functools.partial(SimpleHTTPRequestHandler, directory=tmp_path / "site")
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_fetched_set_is_verified_cached_and_loaded(site, tmp_path):
    with pytest.raises(UserError, match="mpi-lowrank data fetch tiny"):
        load("tiny")
    path = fetch("tiny", site)
    assert path == tmp_path / "cache" / "tiny.bz2"
    dataset = load("tiny")
    assert dataset.features.shape == (2, 3) and dataset.labels.tolist() == [-1, 1]
    (tmp_path / "site" / "tiny.bz2").unlink()
    assert fetch("tiny", site) == path
    assert [row["where"] for row in module.listing() if row["name"] == "tiny"] == ["cached"]


def test_a_wrong_checksum_leaves_no_file(site, tmp_path):
    (tmp_path / "site" / "tiny.bz2").write_bytes(bz2.compress(TEXT + b"+1 1:1\n"))
    with pytest.raises(UserError, match=r"expected [0-9a-f]{64}"):
        fetch("tiny", site)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_damaged_cached_file_is_refused(site, tmp_path):
    path = fetch("tiny", site)
    path.write_bytes(bz2.compress(TEXT[:-1]))
    with pytest.raises(UserError, match="sha256 of its text"):
        load("tiny")


def test_without_internet_the_error_says_what_to_do(site, tmp_path):
    with pytest.raises(UserError) as caught:
        fetch("tiny", "http://127.0.0.1:9/")
    for word in ("http://127.0.0.1:9/tiny.bz2", str(tmp_path / "cache"), module.VARIABLE):
        assert word in str(caught.value)


def test_an_unknown_set_is_refused_with_the_known_ones():
    with pytest.raises(UserError, match="'nothing': not known; allowed is mushrooms"):
        load("nothing")


def test_check_tells_what_a_file_holds(tmp_path):
    path = tmp_path / "some"
    path.write_bytes(TEXT)
    found = module.check(path)
    assert (found["rows"], found["features"], found["nonzeros"]) == (2, 3, 3)
    assert found["classes"] == {"-1": 1, "1": 1} and found["known as"] is None
