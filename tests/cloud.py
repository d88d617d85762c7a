"""An emulator of Cloud Storage on the loopback, for tests of gs:// paths.

gcsfs finds it through STORAGE_EMULATOR_HOST, tensorstore (which reads and writes the arrays of
checkpoints) through TENSORSTORE_GCS_HTTP_URL. The package's own server takes one request at a
time; here its handlers run in threads.
"""

import contextlib
import os
import threading
from functools import partial
from http.server import ThreadingHTTPServer

BUCKET = "gs://bucket"


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

        class Handler(RequestHandler):
            def log_request(self, code="-", size="-"):
                requests.append(self.requestline)

            def log_message(self, format, *args):
                """Says nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                """A client that hangs up, having read enough, is no error."""

        storage = Storage(use_memory_fs=True)
        buckets.create_bucket(BUCKET.removeprefix("gs://"), storage)
        self._server = Server(("127.0.0.1", 0), partial(Handler, storage))
        address = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.environment = {
            "STORAGE_EMULATOR_HOST": address,
            "TENSORSTORE_GCS_HTTP_URL": address,
            "GOOGLE_AUTH_TOKEN_FOR_TESTING": "test",
            "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
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
