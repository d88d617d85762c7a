"""An emulator of Cloud Storage on the loopback, for tests of gs:// paths.

gcsfs finds it through STORAGE_EMULATOR_HOST, tensorstore (which reads and writes the arrays of
checkpoints) through TENSORSTORE_GCS_HTTP_URL.
"""

import contextlib
import io
import os
import re
import threading
from functools import partial
from http.server import ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

BUCKET = "gs://bucket"
# gcsfs reads it when it is imported: it shall not ask Google what kind of bucket this is.
os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")


class _Generations:
    """What the package leaves out and tensorstore needs: the generation of an object.

    It is told when the object is read, and `ifGenerationMatch` and `ifGenerationNotMatch` are
    obeyed. One request is handled at a time: the package's storage is not made for threads.
    """

    _lock = threading.Lock()

    def do_GET(self):
        self._guarded(super().do_GET)

    def do_POST(self):
        self._guarded(super().do_POST)

    def do_PUT(self):
        self._guarded(super().do_PUT)

    def do_PATCH(self):
        self._guarded(super().do_PATCH)

    def do_DELETE(self):
        self._guarded(super().do_DELETE)

    def end_headers(self):
        if self.command == "GET" and (generation := self._generation()) != "0":
            self.send_header("x-goog-generation", generation)
        super().end_headers()

    def _guarded(self, handle):
        with self._lock:
            query = parse_qs(urlsplit(self.path).query)
            found = self._generation()
            same = query.get("ifGenerationMatch", [found])[0] == found
            other = query.get("ifGenerationNotMatch", [""])[0] != found
            if same and other:
                handle()
                return
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(412 if not same else 304)
        self.end_headers()

    def _name_in_body(self):
        if not hasattr(self, "_body"):
            self._body = self.rfile.read(int(self.headers["content-length"]))
            self.rfile = io.BytesIO(self._body)
        return re.search(rb'"name": *"([^"]+)"', self._body)[1].decode()

    def _generation(self):
        """Generation of the object that the request names; 0 if there is none."""
        from gcp_storage_emulator.exceptions import NotFound

        parts = urlsplit(self.path)
        found = re.search(r"/b/([^/]+)/o(?:/([^/]+))?$", parts.path)
        name = found and (found[2] or parse_qs(parts.query).get("name", [""])[0])
        if "uploadType=multipart" in parts.query and not name:
            name = self._name_in_body()
        try:
            return self.storage.get_file_obj(found[1], unquote(name))["generation"] if name else "0"
        except NotFound:
            return "0"


class Emulator:
    """A running emulator.

    Attributes:
      environment: what a program must find in its environment to use it.
      requests: method and path of every request so far.
    """

    def __init__(self):
        from gcp_storage_emulator.handlers import buckets
        from gcp_storage_emulator.server import RequestHandler
        from gcp_storage_emulator.storage import Storage

        self.requests = requests = []
        storage = Storage(use_memory_fs=True)

        class Handler(_Generations, RequestHandler):
            def log_request(self, code="-", size="-"):
                requests.append(self.requestline)

            def log_message(self, format, *args):
                """Says nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                """A client that hangs up, having read enough, is no error."""

        buckets.create_bucket(BUCKET.removeprefix("gs://"), storage)
        self._server = Server(("127.0.0.1", 0), partial(Handler, storage))
        address = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.environment = {
            "STORAGE_EMULATOR_HOST": address,
            "TENSORSTORE_GCS_HTTP_URL": address,
            "GOOGLE_AUTH_TOKEN_FOR_TESTING": "test",
        }
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextlib.contextmanager
def emulator():
    """Runs one, and points this process to it."""
    running = Emulator()
    before = {name: os.environ.get(name) for name in running.environment}
    os.environ.update(running.environment)
    _forget_connections()
    try:
        yield running
    finally:
        running.stop()
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
        _forget_connections()


def _forget_connections():
    """Connections to Cloud Storage are kept for the process, with the address they had."""
    import gcsfs
    from etils.epath.backend import fsspec_backend

    gcsfs.GCSFileSystem.clear_instance_cache()
    fsspec_backend._get_filesystem.cache_clear()
