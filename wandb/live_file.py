"""What the syncer of an online run tells whoever records it: one small file beside the log.

Beside it, `run-ID.wandb.live.artifacts` grows by a line for each artifact that has arrived, or will not:
whoever waits for one reads on where the last reading ended.

Spec: schema/checkpoint/FORMAT.md, "Live".  Both halves know it; nothing else goes between them but the log.

Rule 1: the file is replaced as a whole; a reader sees the old or the new one.  It is not synced to the disk:
        without it, nothing is lost but the news.
Rule 2: no credential is in it.
"""

from __future__ import annotations

import json
import os
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from wandb.processes import Life, ProcessId, life_of

SUFFIX = ".live"
FORMAT = "wandb-ng live"
VERSION = 1


class News(NamedTuple):
    """What a syncer says.

    Attributes:
        process: The syncer, as fields of ProcessId.
        url, entity, project, name: What the server calls the run; empty until it was asked.
        is_asked_to_stop: Whether somebody asked the server to have the run stop.
        offset, n_bytes: How much of the log has arrived, and its size.
        n_files: How many files have arrived.
        trouble: Why nothing can be uploaded now, in words; empty while all is well.
        lacks_key: Whether the trouble is that there is no API key, or that it was refused.
        status: What became of the run, as `wandb_sync.run_sync.Status`; empty while it is at work.
        reason: For that status, in words.
    """

    process: Dict[str, Any] = {}
    url: str = ""
    entity: str = ""
    project: str = ""
    name: str = ""
    is_asked_to_stop: bool = False
    offset: int = 0
    n_bytes: int = 0
    n_files: int = 0
    trouble: str = ""
    lacks_key: bool = False
    status: str = ""
    reason: str = ""

    @property
    def is_from_the_dead(self) -> bool:
        """Whether the syncer is gone, for sure."""
        try:
            return life_of(ProcessId(**self.process)) is Life.DEAD
        except TypeError:
            return False


def path_of(log: str) -> str:
    """Return the live file of a log."""
    return log + SUFFIX


def write(path: str, news: News) -> None:
    """Replace the file.

    Raises:
        OSError: It cannot be written; the old one is as it was.
    """
    temporary = f"{path}.{os.getpid()}.tmp"
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump({"format": FORMAT, "version": VERSION, **news._asdict()}, file)
    os.replace(temporary, path)


def read(path: str) -> Optional[News]:
    """Return what the file says; None if there is none, or none that can be understood."""
    try:
        with open(path, encoding="utf-8") as file:
            body = json.load(file)
        if body.pop("format") != FORMAT or body.pop("version") != VERSION:
            return None
        return News(**{name: body[name] for name in News._fields if name in body})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


class Arrival(NamedTuple):
    """What became of an artifact.

    Attributes:
        client_id: What its recorder calls it.
        name: Without version.
        id, version, digest: What the server calls it; the version is None while others add to it.
        error: Why it will not arrive; empty if it has.
    """

    client_id: str
    name: str = ""
    id: str = ""
    version: Optional[int] = None
    digest: str = ""
    error: str = ""


def arrivals_path(log: str) -> str:
    """Return where the arrivals of a log's artifacts are told."""
    return path_of(log) + ".artifacts"


def add_arrival(path: str, arrival: Arrival) -> None:
    """Tell of one artifact.

    Raises:
        OSError: It cannot be written.
    """
    line = json.dumps(arrival._asdict()).encode() + b"\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        os.write(descriptor, line)
    finally:
        os.close(descriptor)


def read_arrivals(path: str, offset: int = 0) -> Tuple[List[Arrival], int]:
    """Return what was told since byte `offset`, and from where on to read the next time."""
    try:
        with open(path, "rb") as file:
            file.seek(offset)
            data = file.read()
    except OSError:
        return [], offset
    whole = data[: data.rfind(b"\n") + 1]
    found = []
    for line in whole.splitlines():
        try:
            body = json.loads(line)
            found.append(Arrival(**{name: body[name] for name in Arrival._fields if name in body}))
        except (ValueError, TypeError):
            pass  # of a disk that was full
    return found, offset + len(whole)
