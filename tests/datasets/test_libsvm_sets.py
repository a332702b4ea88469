import bz2
import hashlib
import os
import socket
import sys
import termios
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mpi_lowrank.datasets import datasets, fetch, load
from mpi_lowrank.datasets.libsvm_sets import VARIABLE, LibsvmSet
from mpi_lowrank.errors import UserError

TEXT = b"-1 1:1 3:1\n+1 2:1\n"


class Site(ThreadingHTTPServer):
    """On loopback: sends `body`, after as many errors of the server as `failures` says.

    With `promised`, it announces so many bytes and breaks off after the body.
    """

    def __init__(self, body):
        super().__init__(("127.0.0.1", 0), Answer)
        self.body, self.failures, self.promised, self.paths = body, 0, None, []

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}/"


class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.paths.append(self.path)
        failing = self.server.failures >= len(self.server.paths)
        self.send_response(503 if failing else 200)
        length = self.server.promised or len(self.server.body)
        self.send_header("Content-Length", str(0 if failing else length))
        self.end_headers()
        if not failing:
            self.wfile.write(self.server.body)

    def log_message(self, *_):
        pass


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")  # the machine may name a proxy for all else
    return tmp_path / "cache"


@pytest.fixture
def site(cache):
    with Site(bz2.compress(TEXT)) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def tiny(site):
    """A set at the site, compressed, of four features of which the last is in no row."""

    class Tiny(LibsvmSet):
        name, file, rows, features = "tiny", "tiny.bz2", 2, 4
        sha256 = hashlib.sha256(TEXT).hexdigest()

    Tiny.site = site.address
    return Tiny()


def test_a_fetched_set_is_verified_cached_and_loaded(tiny, site, cache):
    assert tiny.where() == "not fetched"
    assert tiny.fetch() == cache / "tiny.bz2"
    assert tiny.where() == "cached" and site.paths == ["/tiny.bz2"]
    dataset = tiny.load()
    assert dataset.features.shape == (2, 4) and dataset.labels.tolist() == [-1, 1]
    assert (dataset.name, dataset.sha256) == ("tiny", tiny.sha256)


def test_a_cached_set_is_not_fetched_again(tiny, site, cache):
    first = tiny.fetch()
    assert tiny.fetch() == first and len(site.paths) == 1


def test_progress_is_shown_on_a_terminal_only(tiny, cache, monkeypatch, capfd):
    tiny.fetch().unlink()
    assert capfd.readouterr() == ("", "")
    ours, terminal = os.openpty()
    termios.tcsetwinsize(terminal, (24, 80))
    with open(ours, "rb"), open(terminal, "w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        tiny.fetch()
        assert b"100%" in os.read(ours, 10_000)


def test_a_cache_may_be_read_by_others_and_holds_nothing_else(tiny, cache):
    assert tiny.fetch().stat().st_mode & 0o777 == 0o644
    assert [path.name for path in cache.iterdir()] == ["tiny.bz2"]


@pytest.mark.parametrize("name", ["tiny", "tiny.bz2"])
def test_a_file_put_into_the_cache_by_hand_is_taken_plain_or_compressed(tiny, site, cache, name):
    cache.mkdir()
    (cache / name).write_bytes(site.body if name.endswith(".bz2") else TEXT)
    assert tiny.fetch() == cache / name and tiny.load().features.nnz == 3
    assert site.paths == []


@pytest.mark.parametrize(
    "body", [bz2.compress(TEXT + b"+1 1:1\n"), b"<html>log in</html>"], ids=["other text", "a page"]
)
def test_another_file_at_the_site_is_named_and_leaves_nothing_behind(tiny, site, cache, body):
    site.body = body
    with pytest.raises(UserError, match=r"^http://127.0.0.1:\d+/tiny.bz2: (is not|cannot be read)"):
        tiny.fetch()
    assert list(cache.iterdir()) == []


def test_a_damaged_cached_file_is_refused_and_kept(tiny, cache):
    path = tiny.fetch()
    path.write_bytes(bz2.compress(TEXT[:-1]))
    for use in (tiny.load, tiny.fetch):
        with pytest.raises(UserError, match=f"^{path}: is not tiny, .* after removing that file$"):
            use()
    assert path.exists()


def test_a_set_that_was_not_fetched_says_how_to(tiny, cache):
    with pytest.raises(UserError) as caught:
        tiny.load()
    for words in (str(cache), "mpi-lowrank data fetch tiny", VARIABLE):
        assert words in str(caught.value)


def test_a_failed_download_is_tried_again(tiny, site, cache):
    site.failures = 1
    assert tiny.fetch() == cache / "tiny.bz2"
    assert len(site.paths) == 2


def test_after_the_last_trial_the_error_says_what_to_do(tiny, site, cache):
    tiny.retries = 1
    site.failures = 1 + tiny.retries
    with pytest.raises(UserError) as caught:
        tiny.fetch()
    for words in (site.address + "tiny.bz2", "HTTP 503", str(cache), VARIABLE):
        assert words in str(caught.value)
    assert "\n" not in str(caught.value) and list(cache.iterdir()) == []


def test_without_a_network_the_error_says_what_to_do(tiny, cache):
    tiny.site, tiny.retries = "http://127.0.0.1:9/", 0
    with pytest.raises(UserError) as caught:
        tiny.fetch()
    for words in ("http://127.0.0.1:9/tiny.bz2", "ConnectionError", str(cache), VARIABLE):
        assert words in str(caught.value)


@pytest.fixture
def silent():
    """A port on loopback that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_site_that_does_not_answer_is_given_up_in_time(tiny, cache, silent):
    tiny.site, tiny.retries, tiny.timeout = f"http://127.0.0.1:{silent}/", 0, 0.2
    start = time.monotonic()
    with pytest.raises(UserError, match="ReadTimeout"):
        tiny.fetch()
    assert time.monotonic() - start < 5 and list(cache.iterdir()) == []


def test_a_download_that_breaks_off_leaves_nothing_behind(tiny, site, cache):
    site.promised, tiny.retries = 1000, 0
    with pytest.raises(UserError, match="cannot be downloaded into"):
        tiny.fetch()
    assert list(cache.iterdir()) == []


def test_a_cache_that_cannot_be_written_is_named(tiny, cache):
    cache.write_text("a file, not a folder")
    with pytest.raises(UserError, match=f"cannot be downloaded into {cache} .File exists"):
        tiny.fetch()


def test_every_known_set_says_what_it_is():
    for name in datasets.names():
        source = datasets[name]
        assert source.rows > source.features > 0 and source.licence
        assert len(bytes.fromhex(source.sha256)) == 32


@pytest.mark.parametrize("use", [load, fetch])
def test_an_unknown_set_is_refused_with_the_known_ones(use):
    with pytest.raises(UserError, match=r"'nothing'.*allowed is .*a9a, .*mushrooms"):
        use("nothing")
