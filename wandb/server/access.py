"""Who may do what: API keys, page sessions, login links, signed upload addresses, host names.

Rule 1: a secret is shown once and stored as its SHA-256.  (All are long and random: slow hash adds nothing.)
Rule 2: an API key opens everything; a page session opens the page and its buttons, if our page asks.
Rule 3: we answer only to host names that are ours, so that a foreign web site cannot point its name at us
        ("DNS rebinding").  An address in numbers cannot be pointed anywhere and is always ours.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
import secrets
import time
from typing import Iterable, Optional, Set
from urllib.parse import quote

from sqlalchemy import Engine, delete, func, insert, select

from wandb.server.database import credential

API_KEY_BYTES = 20  # 40 hexadecimal digits: what clients accept as a key
SESSION_S = 30 * 86400.0
LOGIN_LINK_S = 3600.0
UPLOAD_URL_S = 7 * 86400.0  # a client may retry an upload for days


class Access:
    """The credentials of one server."""

    def __init__(self, engine: Engine, signing_key: str) -> None:
        self._engine = engine
        self._signing_key = signing_key.encode()
        self._known_keys: Set[str] = set()  # hashes of API keys seen to be right; there is no revoking

    def has_api_key(self) -> bool:
        """Whether a key was ever made."""
        with self._engine.connect() as connection:
            n_keys = connection.scalar(
                select(func.count()).select_from(credential).where(credential.c.kind == "api_key")
            )
        return bool(n_keys)

    def new_api_key(self, key: Optional[str] = None) -> str:
        """Make a key (or accept this one) and return it; it cannot be read again later."""
        key = key or secrets.token_hex(API_KEY_BYTES)
        self._add("api_key", key, None)
        return key

    def new_session(self) -> str:
        return self._add("session", secrets.token_urlsafe(32), SESSION_S)

    def new_login_link(self) -> str:
        return self._add("login_link", secrets.token_urlsafe(24), LOGIN_LINK_S)

    def is_known_api_key(self, key: str) -> bool:
        """Like `is_api_key`, without asking the database: False may be wrong."""
        return _sha256(key) in self._known_keys

    def is_api_key(self, key: str) -> bool:
        digest = _sha256(key)
        if self._is("api_key", digest):
            self._known_keys.add(digest)
            return True
        return False

    def is_session(self, token: str) -> bool:
        return self._is("session", _sha256(token))

    def use_login_link(self, token: str) -> bool:
        """Whether the link is good; it is not a second time."""
        return self._remove("login_link", _sha256(token))

    def end_session(self, token: str) -> None:
        self._remove("session", _sha256(token))

    # -- upload addresses -----------------------------------------------------------------------------------

    def upload_path(self, run_id: int, path: str) -> str:
        """The address, below the server's own, where this one file can be PUT for some days."""
        expires = int(time.time() + UPLOAD_URL_S)
        return f"/upload/{run_id}/{expires}/{self._signature(run_id, expires, path)}/{quote(path)}"

    def may_upload(self, run_id: int, expires: int, signature: str, path: str) -> bool:
        right = hmac.compare_digest(signature.encode(), self._signature(run_id, expires, path).encode())
        return right and time.time() < expires

    # -- addresses of artifacts' bytes ----------------------------------------------------------------------

    def signed_path(self, folder: str, name: str) -> str:
        """An address below `folder` for `name`, that is good for some days."""
        expires = int(time.time() + UPLOAD_URL_S)
        return f"{folder}/{expires}/{self._signature(folder, expires, name)}/{quote(name)}"

    def is_signed(self, folder: str, expires: int, signature: str, name: str) -> bool:
        """Whether `signed_path` has made this address, and it is still good."""
        right = hmac.compare_digest(signature.encode(), self._signature(folder, expires, name).encode())
        return right and time.time() < expires

    def _signature(self, what: object, expires: int, path: str) -> str:
        text = f"{what}/{expires}/{path}".encode("utf-8", "surrogatepass")
        return hmac.new(self._signing_key, text, hashlib.sha256).hexdigest()

    # -- rows -----------------------------------------------------------------------------------------------

    def _add(self, kind: str, secret: str, lifetime_s: Optional[float]) -> str:
        now = time.time()
        expires_at = now + lifetime_s if lifetime_s is not None else None
        digest = _sha256(secret)
        with self._engine.begin() as connection:
            connection.execute(
                delete(credential).where((credential.c.expires_at < now) | (credential.c.sha256 == digest))
            )
            connection.execute(
                insert(credential).values(sha256=digest, kind=kind, created_at=now, expires_at=expires_at)
            )
        return secret

    def _is(self, kind: str, digest: str) -> bool:
        query = select(credential.c.expires_at).where(
            (credential.c.sha256 == digest) & (credential.c.kind == kind)
        )
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        return row is not None and (row.expires_at is None or row.expires_at > time.time())

    def _remove(self, kind: str, digest: str) -> bool:
        where = (credential.c.sha256 == digest) & (credential.c.kind == kind)
        good = (credential.c.expires_at.is_(None)) | (credential.c.expires_at > time.time())
        with self._engine.begin() as connection:
            return connection.execute(delete(credential).where(where & good)).rowcount == 1


def key_of_basic_auth(header: str) -> Optional[str]:
    """The password of an `Authorization: Basic` header; the user name does not matter."""
    scheme, _, text = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(text.strip(), validate=True).decode("ascii").partition(":")[2]
    except (binascii.Error, ValueError):
        return None


def is_own_host(host_header: str, own_names: Iterable[str]) -> bool:
    """Whether a `Host` header names this server (Rule 3)."""
    host = host_header.strip().lower()
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    else:
        host = host.rpartition(":")[0] if host.count(":") == 1 else host
    try:
        ipaddress.ip_address(host)
        return True
    except ValueError:
        return host == "localhost" or host.endswith(".localhost") or host in own_names


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
