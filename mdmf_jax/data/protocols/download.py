"""Download a small public file whose size and SHA-256 are known."""

import http.client
import ipaddress
import time
import urllib.error
import urllib.parse
import urllib.request

from mdmf_jax import files
from mdmf_jax.errors import DataError

TIMEOUT = 30.0  # seconds without an answer
DEADLINE = 300.0  # seconds for one file
_CHUNK = 2**16


def check_address(address: str) -> None:
    """Allows https, and plain http only to this machine itself.

    Raises:
      DataError: another kind of address.
    """
    try:
        parts = urllib.parse.urlsplit(address)
        host = parts.hostname or ""
    except ValueError as error:
        raise DataError(
            f"{address!r} is not an address ({error}); give https://HOST/PATH"
        ) from error
    if not host or parts.scheme not in ("http", "https"):
        raise DataError(f"{address!r} is not a web address; give https://HOST/PATH")
    if parts.scheme == "http" and not _loopback(host):
        raise DataError(f"{address}: is not encrypted; give an https address")


def download(
    address: str, size: int, sha256: str, timeout: float = TIMEOUT, deadline: float = DEADLINE
) -> bytes:
    """The content of a file.

    Args:
      size: its size in bytes; nothing beyond is read.
      timeout: seconds without an answer after which it fails.
      deadline: seconds after which it fails in any case.

    Raises:
      DataError: it cannot be reached, is redirected to a place that is not allowed, or is not
        the file that was expected.
    """
    check_address(address)
    request = urllib.request.Request(address, headers={"User-Agent": "mdmf_jax"})
    try:
        with _opener(address).open(request, timeout=timeout) as answer:
            content = _read(answer, size, time.monotonic() + deadline, address)
    except urllib.error.HTTPError as error:
        error.close()
        answer = f"{error.code} {http.client.responses.get(error.code, '')}".strip()
        raise DataError(
            f"{address}: the server answers {answer}; give another --address"
        ) from error
    except urllib.error.URLError as error:
        raise DataError(
            f"{address}: cannot be reached ({_plain(error.reason)}); try again"
        ) from error
    except (OSError, http.client.HTTPException) as error:
        raise DataError(
            f"{address}: the download broke off ({_plain(error)}); try again"
        ) from error
    if len(content) != size:
        raise DataError(
            f"{address}: has {len(content)} bytes instead of {size}; it was cut short or is"
            " another file"
        )
    found = files.sha256(content)
    if found != sha256:
        raise DataError(f"{address}: has SHA-256 {found} instead of {sha256}; it is another file")
    return content


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects only to places that could have been given as well."""

    def http_error_302(self, req, fp, code, msg, headers):
        target = headers.get("location") or headers.get("uri") or ""
        try:
            _check_redirect(req.full_url, urllib.parse.urljoin(req.full_url, target))
        except DataError:
            fp.close()
            raise
        return super().http_error_302(req, fp, code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def _check_redirect(address: str, target: str) -> None:
    check_address(target)
    if address.startswith("https:") and not target.startswith("https:"):
        raise DataError(f"{address}: is redirected to {target}, which is not encrypted")


def _opener(address: str) -> urllib.request.OpenerDirector:
    """Knows http and https only; a proxy is of no use for this machine itself."""
    host = urllib.parse.urlsplit(address).hostname or ""
    proxies = {} if _loopback(host) else None
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(proxies),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
        _Redirects(),
    ):
        opener.add_handler(handler)
    return opener


def _read(answer, size: int, until: float, address: str) -> bytes:
    content = bytearray()
    while chunk := answer.read1(_CHUNK):
        content += chunk
        if len(content) > size:
            raise DataError(f"{address}: is larger than the {size} bytes of the known file")
        if time.monotonic() > until:
            raise DataError(f"{address}: takes too long; try again")
    return bytes(content)


def _plain(reason: object) -> str:
    """A reason on one line; what a server sends can hold anything."""
    text = "".join(c if c.isprintable() else " " for c in str(reason))
    return " ".join(text.split())[:200] or type(reason).__name__


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
