"""The one way to reach a web address: https, or plain http to this machine itself.

What goes wrong becomes one line of the class `error` that the caller names.
"""

import http.client
import ipaddress
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from mdmf_jax.errors import UserError

TIMEOUT = 30.0  # seconds without an answer


def check_address(address: str, error: type[UserError] = UserError) -> None:
    """Allows https, and plain http only to this machine itself.

    Raises:
      UserError: another kind of address.
    """
    try:
        parts = urllib.parse.urlsplit(address)
        host = parts.hostname or ""
    except ValueError as problem:
        raise error(f"{address!r} is not an address ({problem}); give https://HOST/PATH") from None
    if not host or parts.scheme not in ("http", "https"):
        raise error(f"{address!r} is not a web address; give https://HOST/PATH")
    if parts.scheme == "http" and not _loopback(host):
        raise error(f"{address}: is not encrypted; give an https address")


@contextmanager
def answer(
    address: str,
    error: type[UserError] = UserError,
    *,
    advice: str = "try again",
    headers: Mapping[str, str] | None = None,
    timeout: float = TIMEOUT,
) -> Iterator[http.client.HTTPResponse]:
    """The server's answer to a GET, to be read in the block.

    Args:
      advice: what to do where the server refuses or cannot be reached.
      headers: more headers of the request.
      timeout: seconds without an answer after which it fails.

    Raises:
      UserError: it cannot be reached, refuses, breaks off, or redirects to a place that is not
        allowed.
    """
    check_address(address, error)
    sent = {"User-Agent": "mdmf_jax"} | dict(headers or {})
    request = urllib.request.Request(address, headers=sent)
    try:
        with _opener(address, error).open(request, timeout=timeout) as found:
            yield found
    except urllib.error.HTTPError as problem:
        problem.close()
        status = f"{problem.code} {http.client.responses.get(problem.code, '')}".strip()
        raise error(f"{address}: the server answers {status}; {advice}") from problem
    except urllib.error.URLError as problem:
        reason = plain(problem.reason)
        raise error(f"{address}: cannot be reached ({reason}); {advice}") from problem
    except (OSError, http.client.HTTPException) as problem:
        raise error(f"{address}: the download broke off ({plain(problem)}); try again") from problem


def plain(reason: object) -> str:
    """A reason on one line; what a server sends can hold anything."""
    text = "".join(c if c.isprintable() else " " for c in str(reason))
    return " ".join(text.split())[:200] or type(reason).__name__


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects only to places that could have been given as well."""

    def __init__(self, error: type[UserError]):
        self._error = error

    def http_error_302(self, req, fp, code, msg, headers):
        target = headers.get("location") or headers.get("uri") or ""
        try:
            self._check(req.full_url, urllib.parse.urljoin(req.full_url, target))
        except UserError:
            fp.close()
            raise
        return super().http_error_302(req, fp, code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302

    def _check(self, address: str, target: str) -> None:
        check_address(target, self._error)
        if address.startswith("https:") and not target.startswith("https:"):
            raise self._error(f"{address}: is redirected to {target}, which is not encrypted")


def _opener(address: str, error: type[UserError]) -> urllib.request.OpenerDirector:
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
        _Redirects(error),
    ):
        opener.add_handler(handler)
    return opener


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
