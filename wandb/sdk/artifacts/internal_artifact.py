"""Artifacts that the SDK makes itself; their types and names are those that users may not take."""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from zlib import crc32

from wandb.sdk.artifacts.artifact import Artifact
from wandb.sdk.artifacts.checks import MAX_NAME_LENGTH

_FORBIDDEN = re.compile(r"[^a-zA-Z0-9_\-.]+")
_ANY_TYPE = "any"


def internal_artifact(name: str, type: str, incremental: bool = False) -> Artifact:
    """Return an artifact of a type that is reserved for the SDK: run_table, code, job, wandb-...

    Args:
        name: What no name may hold is left out; then it ends in a checksum of the whole, as wandb has it.
    """
    found = Artifact(allowed_name(name), _ANY_TYPE, incremental=incremental)
    found._type = type
    return found


def allowed_name(name: str) -> str:
    """Return a name without what names of artifacts may not hold, and none too long; still one per name."""
    allowed = _FORBIDDEN.sub("", name)
    if allowed == name and len(name) <= MAX_NAME_LENGTH:
        return name
    checksum = crc32(name.encode("utf-8", "surrogatepass")).to_bytes(4, "big")
    end = "-" + urlsafe_b64encode(checksum).rstrip(b"=").decode("ascii")
    return allowed[: MAX_NAME_LENGTH - len(end)] + end
