"""Names that are made up: run ids, writer ids, the stamp in a run directory's name.

Rule: randomness comes from the kernel, never from `random`: a script's `random.seed(0)` must not give two
runs one id, and forked children must not share a sequence.
"""

from __future__ import annotations

import os
import time

_ID_CHARS = "abcdefghijklmnopqrstuvwxyz0123456789"
# The largest multiple of 36 in a byte; bytes from here on are thrown away, else some letters were favoured.
_FAIR_BYTES = 252


def generate_id(length: int = 8) -> str:
    """Return `length` random characters of a-z and 0-9; eight of them are a run id."""
    chars = ""
    while len(chars) < length:
        chars += "".join([_ID_CHARS[byte % 36] for byte in os.urandom(2 * length) if byte < _FAIR_BYTES])
    return chars[:length]


def id_of(digest: bytes, length: int = 8) -> str:
    """Return a run id that follows from a digest of at least `length` bytes."""
    return "".join([_ID_CHARS[byte % 36] for byte in digest[:length]])


def generate_writer_id() -> str:
    """Return a UUID of version 7 (RFC 9562): it tells the writers of one run apart and sorts by time."""
    ms = time.time_ns() // 1_000_000
    value = int.from_bytes(ms.to_bytes(6, "big") + os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76  # version
    value = value & ~(0x3 << 62) | 0x2 << 62  # variant
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def run_stamp(timestamp_s: float) -> str:
    """Return `YYYYMMDD_HHMMSS` in local time, as run directories have it."""
    return time.strftime("%Y%m%d_%H%M%S", time.localtime(timestamp_s))


def run_dir_name(mode: str, timestamp_s: float, run_id: str, n_taken: int = 0) -> str:
    """Return the name of a run directory.

    Args:
        mode: "run" or "offline-run".
        timestamp_s: When the run started, in seconds since 1970.
        run_id: The run's id.
        n_taken: How many names of this run and second exist already; the next one ends in `-1`, `-2`, ...
    """
    name = f"{mode}-{run_stamp(timestamp_s)}-{run_id}"
    return f"{name}-{n_taken}" if n_taken else name
