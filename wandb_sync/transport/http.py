"""Requests over HTTP: the only home of `requests`.

Rule 1: the API key goes to the base URL and nowhere else: only requests with a path below it carry it, and
        redirects are not followed.
Rule 2: proxies and the CA bundle come from the environment (HTTPS_PROXY, NO_PROXY, BUNDLE_VARIABLES); netrc
        files are never read behind our back.
Rule 3: one pool of connections for all runs and threads.
"""

from __future__ import annotations

import base64
import contextlib
import io
import os
import ssl
import threading
import time
from typing import IO, Callable, Dict, Iterator, Optional, Union
from urllib.parse import urljoin, urlsplit

import requests
import requests.adapters
import requests.structures
import requests.utils

from wandb.errors import RejectedError, TransientError, UsageError
from wandb.version import __version__
from wandb_sync.transport.base import UPLOAD, Request, Response, checked

CONNECT_TIMEOUT_S = 20.0
MAX_CONNECTIONS = 64  # kept open per host; more are opened if need be, and closed after use
BUNDLE_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")  # the first that is set counts
# Of ssl.SSLError: the bundle itself is no good.  Everything else but a bad certificate may pass.
_BAD_BUNDLE = frozenset(("NO_CERTIFICATE_OR_CRL_FOUND", "NO_START_LINE"))


def checked_base_url(url: str) -> str:
    """Return the address of a server as requests begin with it.

    Raises:
        UsageError: It is none, or holds a user name or password; those would get into logs and onto the
            screen, so the message does not repeat it then.
    """
    if "@" in url:
        raise UsageError("the URL of the server cannot contain a user name or password")
    try:
        parts = urlsplit(url)
        is_server = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number or too large, half an IPv6 address
        is_server = False
    if not is_server:
        raise UsageError(f"{url!r} is no server's URL", hint="it looks like https://api.wandb.ai")
    return url.rstrip("/")


class HttpTransport:
    """Sends to one server.  Safe for threads."""

    def __init__(
        self,
        base_url: str,
        api_key: str = "",
        *,
        verify: Union[bool, str, None] = None,
        stop: Optional[threading.Event] = None,
        pace: Optional[Callable[[int], int]] = None,
    ) -> None:
        """Prepare; nothing is sent.

        Args:
            base_url: The server, "https://api.wandb.ai" or with a path prefix.
            api_key: Sent with requests to the server itself; empty for none.
            verify: Whether certificates are checked, or the path of a CA bundle; None: as the environment
                says.
            stop: Breaks off the sending of files when set; they may be of any size.
            pace: Asked before each piece of a body goes: waits, and says how much of it may go; throttle.py.

        Raises:
            UsageError: The base URL is none, or holds a password.
        """
        self.base_url = checked_base_url(base_url)
        bundles = (os.environ.get(name) for name in BUNDLE_VARIABLES)
        self._verify = verify if verify is not None else next(filter(None, bundles), True)
        credentials = base64.b64encode(f"api:{api_key}".encode()).decode()
        self._authorization = {"Authorization": f"Basic {credentials}"} if api_key else {}
        # The adapter alone: a requests.Session would add cookies, netrc credentials and redirects.
        self._adapter = requests.adapters.HTTPAdapter(pool_maxsize=MAX_CONNECTIONS, max_retries=0)
        self._proxies: Dict[str, Dict[str, str]] = {}
        self._lock = threading.Lock()
        self._stop = stop or threading.Event()
        self._pace = pace

    def __repr__(self) -> str:
        return f"HttpTransport({self.base_url!r})"

    def send(self, request: Request) -> Response:
        """Send one request; see transport.base."""
        is_api = request.url.startswith("/") and request.operation != UPLOAD
        url = self.base_url + request.url if is_api else urljoin(self.base_url + "/", request.url)
        if url.startswith("https:") and isinstance(self._verify, str) and not os.path.exists(self._verify):
            raise RejectedError(
                f"{request.operation}: the file of CA certificates {self._verify} does not exist",
                hint=f"correct {' or '.join(BUNDLE_VARIABLES)}",
            )
        answer: Optional[requests.Response] = None
        failed: Optional[Exception] = None
        sent_s = time.monotonic()
        with contextlib.ExitStack() as opened:
            body: Union[bytes, _Limited] = b""
            if isinstance(request.body, bytes):
                body = request.body
                if self._pace is not None and body:
                    body = _Limited(io.BytesIO(body), len(body), _NEVER, self._pace)
            else:
                try:
                    file = opened.enter_context(request.body.open())
                except OSError as error:
                    raise RejectedError(
                        f"{request.operation}: cannot read the file: {error.strerror}"
                    ) from error
                body = _Limited(file, request.n_bytes, self._stop, self._pace)
            try:
                answer = self._adapter.send(
                    self._prepared(request, url, body, is_api),
                    timeout=(CONNECT_TIMEOUT_S, request.timeout_s),
                    verify=self._verify,
                    proxies=self._proxies_for(url),
                )
                content = answer.content
            except (requests.RequestException, OSError) as error:
                failed = self._meaning(request, url, error)
        if failed is not None or answer is None:
            # Raised here and not above: what `requests` raised holds the whole URL, and must not come along.
            raise failed or AssertionError("neither answer nor error")
        headers = {name.lower(): value for name, value in answer.headers.items()}
        response = Response(answer.status_code, content, headers, time.monotonic() - sent_s)
        if 300 <= response.status < 400:
            raise RejectedError(
                f"{request.operation}: {self._shown(url)} redirects elsewhere",
                status=response.status,
                hint="use the final address as base URL",
            )
        return checked(request, response, time.time())

    def close(self) -> None:
        """Close all connections."""
        self._adapter.close()

    def _prepared(
        self, request: Request, url: str, body: Union[bytes, _Limited], is_api: bool
    ) -> requests.PreparedRequest:
        prepared = requests.PreparedRequest()
        prepared.method = request.method
        prepared.url = requests.utils.requote_uri(url)
        prepared.headers = requests.structures.CaseInsensitiveDict(
            {
                "User-Agent": f"wandb-ng/{__version__}",
                "Accept-Encoding": "gzip",
                "Content-Length": str(request.n_bytes),
                **request.headers,
                **(self._authorization if is_api else {}),
            }
        )
        prepared.body = body  # type: ignore[assignment]  # a file-like object is taken too
        return prepared

    def _meaning(self, request: Request, url: str, error: Exception) -> Exception:
        where = f"{request.operation}: {self._shown(url)}"
        if _is_distrust(error):
            return RejectedError(
                f"{where}: the server's certificate is not trusted",
                hint="set REQUESTS_CA_BUNDLE to your organization's CA file",
            )
        if isinstance(error, requests.exceptions.Timeout):
            return TransientError(f"{where}: no answer in time")
        if isinstance(error, (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema)):
            return RejectedError(f"{where}: no valid address")
        if isinstance(error, requests.exceptions.ProxyError):
            return TransientError(
                f"{where}: the proxy does not answer", hint="check HTTPS_PROXY and NO_PROXY"
            )
        return TransientError(f"{where}: {_cause(error)}")

    def _shown(self, url: str) -> str:
        """Return an address without what may be secret: user, query (signatures), fragment."""
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{parts.hostname}{port}{parts.path if url.startswith(self.base_url) else ''}"

    def _proxies_for(self, url: str) -> Dict[str, str]:
        parts = urlsplit(url)
        key = f"{parts.scheme}://{parts.netloc}"
        with self._lock:
            if key not in self._proxies:
                self._proxies[key] = dict(requests.utils.get_environ_proxies(key))
            return self._proxies[key]


_NEVER = threading.Event()  # lines are sent to the end, so that what was acknowledged is known


class _Limited:
    """A body of which exactly as many bytes are sent as were announced, and no faster than is allowed."""

    def __init__(
        self,
        file: IO[bytes],
        n_bytes: int,
        stop: threading.Event,
        pace: Optional[Callable[[int], int]] = None,
    ) -> None:
        self._file = file
        self._pace = pace
        self._stop = stop
        self._left = n_bytes
        self._n_bytes = n_bytes

    def __len__(self) -> int:
        return self._n_bytes

    def read(self, size: int = -1) -> bytes:
        if self._stop.is_set():
            raise OSError("the upload was broken off")
        wanted = self._left if size is None or size < 0 else min(size, self._left)
        if self._pace is not None and wanted:
            wanted = self._pace(wanted)
        data = self._file.read(wanted)
        if len(data) < wanted and not data and self._left:
            raise OSError("the file has become shorter")
        self._left -= len(data)
        return data


def _is_distrust(error: BaseException) -> bool:
    """Whether a certificate is the reason.  A handshake that broke off is an SSLError too, and may pass."""
    return any(
        isinstance(reason, ssl.SSLCertVerificationError) or getattr(reason, "reason", None) in _BAD_BUNDLE
        for reason in _reasons(error)
    )


def _reasons(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what led to it, the innermost last."""
    inner: Optional[BaseException] = error
    while inner is not None:
        yield inner
        inner = inner.__cause__ or inner.__context__


def _cause(error: BaseException) -> str:
    """Return the innermost reason of a connection error, without addresses of connection objects."""
    *_, inner = _reasons(error)
    reason = getattr(inner, "strerror", None) or str(inner) or type(inner).__name__
    return f"cannot connect, or the connection broke: {reason}"[:300]
