"""Servers on this machine: one for OpenAI's archives, one that answers as the hub does."""

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

LARGE = (".safetensors", ".bin", ".h5")


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def blob_id(content: bytes) -> str:
    """SHA-1 as Git counts it."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves contents by path, whole or in part.

    Attributes:
      contents: path -> bytes; tests may change them.
      breaks: after which share of itself each of the next answers is cut off.
      asked: (method, path, the Range asked for) of every request.
      ranges: whether it answers to Range.
    """

    daemon_threads = True

    def __init__(self, contents: Mapping[str, bytes] = {}):
        super().__init__(("127.0.0.1", 0), Handler)
        self.contents, self.ranges = dict(contents), True
        self.breaks: Iterator[float] = iter(())
        self.asked: list[tuple[str, str, str | None]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def answer(self, path: str) -> tuple[bytes, dict[str, str]] | None:
        """Content and headers; None where there is none."""
        return (self.contents[path], {}) if path in self.contents else None


class Hub(Server):
    """Models by name; the branch main of each is its newest commit."""

    def __init__(self):
        super().__init__()
        self.models: dict[str, dict[str, dict[str, bytes]]] = {}
        self.tampered: set[str] = set()  # files that are sent otherwise than listed
        self.gated: set[str] = set()
        self.always: str | None = None  # the commit that it answers with, whatever is asked for
        self.licence = "mit"

    def add(self, name: str, content: Mapping[str, bytes]) -> str:
        """A new commit of a model; returns it."""
        commits = self.models.setdefault(name, {})
        commit = hashlib.sha1(f"{name} {len(commits)}".encode()).hexdigest()
        commits[commit] = dict(content)
        return commit

    def answer(self, path: str) -> tuple[bytes, dict[str, str]] | None:
        parts = path.strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            return self._listing("/".join(parts[2:4]), parts[5] if len(parts) > 5 else "main")
        name, revision, file = "/".join(parts[:2]), parts[3], "/".join(parts[4:])
        commit = self._commit(name, revision)
        if commit not in (found := self.models.get(name, {})) or file not in found[commit]:
            return None
        content = found[commit][file]
        etag = sha256(content) if file.endswith(LARGE) else blob_id(content)
        if file in self.tampered:
            content = content[:-1] + bytes([content[-1] ^ 1])
        return content, {"X-Repo-Commit": commit, "ETag": f'"{etag}"'}

    def _commit(self, name: str, revision: str) -> str | None:
        if self.always is not None:
            return self.always
        commits = list(self.models.get(name, {}))
        return commits[-1] if revision == "main" and commits else revision

    def _listing(self, name: str, revision: str) -> tuple[bytes, dict[str, str]] | None:
        if name in self.gated:
            raise LookupError("GatedRepo")
        if name not in self.models:
            raise LookupError("RepoNotFound")
        commit = self._commit(name, revision)
        if commit not in self.models[name]:
            raise LookupError("RevisionNotFound")
        siblings = []
        for file, content in self.models[name][commit].items():
            item = {"rfilename": file, "size": len(content), "blobId": blob_id(content)}
            if file.endswith(LARGE):
                item["lfs"] = {"sha256": sha256(content), "size": len(content), "pointerSize": 1}
            siblings.append(item)
        listing = {"id": name, "sha": commit, "siblings": siblings}
        listing["tags"] = [f"license:{self.licence}"] if self.licence else []
        return json.dumps(listing).encode(), {"Content-Type": "application/json"}


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self._send(body=False)

    def do_GET(self):
        self._send(body=True)

    def _send(self, body: bool) -> None:
        path, asked = unquote(urlsplit(self.path).path), self.headers.get("Range")
        self.server.asked.append((self.command, path, asked))
        try:
            found = self.server.answer(path)
        except LookupError as error:
            return self._refuse(404, {"X-Error-Code": str(error)})
        if found is None:
            return self._refuse(404, {"X-Error-Code": "EntryNotFound"})
        content, headers = found
        start = int(asked.removeprefix("bytes=").split("-")[0]) if asked else 0
        start = start if self.server.ranges else 0
        self.send_response(206 if start else 200)
        if start:
            last = len(content) - 1
            self.send_header("Content-Range", f"bytes {start}-{last}/{len(content)}")
        content = content[start:]
        self.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if not body:
            return None
        share = next(self.server.breaks, None) if len(content) > 1000 else None
        if share is not None:
            content, self.close_connection = content[: int(len(content) * share)], True
        self.wfile.write(content)

    def _refuse(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": "0"}).items():
            self.send_header(name, value)
        self.end_headers()


@contextlib.contextmanager
def serving(server: Server) -> Iterator[Server]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def contents_of(folder: Path) -> dict[str, bytes]:
    """Name -> content of the files of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}
