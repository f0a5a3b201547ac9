"""Files of a run: what is to be uploaded, from where, and the uploading.

The log names files below `files/` of the run directory.  What the server expects beside them (metadata,
config, summary, console text) is made in memory; nothing is written into the run directory.

Rule 1: a path from a log never leaves `files/`.  A link in `files/` may (that is how `wandb.save` works).
Rule 2: a file that is not there, or that the server refuses, is reported, and the run is not called synced;
        the others are uploaded.
Rule 3: one CreateRunFiles for all, unless the server refuses it: then its parts; a kill in the middle costs
        only what had not arrived: what has is in the checkpoint, by size and time of change (files) or
        checksum (what we make).
"""

from __future__ import annotations

import concurrent.futures
import json
import os
import zlib
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

from wandb.errors import AuthenticationError, CommError, RejectedError
import wandb_sync.protocol as protocol
from wandb_sync.bundle import Bundle, is_inside
from wandb_sync.protocol import Bucket
from wandb_sync.run_config import yaml_text
from wandb_sync.session import Session
from wandb_sync.transport.base import FileBody, Transport

CONFIG, METADATA, SUMMARY, CONSOLE = "config.yaml", "wandb-metadata.json", "wandb-summary.json", "output.log"
MADE = frozenset((CONFIG, METADATA, SUMMARY, CONSOLE))  # in memory, so that none of them is ever gone
PARALLEL_UPLOADS = 8  # per run; the connections are shared by all runs
PATHS_PER_REQUEST = 2000  # as many as were observed in one CreateRunFiles
MAX_REFUSED_ALONE = 20  # paths; a server that has refused so many one by one is not asked about the others

Stamp = List[int]  # JSON: size in bytes and time of change in nanoseconds, or size and crc32


class Source(NamedTuple):
    """One file to be uploaded; `stamp` tells whether it is the one that was uploaded before."""

    path: str
    body: Union[bytes, FileBody]
    stamp: Stamp


class Missing(NamedTuple):
    """A file that cannot be uploaded, and why."""

    path: str
    reason: str


def from_disk(
    files_dir: Path, paths: Sequence[str], bundle: Optional[Bundle] = None
) -> Tuple[List[Source], List[Missing]]:
    """Return the files that the log names, and those of them that cannot be read.

    Args:
        bundle: Where those are that are not below `files_dir`.
    """
    bundled = bundle.members() if bundle is not None else {}
    found: List[Source] = []
    missing: List[Missing] = []
    for path in paths:
        if not is_inside(path):
            missing.append(Missing(path, "leads out of the run's files"))
            continue
        member = bundled.get(path)
        if bundle is not None and member is not None and not os.path.lexists(files_dir / path):
            body = FileBody(bundle.path, member.n_bytes, member.offset)
            found.append(Source(path, body, [member.n_bytes, member.mtime_ns]))
            continue
        try:
            status = os.stat(files_dir / path)
            if not os.path.isfile(files_dir / path):
                missing.append(Missing(path, "is no file"))
                continue
            with open(files_dir / path, "rb"):
                pass
        except (OSError, ValueError) as error:  # ValueError: the file system's encoding has no such name
            missing.append(Missing(path, getattr(error, "strerror", None) or "cannot be read"))
            continue
        body = FileBody(str(files_dir / path), status.st_size)
        found.append(Source(path, body, [status.st_size, status.st_mtime_ns]))
    return found, missing


def from_session(session: Session) -> List[Source]:
    """Return the files that are made of the log: metadata, config, summary."""
    made: List[Source] = []
    environment = session.config.environment_tree()
    if environment:
        made.append(_made(METADATA, json.dumps(environment, indent=2) + "\n"))
    config = json.loads(session.config.text(session.metrics.wire()))
    made.append(_made(CONFIG, yaml_text(config)))
    made.append(_made(SUMMARY, session.summary.text()))
    return made


def _made(path: str, text: str) -> Source:
    data = text.encode("utf-8", "replace")
    return Source(path, data, [len(data), zlib.crc32(data)])


def is_there(files_dir: Path, path: str, bundle: Optional[Bundle] = None) -> bool:
    """Whether a path from a log, maybe an odd one, is something below `files_dir` or in the bundle."""
    try:
        if is_inside(path) and bundle is not None and path in bundle.members():
            return True
        return is_inside(path) and (files_dir / path).exists()
    except (OSError, ValueError):
        return False


def changed(sources: Sequence[Source], uploaded: Mapping[str, Any]) -> List[Source]:
    """Return what has not arrived yet, or is not as it was then."""
    return [source for source in sources if uploaded.get(source.path) != source.stamp]


def upload(
    transport: Transport,
    bucket: Bucket,
    sources: Sequence[Source],
    on_done: Callable[[Source], None],
) -> List[Missing]:
    """Upload files, several at a time.

    Args:
        on_done: Called in this thread for each file that has arrived.

    Returns:
        What the server refused.

    Raises:
        CommError: The server cannot be reached, or does not take the API key.  What had arrived was reported.
    """
    refused: List[Missing] = []
    for start in range(0, len(sources), PATHS_PER_REQUEST):
        places = _places(transport, bucket, sources[start : start + PATHS_PER_REQUEST], refused)
        if len(places) == 1:
            refused += _put(transport, *places[0], on_done)
        if len(places) <= 1:
            continue
        with concurrent.futures.ThreadPoolExecutor(min(PARALLEL_UPLOADS, len(places))) as pool:
            waiting = {
                pool.submit(transport.send, protocol.upload(place, source.body)): source
                for place, source in places
            }
            error: Optional[CommError] = None
            for done in concurrent.futures.as_completed(waiting):
                try:
                    done.result()
                    on_done(waiting[done])
                except RejectedError as rejected:
                    refused.append(Missing(waiting[done].path, rejected.message))
                except CommError as failed:
                    error = error or failed
                    for other in waiting:
                        other.cancel()
                except concurrent.futures.CancelledError:
                    pass
            if error is not None:
                raise error
    return refused


def _places(
    transport: Transport, bucket: Bucket, sources: Sequence[Source], refused: List[Missing]
) -> List[Tuple[protocol.Upload, Source]]:
    """Ask where files go.

    A batch that is refused is halved until the paths that the server does not take are alone; they are added
    to `refused`.
    """
    places: List[Tuple[protocol.Upload, Source]] = []
    batches = [sources]
    n_alone = 0
    while batches:
        some = batches.pop()
        paths = [source.path for source in some]
        request = protocol.create_run_files(bucket.entity, bucket.project, bucket.name, paths)
        try:
            places += zip(protocol.read_uploads(transport.send(request), paths), some)
        except AuthenticationError:
            raise
        except RejectedError as error:
            if len(some) > 1 and n_alone < MAX_REFUSED_ALONE:
                half = len(some) // 2
                batches += [some[half:], some[:half]]
                continue
            n_alone += len(some)
            refused += [Missing(path, error.message) for path in paths]
    return places


def _put(
    transport: Transport, place: protocol.Upload, source: Source, on_done: Callable[[Source], None]
) -> List[Missing]:
    try:
        transport.send(protocol.upload(place, source.body))
    except AuthenticationError:
        raise
    except RejectedError as error:
        return [Missing(source.path, error.message)]
    on_done(source)
    return []


def by_path(sources: Sequence[Source]) -> Dict[str, Source]:
    """Return the sources by path; a later one replaces an earlier one."""
    return {source.path: source for source in sources}
