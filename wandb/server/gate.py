"""What every request passes: whose it is, how large it may be, and how an error becomes an answer.

Rule 1: each route is wrapped in one of `open_to_all`, `with_key`, `with_key_or_session`, `for_people`.
Rule 2: a browser's session counts for a change only if the request comes from our own page (`Origin`).
"""

from __future__ import annotations

import json
import zlib
from typing import Any, Awaitable, Callable, Iterable
from urllib.parse import quote, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from wandb.errors import UsageError
from wandb.server.access import Access, is_own_host, key_of_basic_auth
from wandb.server.store import NotFound

Handler = Callable[[Request], Awaitable[Response]]

PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; "
        "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


class TooLarge(UsageError):
    """The body exceeds the limit."""


class Gate:
    """Decides whether a request may pass."""

    def __init__(self, access: Access, cookie_name: str) -> None:
        self._access = access
        self.cookie_name = cookie_name

    def open_to_all(self, handler: Handler) -> Handler:
        """Nothing secret is behind it, or the address itself is the secret."""
        return _with_errors(handler)

    def with_key(self, handler: Handler) -> Handler:
        """For programs: an API key, by basic authentication."""

        async def checked(request: Request) -> Response:
            if not await self._has_key(request):
                return _unauthorized()
            return await handler(request)

        return _with_errors(checked)

    def with_key_or_session(self, handler: Handler) -> Handler:
        """For programs and for our own page."""

        async def checked(request: Request) -> Response:
            if not await self._has_key(request):
                if not await self.has_session(request):
                    return _unauthorized(from_page=True)
                if request.method not in ("GET", "HEAD") and not is_from_own_page(request):
                    return error_answer(403, "The request does not come from this server's page")
            return await handler(request)

        return _with_errors(checked)

    def for_people(self, handler: Handler) -> Handler:
        """For browsers: whoever is not logged in is sent to log in."""

        async def checked(request: Request) -> Response:
            if not await self.has_session(request):
                return RedirectResponse(f"/login?next={quote(request.url.path)}", 303, PAGE_HEADERS)
            return await handler(request)

        return _with_errors(checked)

    async def has_session(self, request: Request) -> bool:
        token = request.cookies.get(self.cookie_name)
        return token is not None and await run_in_threadpool(self._access.is_session, token)

    async def _has_key(self, request: Request) -> bool:
        key = key_of_basic_auth(request.headers.get("authorization", ""))
        if key is None:
            return False
        return self._access.is_known_api_key(key) or await run_in_threadpool(self._access.is_api_key, key)


class OwnHostsOnly:
    """ASGI middleware: refuses requests for host names that are not ours."""

    def __init__(self, app: ASGIApp, own_names: Iterable[str]) -> None:
        self._app = app
        self._own_names = frozenset(name.lower() for name in own_names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            host = next((value for name, value in scope["headers"] if name == b"host"), b"").decode("latin-1")
            if not is_own_host(host, self._own_names):
                text = f"This server does not answer to the name {host!r} (see its option --allow-host)"
                await error_answer(421, text)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def is_from_own_page(request: Request) -> bool:
    """Whether a browser says that this server's page made the request."""
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc == request.headers.get("host")


async def read_body(request: Request, max_bytes: int) -> bytes:
    """The body, unpacked if it came packed.

    Raises:
        TooLarge: it has more than `max_bytes`, packed or unpacked.
        UsageError: it is packed in a way that we cannot undo.
    """
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > max_bytes:
            raise TooLarge(f"The body has more than {max_bytes:,} bytes")
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding == "identity":
        return bytes(data)
    if encoding != "gzip":
        raise UsageError(f"Content-Encoding {encoding!r} is not understood", hint="gzip is")
    return await run_in_threadpool(_gunzip, bytes(data), max_bytes)


def json_object(body: bytes) -> Any:
    """A body as a JSON object; UsageError if it is none."""
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"The body is not JSON: {error}") from error
    if not isinstance(parsed, dict):
        raise UsageError("The body is not a JSON object")
    return parsed


def error_answer(status: int, text: str) -> Response:
    return JSONResponse({"error": text}, status)


def _unauthorized(*, from_page: bool = False) -> Response:
    answer = error_answer(401, "An API key is needed (basic authentication, user `api`)")
    # To "Basic" a browser opens a dialogue of its own, and the page's request hangs behind it.
    answer.headers["WWW-Authenticate"] = "Session" if from_page else 'Basic realm="wandb"'
    return answer


def _with_errors(handler: Handler) -> Handler:
    async def guarded(request: Request) -> Response:
        try:
            return await handler(request)
        except NotFound as error:
            return error_answer(404, str(error))
        except TooLarge as error:
            return error_answer(413, str(error))
        except UsageError as error:
            return error_answer(400, str(error))

    return guarded


def _gunzip(data: bytes, max_bytes: int) -> bytes:
    """Unpack, but never more than `max_bytes`: a small body can unpack to any size."""
    unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        unpacked = unpacker.decompress(data, max_bytes + 1)
    except zlib.error as error:
        raise UsageError(f"The body is not gzip: {error}") from error
    if len(unpacked) > max_bytes:
        raise TooLarge(f"The unpacked body has more than {max_bytes:,} bytes")
    if not unpacker.eof:
        raise UsageError("The gzip body ends too early")
    return unpacked
