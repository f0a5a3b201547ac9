"""The port through which every request leaves, and the one place that says which answers are worth another
try.

Whatever implements `Transport` (HTTP, a simulated server, a dry run) or wraps one (retry, throttle) keeps to:

Rule 1: `send` returns a 2xx answer or raises one of TransientError, RejectedError, AuthenticationError,
        Interrupted; no exception of a library leaves a transport.
Rule 2: a request is complete in itself and may be sent any number of times; the server ends up the same.
Rule 3: no message, repr or exception holds a credential or the query of a signed URL.
"""

from __future__ import annotations

import json
from email.utils import parsedate_to_datetime
from typing import IO, Any, Mapping, NamedTuple, Optional, Protocol, Union

from wandb.errors import AuthenticationError, CommError, RejectedError, TransientError

UPLOAD = "upload"  # the operation of a PUT to a URL that the server has given; never carries the API key


class FileBody(NamedTuple):
    """A body that is read from a file, or from a part of it, when it is sent.

    Attributes:
        path: The file's name; or the descriptor of one that has none, for one request at a time.
    """

    path: Union[str, int]
    n_bytes: int
    offset: int = 0

    def open(self) -> IO[bytes]:
        """Return the file, read from where the body begins.

        Raises:
            OSError: It cannot be read.
        """
        file = open(self.path, "rb", closefd=isinstance(self.path, str))
        file.seek(self.offset)
        return file


class Request(NamedTuple):
    """One request.

    Attributes:
        operation: What it is, for people and tests: "UpsertBucket", "file_stream", UPLOAD ...
        url: A path below the server's base URL ("/graphql"), sent with the API key; or an absolute URL, sent
            without.  An UPLOAD is sent without, whatever its URL.
        timeout_s: How long the server may be silent.
        retry_conflict: Whether 409 may pass.  A run that is being written by someone else for a moment says
            so.
        wants_object: Whether only a JSON object is an answer.  A proxy or the portal of a network answers 200
            too, with a page of its own; that acknowledges nothing.
    """

    operation: str
    method: str
    url: str
    body: Union[bytes, FileBody] = b""
    headers: Mapping[str, str] = {}
    timeout_s: float = 30.0
    retry_conflict: bool = False
    wants_object: bool = False

    @property
    def n_bytes(self) -> int:
        return self.body.n_bytes if isinstance(self.body, FileBody) else len(self.body)


class Response(NamedTuple):
    """An answer; header names are in lower case.

    Attributes:
        took_s: How long it was under way, from the first byte that was sent to the last of the answer.
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = {}
    took_s: float = 0.0

    def json(self) -> Any:
        """Return the body's JSON value.

        Raises:
            TransientError: It is no JSON: a proxy's page, an answer cut short.
        """
        try:
            return json.loads(self.body)
        except ValueError:
            start = self.body[:80].decode("utf-8", "replace")
            raise TransientError(f"the server's answer is not JSON: {start!r}") from None


class Transport(Protocol):
    """Sends requests; may be used by several threads at once."""

    def send(self, request: Request) -> Response:
        """Send, wait for the answer and return it.

        Raises:
            TransientError: It may work later.
            RejectedError: It will not.
            AuthenticationError: It will not with this API key.
            Interrupted: We are to stop.
        """

    def close(self) -> None:
        """Release connections.  Idempotent."""


# Answers that may be another one next time.  501 says "never"; 409 has its own switch.
_TRANSIENT = frozenset((408, 425, 429, *range(500, 600))) - {501}


def checked(request: Request, response: Response, now_s: float) -> Response:
    """Return a good answer; raise what a bad one means.

    It is called by the transport that speaks to the server, so below `Retry`: a bad answer is tried again.

    Args:
        now_s: Seconds since the epoch, for a Retry-After that names a date.
    """
    status = response.status
    if 200 <= status < 300:
        if request.wants_object and not isinstance(response.json(), dict):
            raise TransientError(f"{request.operation}: the server's answer is no JSON object", status=status)
        return response
    raise _error(request, response, now_s)


def _error(request: Request, response: Response, now_s: float) -> CommError:
    status = response.status
    text = f"{request.operation}: the server answered {status}{_reason(response.body)}"
    if status in _TRANSIENT or (status == 409 and request.retry_conflict):
        after_s = retry_after_s(response.headers, now_s)
        return TransientError(text, status=status, retry_after_s=after_s, hint=_HINTS.get(status))
    if status == 401 and request.url.startswith("/"):
        return AuthenticationError(text, status=status, hint="run `wandb login`, or set WANDB_API_KEY")
    return RejectedError(text, status=status, hint=_HINTS.get(status))


_HINTS: Mapping[int, str] = {
    403: "the API key may not write there; check entity and project",
    404: "the run, project or entity does not exist, or was deleted",
    409: "the run was probably deleted; sync it as a new one with --id",
    413: "the server's limit for one request is too low",
}


def retry_after_s(headers: Mapping[str, str], now_s: float) -> Optional[float]:
    """Return what Retry-After asks for, in seconds from now; None if it is missing or makes no sense."""
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now_s)
    except (TypeError, ValueError, OverflowError):
        return None


def _reason(body: bytes) -> str:
    """Return what the server said about it, short and on one line."""
    text = body[:2000].decode("utf-8", "replace").strip()
    try:
        said = json.loads(text)
    except ValueError:
        said = text if not text.startswith("<") else ""
    if isinstance(said, dict):
        said = said.get("error") or said.get("message") or said.get("errors") or ""
    if isinstance(said, list) and said and isinstance(said[0], dict):
        said = said[0].get("message", "")
    short = " ".join(str(said).split())[:200]
    return f": {short}" if short else ""
