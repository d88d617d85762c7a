"""Downloads from a server on this machine that behaves well and badly."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mdmf_jax.data.protocols.download import download
from mdmf_jax.errors import DataError
from mdmf_jax.web import check_address

CONTENT = b"a run/r1\n" * 100


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        getattr(self, self.path.strip("/").split("/")[0])()

    def log_message(self, *_):
        pass

    def send(self, content, length=None):
        self.send_response(200)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        self.end_headers()
        self.wfile.write(content)

    def good(self):
        self.send(CONTENT)

    def changed(self):
        self.send(CONTENT.replace(b"r1", b"r2", 1))

    def large(self):
        self.send(CONTENT * 1000)

    def short(self):
        self.send(CONTENT[:-1])

    def broken(self):
        self.send(CONTENT[:500], len(CONTENT))

    def endless(self):
        self.send_response(200)
        self.end_headers()
        try:
            while True:
                self.wfile.write(CONTENT)
        except OSError:
            self.close_connection = True

    def slow(self):
        self.server.free.wait(10)

    def drop(self):
        self.close_connection = True

    def nonsense(self):
        self.wfile.write(b"\x00\xff\r\n\r\n")
        self.close_connection = True

    def moved(self):
        self.redirect("/good")

    def to_file(self):
        self.redirect("file:///etc/passwd")

    def to_ftp(self):
        self.redirect("ftp://127.0.0.1/x")

    def to_plain(self):
        self.redirect("http://example.org/good")

    def circle(self):
        self.redirect("/circle")

    def nowhere(self):
        self.redirect("")

    def redirect(self, target):
        self.send_response(302)
        self.send_header("Location", target)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def absent(self):
        self.send_error(404)


@pytest.fixture(scope="module")
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.free = threading.Event()
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.free.set()
        server.shutdown()
        thread.join()


def get(address, **options):
    return download(address, len(CONTENT), hashlib.sha256(CONTENT).hexdigest(), **options)


@pytest.mark.parametrize("path", ["good", "moved"])
def test_right_file(server, path, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # not for this machine itself
    assert get(f"{server}/{path}") == CONTENT


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("changed", f"has SHA-256 .* instead of {hashlib.sha256(CONTENT).hexdigest()}"),
        ("large", "is larger than the 900 bytes of the known file"),
        ("endless", "is larger than the 900 bytes of the known file"),
        ("short", "has 899 bytes instead of 900"),
        ("broken", "has 500 bytes instead of 900|broke off"),
        ("drop", "broke off|cannot be reached"),
        ("nonsense", "broke off|cannot be reached"),
        ("absent", "the server answers 404 Not Found"),
        ("to_file", "'file:///etc/passwd' is not a web address"),
        ("to_ftp", "'ftp://127.0.0.1/x' is not a web address"),
        ("to_plain", "http://example.org/good: is not encrypted"),
        ("circle", "the server answers 302"),
        ("nowhere", "the server answers 302"),
    ],
)
def test_wrong_answers(server, path, message):
    with pytest.raises(DataError, match=message) as raised:
        get(f"{server}/{path}")
    assert "\n" not in str(raised.value)


def test_slow_answers(server):
    with pytest.raises(DataError, match="cannot be reached|broke off"):
        get(f"{server}/slow", timeout=0.1)
    with pytest.raises(DataError, match="takes too long"):
        get(f"{server}/good", deadline=-1)


def test_nobody_answers():
    with pytest.raises(DataError, match="cannot be reached"):
        get("http://127.0.0.1:1/x", timeout=1)


@pytest.mark.parametrize(
    "address",
    [
        "file:///etc/passwd",
        "ftp://example.org/x",
        "http://example.org/x",
        "http://127.0.0.1.example.org/x",
        "http://localhost@example.org/x",
        "//example.org",
        "x",
        "",
        "https://",
        "http://[::1",
    ],
)
def test_addresses_that_are_refused(address):
    with pytest.raises(DataError):
        check_address(address, DataError)


@pytest.mark.parametrize(
    "address", ["https://example.org/x", "http://localhost:1/x", "http://[::1]:1/x"]
)
def test_addresses_that_are_allowed(address):
    check_address(address, DataError)
