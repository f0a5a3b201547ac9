"""Where a file that is named by its content has its place, below any root.

    md5/d4/1d8cd98f00b204e9800998ecf8427e

The recorder puts the files of artifacts there, and the syncer finds them, wherever a run directory was
carried.
"""

from __future__ import annotations

from base64 import b64decode
from hashlib import md5


def hex_of(digest: str) -> str:
    """Return the hexadecimal form of a digest in base64; of text that is none, its own digest's.

    ETags and addresses stand in the place of digests too.
    """
    try:
        return b64decode(digest, validate=True).hex()
    except ValueError:
        return md5(digest.encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest()


def place_of(digest: str, algorithm: str) -> str:
    """Return the path below a root of a file with this digest (base64), with slashes."""
    name = hex_of(digest)
    return f"{algorithm.lower()}/{name[:2]}/{name[2:]}"
